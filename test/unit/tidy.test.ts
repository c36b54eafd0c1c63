import assert from 'node:assert/strict';
import { existsSync, globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';
import { fileURLToPath } from 'node:url';
import { errorCodes } from '#core/error-codes';
import { operations } from '#core/operations';
import { doorsAreKept, oneFilePerLibrary, packagesAreDeclared } from '../support/tidy/rooms.ts';
import { allSources, type Finding, type Rule, source } from '../support/tidy/source.ts';
import {
  commandsThroughExec,
  environmentInConfig,
  noBannedCalls,
  nothingLeftOver,
  oneTitle,
  pathsExist,
  sqlInDb,
  withinBudget,
} from '../support/tidy/text.ts';
import {
  actorsHaveHeaders,
  actorsMatchOperations,
  codesAreUsed,
  codesExist,
} from '../support/tidy/vocabulary.ts';

/** Style that is only written down goes with the first hurry; this is the part that a test can hold. */
const root = fileURLToPath(new URL('../..', import.meta.url));
const sources = allSources(root);
const codes = Object.keys(errorCodes);
const own = 'test/unit/tidy.test.ts'; // full of bad examples

function assertNone(findings: readonly Finding[]): void {
  const lines = findings.map(({ path, line, message }) => `${path}:${line}  ${message}`);
  assert.equal(lines.length, 0, `\n${lines.join('\n')}\n`);
}

/** The rule on the whole checkout, and on examples that it must and must not find. */
function holds(
  title: string,
  rule: Rule,
  examples: { bad: [string, string][]; good: [string, string][] },
): void {
  test(title, () => assertNone(sources.filter(({ path }) => path !== own).flatMap(rule)));
  test(`${title}: the rule bites`, () => {
    for (const [path, text] of examples.bad)
      assert.notEqual(rule(source(path, text)).length, 0, `not found in ${path}: ${text.slice(0, 100)}`);
    for (const [path, text] of examples.good) assertNone(rule(source(path, text)));
  });
}

holds('imports go through the doors of the rooms', doorsAreKept, {
  bad: [
    ['core/ids.ts', "import { open } from '#db/open';"],
    ['core/ids.ts', "import fs from 'node:fs';"],
    ['machines/pull.ts', "import { createHash } from 'node:crypto';"],
    ['machines/pull.ts', "import { openDatabase } from '#db/open';"],
    ['actors/blob-find.ts', "import { blobFetch } from './blob-fetch.ts';"],
    ['actors/blob-find.ts', "import { openEngine } from '#engine/index';"],
    ['actors/blob-find.ts', "import { createExec } from '#infra/exec';"],
    ['engine/index.ts', "export { exec } from '#infra/exec';"],
    ['services/dashboard/server.ts', "import { placeOf } from '#services/placement/place';"],
    ['services/dashboard/server.ts', "import { createExec } from '#infra/exec';"],
    ['services/dashboard/server.ts', "import { pullMachine } from '#machines/pull';"],
    ['engine/index.ts', "const m = await import('#machines/pull');"],
    ['db/open.ts', "import { exec } from '#infra/exec';"],
    ['infra/s3.ts', "import type { Database } from '#db/open';"],
    ['infra/s3.ts', "import { errorCodes } from '../core/error-codes.ts';"],
    ['cli/main.ts', "import { listTree } from '../test/support/tree.ts';"],
    ['db/open.ts', "const { z } = require('zod');"],
  ],
  good: [
    ['actors/blob-find.ts', "import type { BlobStore } from '#infra/blob-store';"],
    ['actors/blob-find.ts', "import type { BlobInput } from '#machines/blob';"],
    ['machines/pull.ts', "import { setup } from 'xstate';\n// import fs from 'node:fs';"],
    ['core/chain.ts', "import { createHash } from 'node:crypto';"],
    ['cli/compose.ts', "import { createExec } from '#infra/exec';\nimport x from './x.ts';"],
    ['test/unit/x.test.ts', "import { createExec } from '#infra/exec';"],
    ['services/dashboard/server.ts', "import { createHub } from './hub.ts';"],
  ],
});

test('one outside library is imported by one file', () => {
  assertNone(oneFilePerLibrary(sources));
  const found = (...files: [string, string][]): number =>
    oneFilePerLibrary(files.map(([path, text]) => source(path, text))).length;
  assert.equal(found(['infra/exec.ts', "import 'execa';"], ['infra/other.ts', "import 'execa';"]), 1);
  assert.equal(found(['infra/a.ts', "import { S3 } from '@aws-sdk/client-s3';"]), 0);
  assert.equal(found(['engine/engine.ts', "import { transition } from 'xstate';"]), 1);
  assert.equal(found(['engine/engine.ts', "import type { AnyStateMachine } from 'xstate';"]), 0);
  assert.equal(found(['infra/x.ts', "import { Command } from 'commander';"]), 1);
});

test('imported packages are declared', () => {
  const { dependencies, devDependencies } = JSON.parse(
    readFileSync(join(root, 'package.json'), 'utf8'),
  ) as Record<string, Record<string, string>>;
  const declared = Object.keys({ ...dependencies, ...devDependencies });
  assertNone(
    packagesAreDeclared(
      sources.filter(({ path }) => path !== own),
      declared,
    ),
  );
  assert.equal(packagesAreDeclared([source('infra/x.ts', "import 'left-pad';")], declared).length, 1);
});

holds('files stay within their budget', withinBudget, {
  bad: [['infra/x.ts', 'a\n'.repeat(401)]],
  good: [['infra/x.ts', 'a\n'.repeat(400)]],
});

holds(
  'nothing is left for later',
  (file) => (file.path === 'test/support/tidy/text.ts' ? [] : nothingLeftOver(file)),
  {
    bad: [
      ['infra/x.ts', '// TODO: later'],
      ['infra/x.ts', '/* FIXME */'],
      ['test/unit/x.test.ts', "test.only('x', () => {});"],
      ['test/unit/x.test.ts', "test('x', { only: true }, () => {});"],
    ],
    good: [['infra/x.ts', '// the only place that waits']],
  },
);

holds('the environment is read in infra/config.ts alone', environmentInConfig, {
  bad: [
    ['infra/s3.ts', 'const key = process.env.AWS_ACCESS_KEY_ID;'],
    ['infra/s3.ts', "import { env } from 'node:process';"],
  ],
  good: [
    ['infra/config.ts', 'const all = process.env;'],
    ['scripts/x.ts', 'process.env.CI'],
    ['infra/s3.ts', '// process.env is for infra/config.ts'],
  ],
});

holds('commands run through infra/exec', commandsThroughExec, {
  bad: [['infra/volumes/copy.ts', "import { spawn } from 'node:child_process';"]],
  good: [['infra/volumes/copy.ts', "import type { Exec } from '../exec.ts';"]],
});

holds('engine, machines and core take time and chance from outside', noBannedCalls, {
  bad: [
    ['engine/engine.ts', 'const at = Date.now();'],
    ['engine/engine.ts', 'setTimeout(() => {}, 1);'],
    ['engine/engine.ts', 'const jitter = Math.random();'],
    ['machines/pull.ts', 'const at = new Date(0);'],
    ['machines/pull.ts', 'const effect = async () => 1;'],
    ['core/ids.ts', 'const id = randomUUID();'],
  ],
  good: [
    ['engine/system.ts', 'const at = Date.now();'],
    ['infra/x.ts', 'const at = Date.now();'],
    ['machines/pull.ts', '// no Date in here'],
  ],
});

holds('SQL is in db', sqlInDb, {
  bad: [
    ['actors/blob-find.ts', "db.prepare('SELECT digest FROM blobs')"],
    ['engine/engine.ts', 'db.exec(`INSERT INTO runs VALUES (1)`)'],
  ],
  good: [
    ['db/images/blobs.ts', "db.prepare('SELECT digest FROM blobs')"],
    ['infra/x.ts', '// SELECT one FROM many'],
  ],
});

test('operations and actors are the same list', () => {
  assertNone(actorsMatchOperations(operations, globSync('actors/*.ts', { cwd: root })));
  assert.equal(actorsMatchOperations(['blob.find'], []).length, 1);
  assert.equal(actorsMatchOperations([], ['actors/blob-find.ts']).length, 1);
  assert.equal(actorsMatchOperations(['blob.find'], ['actors/blob-find.ts']).length, 0);
});

holds(
  'actors say what they do, why they may be repeated, what a kill leaves, how they fail',
  actorsHaveHeaders,
  {
    bad: [
      ['actors/blob-find.ts', '/**\n * Does: x\n * If killed: y\n * Fails with: z\n */'],
      ['actors/blob-find.ts', 'export {};'],
    ],
    good: [
      [
        'actors/blob-find.ts',
        '/**\n * Does: x\n * Safe to repeat because: w\n * If killed: y\n * Fails with: z\n */',
      ],
    ],
  },
);

test('error codes that are compared exist, and all codes are used', () => {
  assertNone(sources.filter(({ path }) => path !== own).flatMap((each) => codesExist(each, codes)));
  assertNone(codesAreUsed(sources, codes));
  assert.equal(codesExist(source('infra/x.ts', "if (error.code === 'no_such_code') {}"), codes).length, 1);
  assert.equal(codesExist(source('infra/x.ts', "if (error.code === 'ENOENT') {}"), codes).length, 0);
  assert.equal(
    codesAreUsed([source('infra/x.ts', "throw recoverable('usage')")], ['usage', 'idle']).length,
    1,
  );
});

test('pages name only paths that exist, and have one title', () => {
  const pages = ['README.md', ...globSync('docs/**/*.md', { cwd: root })].filter((page) =>
    existsSync(join(root, page)),
  );
  for (const page of pages) {
    const text = readFileSync(join(root, page), 'utf8');
    assertNone([...pathsExist(page, text, (path) => existsSync(join(root, path))), ...oneTitle(page, text)]);
  }
  const exists = (path: string): boolean => path === 'core/ids.ts';
  assert.equal(pathsExist('README.md', 'see `core/ids.ts` and `core/gone.ts`', exists).length, 1);
  assert.equal(
    pathsExist('README.md', 'see `blobs/sha256/` and test/<kind>/, actors/*.ts', exists).length,
    0,
  );
  assert.equal(oneTitle('README.md', '# One\n```\n# comment\n```\n').length, 0);
  assert.equal(oneTitle('README.md', '# One\n# Two\n').length, 1);
});
