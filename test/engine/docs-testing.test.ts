import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { tempFolder } from '../support/engine.ts';

const root = join(import.meta.dirname, '../..');
const page = readFileSync(join(root, 'docs/engine-testing.md'), 'utf8');
const block = (info: string): string => {
  const found = new RegExp(`^\`\`\`${info}\\n(.*?)^\`\`\`$`, 'ms').exec(page)?.[1];
  assert.ok(found !== undefined, `the page has no block of ${info}`);
  return found;
};
/** The example as a program of this checkout. */
const program = (source: string): string =>
  source
    .replace("'@flyd/flyd/engine/testing'", `'${pathToFileURL(join(root, 'engine/testing/index.ts'))}'`)
    .replace("'@flyd/flyd/engine'", `'${pathToFileURL(join(root, 'engine/index.ts'))}'`)
    .replace("'xstate'", `'${import.meta.resolve('xstate')}'`);

function outputOf(t: import('node:test').TestContext, source: string): string {
  const file = join(tempFolder(t), 'example.ts');
  writeFileSync(file, program(source));
  const { status, stdout, stderr } = spawnSync(process.execPath, [file], {
    encoding: 'utf8',
    timeout: 120_000,
  });
  assert.equal(status, 0, stderr);
  return stdout;
}

test('the example of docs/engine-testing.md prints what the page says', (t) => {
  assert.equal(outputOf(t, block('ts run')), block('text output'));
});

test('the fault that the page suggests is found', (t) => {
  const source = block('ts run');
  const broken = source.replace(
    '    shipping: {\n',
    "    shipping: {\n      on: { 'flyd.cancel': 'undoing' },\n",
  );
  assert.notEqual(broken, source);
  assert.match(outputOf(t, broken), /is cancelled; shipped: true/);
});
