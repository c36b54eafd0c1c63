import assert from 'node:assert/strict';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type TestContext } from 'node:test';
import { type KindReport, runKind } from '../support/run-kind.ts';

const kind = { name: 'sample', proves: '', by: 'tests', sideBySide: 'cores', minutesMax: 1 } as const;

interface Ran extends KindReport {
  lines: string[];
  folder: string;
}

/** Runs a folder of test files, given by name, as a kind of its own. */
async function run(t: TestContext, files: Record<string, string>, limitMs?: number): Promise<Ran> {
  const root = mkdtempSync(join(tmpdir(), 'flyd-kind-'));
  t.after(() => rmSync(root, { recursive: true }));
  const folder = join(root, 'test', kind.name);
  mkdirSync(folder, { recursive: true });
  for (const [name, body] of Object.entries(files))
    writeFileSync(join(folder, name), `import test from 'node:test';\n${body}`);
  const lines: string[] = [];
  const say = (line: string): void => void lines.push(line);
  const report = await runKind(kind, {
    root,
    strict: true,
    cores: 2,
    say,
    ...(limitMs === undefined ? {} : { limitMs }),
  });
  return { ...report, lines, folder };
}

const titles = (report: KindReport): string[] => report.failures.map(({ title }) => title);

test('what passes is counted, nested tests too', async (t) => {
  const report = await run(t, {
    'a.test.ts': "test('outer', async (t) => { await t.test('inner', () => {}); });",
    'b.test.ts': "test.describe('group', () => { test('one', () => {}); test('two', () => {}); });",
  });
  assert.deepEqual([report.passed, titles(report), report.skips], [4, [], []]);
});

test('a failure is told with its path, its error and what was printed', async (t) => {
  const report = await run(t, {
    'a.test.ts': `
      test('fine', () => {});
      test('outer', async (t) => {
        await t.test('inner', () => { console.log('a clue'); throw new Error('the reason'); });
      });`,
  });
  assert.equal(report.passed, 1);
  assert.ok(titles(report).includes('outer › inner'));
  const told = report.lines.join('\n');
  assert.match(told, /the reason/);
  assert.match(told, /a clue/);
});

test('a skip keeps its reason, and a todo is a skip', async (t) => {
  const report = await run(t, {
    'a.test.ts': `
      test('rootly', (t) => t.skip('needs root: run it with sudo'));
      test('someday', { todo: 'not yet' }, () => { throw new Error('x'); });
      test('silent', { skip: true }, () => {});`,
  });
  assert.deepEqual(titles(report), []);
  assert.deepEqual(report.skips, [
    { title: 'rootly', reason: 'needs root: run it with sudo' },
    { title: 'someday', reason: 'not yet' },
    { title: 'silent', reason: 'no reason given' },
  ]);
});

test('a test process that dies is a failure', async (t) => {
  const report = await run(t, {
    'dies.test.ts': "test('dies', () => process.kill(process.pid, 'SIGKILL'));",
    'exits.test.ts': "test('exits', () => process.exit(0));",
    'fine.test.ts': "test('fine', () => {});",
  });
  assert.equal(report.passed, 1);
  assert.equal(report.failures.length, 2);
});

test('a file that cannot be loaded, or holds no test, is a failure', async (t) => {
  const report = await run(t, {
    'broken.test.ts': "import './nothing.ts';",
    'empty.test.ts': '',
  });
  assert.equal(report.passed, 0);
  assert.equal(report.failures.length, 2);
});

test('a kind without tests fails when nothing may be missing', async (t) => {
  assert.deepEqual(titles(await run(t, {})), ['no tests in test/sample/']);
});

test('a kind that hangs is ended, with what it started, and says so', async (t) => {
  const { folder, ...report } = await run(
    t,
    {
      'hangs.test.ts': `
        import { spawn } from 'node:child_process';
        import { writeFileSync } from 'node:fs';
        test('hangs', async () => {
          const child = spawn('sleep', ['1000']);
          writeFileSync(import.meta.dirname + '/pid', String(child.pid));
          process.on('SIGTERM', () => {});
          await new Promise(() => setInterval(() => {}, 1000));
        });`,
    },
    3_000,
  );
  assert.ok(titles(report).some((title) => title.includes('took longer than 3 s')));
  const pid = readFileSync(join(folder, 'pid'), 'utf8');
  // The kernel may still be at it; a zombie of nobody's counts as gone.
  for (let tries = 0; tries < 100 && existsSync(`/proc/${pid}`); tries++)
    await new Promise((go) => setTimeout(go, 50));
  assert.equal(existsSync(`/proc/${pid}`), false);
});
