import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';

/** Runs a line with a log of this verbosity, and gives what came to stderr. */
function logged(verbosity: number, line: string): Record<string, unknown>[] {
  const program = `
    import { createLog } from ${JSON.stringify(new URL('../../infra/log.ts', import.meta.url).href)};
    const log = createLog({ verbosity: ${verbosity}, secrets: ['s3cr"t-value', 'tiny'] });
    ${line}`;
  const { stderr, stdout } = spawnSync(process.execPath, ['--input-type=module', '-e', program], {
    encoding: 'utf8',
  });
  assert.equal(stdout, '', 'logs never go to stdout');
  return stderr
    .split('\n')
    .filter((text) => text !== '')
    .map((text) => JSON.parse(text) as Record<string, unknown>);
}

const levels = `log.debug('d'); log.info('i'); log.error('e');`;

test('it is quiet, unless asked', () => {
  assert.deepEqual(
    logged(0, levels).map(({ msg }) => msg),
    ['e'],
  );
  assert.deepEqual(
    logged(1, levels).map(({ msg }) => msg),
    ['i', 'e'],
  );
  assert.deepEqual(
    logged(5, levels).map(({ msg }) => msg),
    ['d', 'i', 'e'],
  );
});

test('secrets are shown nowhere, whatever field or message they hide in', () => {
  const [entry] = logged(
    0,
    `log.child({ run: 'r' }).error({ at: { note: 'has s3cr"t-value in it' }, secretAccessKey: 'short' }, 'the s3cr"t-value');`,
  );
  assert.equal(entry?.run, 'r');
  assert.deepEqual(entry?.at, { note: 'has [secret] in it' });
  assert.equal(entry?.secretAccessKey, '[secret]');
  assert.equal(entry?.msg, 'the [secret]');
});

test('times are RFC 3339', () => {
  assert.match(String(logged(0, `log.error('e')`)[0]?.time), /^\d{4}-\d\d-\d\dT[\d:.]+Z$/);
});
