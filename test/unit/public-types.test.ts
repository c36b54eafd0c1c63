import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { test } from 'node:test';
import { tempFolder } from '../support/engine.ts';

const root = join(import.meta.dirname, '../..');
const { exports, imports } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
  exports: Record<string, { types?: string }>;
  imports: Record<string, string>;
};

/** Declarations that a user's compiler reads from this file on, of ours only. */
function readFrom(dist: string, file: string, seen: Set<string>): void {
  if (seen.has(file)) return;
  seen.add(file);
  for (const [, name = ''] of readFileSync(file, 'utf8').matchAll(/(?:from|import\()\s*['"]([^'"]+)['"]/g)) {
    const target = targetOf(dist, file, name);
    if (target === null) continue;
    assert.ok(existsSync(target), `${file} imports ${name}, which is not emitted`);
    readFrom(dist, target, seen);
  }
}

function targetOf(dist: string, file: string, name: string): string | null {
  const declared = (path: string): string => path.replace(/\.(ts|js)$/, '.d.ts');
  if (name.startsWith('.')) return declared(resolve(dirname(file), name));
  const [room, ...rest] = name.split('/');
  const mapped = imports[`${room}/*`];
  return mapped === undefined ? null : declared(join(dist, mapped.replace('*', rest.join('/'))));
}

const withoutComments = (text: string): string =>
  text.replaceAll(/\/\*.*?\*\//gs, '').replaceAll(/\/\/.*$/gm, '');

test('no declaration that the package exports says `any`', (t) => {
  const dist = tempFolder(t);
  const args = ['-p', 'tsconfig.build.json', '--emitDeclarationOnly', '--outDir', dist];
  const { status, stdout } = spawnSync(join(root, 'node_modules/.bin/tsc'), args, {
    cwd: root,
    encoding: 'utf8',
  });
  assert.equal(status, 0, stdout);
  const entries = Object.values(exports).flatMap(({ types }) => (types === undefined ? [] : [types]));
  assert.ok(entries.length >= 2, 'the package has typed entry points');
  const seen = new Set<string>();
  for (const entry of entries) readFrom(dist, join(dist, entry.replace(/^\.\/dist\//, '')), seen);
  assert.ok(seen.size > 10, 'the entry points lead to the rest');
  // What else they name, a user's compiler reads, too: only packages that come with types that hold.
  const outside = [...seen].flatMap((file) =>
    [...readFileSync(file, 'utf8').matchAll(/(?:from|import\()\s*['"]([^'".#][^'"]*)['"]/g)].map(
      ([, name]) => name,
    ),
  );
  const allowed = ['better-sqlite3', 'xstate'];
  assert.deepEqual(
    [...new Set(outside)].filter((name = '') => !allowed.includes(name) && !name.startsWith('node:')),
    [],
  );
  const found = [...seen].flatMap((file) =>
    withoutComments(readFileSync(file, 'utf8'))
      .split('\n')
      .filter((line) => /\bany\b/.test(line))
      .map((line) => `${file.slice(dist.length + 1)}: ${line.trim()}`),
  );
  assert.deepEqual(found, []);
});
