import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import test, { type TestContext } from 'node:test';
import { askOracle } from '../support/oracle.ts';

const volume = 'vol-0123456789abcdef';
const activation = 'act-0123456789abcdef';
const hex = 'a'.repeat(64);

/** A state directory as a finished pull leaves it, and the list of what should be there. */
function cleanState(t: TestContext): {
  state: string;
  mountRoot: string;
  expected: string[];
  /** What must be undone before the folders go, last first. */
  undo: (() => unknown)[];
} {
  const undo: (() => unknown)[] = [];
  const root = mkdtempSync(join(realpathSync(tmpdir()), 'flyd-oracle-'));
  t.after(async () => {
    for (const each of undo.reverse()) await each();
    rmSync(root, { recursive: true });
  });
  const state = join(root, 'state');
  const mountRoot = join(root, 'mnt');
  put(
    state,
    'format',
    'flyd.db',
    'lock',
    `blobs/sha256/${hex}`,
    `volumes/overlay/${volume}/rootfs/etc/x.tmp`,
  );
  put(state, `volumes/overlay/${activation}/upper/.flyd-x`, 'owners/', 'partial/', 'pool/', 'log/');
  mkdirSync(mountRoot);
  const expected = [`blob ${hex}`, `volume overlay/${volume}`, `volume overlay/${activation}`];
  return { state, mountRoot, expected, undo };
}

function put(folder: string, ...names: string[]): void {
  for (const name of names) {
    mkdirSync(name.endsWith('/') ? join(folder, name) : dirname(join(folder, name)), { recursive: true });
    if (!name.endsWith('/')) writeFileSync(join(folder, name), '');
  }
}

test('what should be there is no leak', (t) => {
  assert.deepEqual(askOracle(cleanState(t)), []);
});

test('what nobody expects is a leak, each thing by its name', (t) => {
  const { state, mountRoot, expected } = cleanState(t);
  const other = 'b'.repeat(64);
  put(state, `blobs/sha256/${other}`, 'partial/x', 'volumes/overlay/vol-00000000000000ff.tmp/', 'stray');
  put(state, 'blobs/.x.flyd-0123456789abcdef.tmp', 'owners/0123456789abcdef');
  put(state, 'progress/fedcba9876543210.json');
  put(state, `volumes/overlay/${volume}/.flyd-filling`);
  put(mountRoot, `${activation}/`);
  assert.deepEqual(askOracle({ state, mountRoot, expected }), [
    `leak: blob ${other}`,
    'leak: owner file 0123456789abcdef of nobody',
    'leak: partial x',
    `leak: point ${mountRoot}/${activation}`,
    'leak: progress of nobody fedcba9876543210.json',
    `leak: stranger ${state}/blobs/.x.flyd-0123456789abcdef.tmp`,
    `leak: stranger ${state}/stray`,
    `leak: temp ${state}/blobs/.x.flyd-0123456789abcdef.tmp`,
    `leak: temp ${state}/volumes/overlay/${volume}/.flyd-filling`,
    'leak: volume overlay/vol-00000000000000ff.tmp',
  ]);
});

test('what is expected and gone is missing', (t) => {
  const { state, mountRoot, expected } = cleanState(t);
  rmSync(join(state, 'blobs/sha256', hex));
  const wanted = [...expected, `mount ${mountRoot}/${activation}`];
  assert.deepEqual(askOracle({ state, mountRoot, expected: wanted }), [
    `missing: blob ${hex}`,
    `missing: mount ${mountRoot}/${activation}`,
  ]);
});

test('a process that works on the state, and the lock it holds, are leaks', async (t) => {
  const { state, mountRoot, expected, undo } = cleanState(t);
  const lock = join(state, 'owners', 'holder');
  const child = spawn('flock', [lock, 'sh', '-c', 'echo ready; sleep 1000'], { detached: true });
  undo.push(async () => {
    process.kill(-(child.pid ?? 0), 'SIGKILL');
    await once(child, 'close');
  });
  await once(child.stdout, 'data');
  const leaks = askOracle({ state, mountRoot, expected });
  assert.ok(
    leaks.some((leak) => leak.startsWith('leak: owner lock holder is held')),
    leaks.join('\n'),
  );
  assert.ok(
    leaks.some((leak) => leak.startsWith(`leak: process ${child.pid}: flock`)),
    leaks.join('\n'),
  );
});

test('a mount under the mount root, and a loop device over the state, are leaks', (t) => {
  if (process.getuid?.() !== 0) return t.skip('needs root: run as root');
  const { state, mountRoot, expected, undo } = cleanState(t);
  const run = (command: string, ...args: string[]): string => {
    const { status, stdout, stderr } = spawnSync(command, args, { encoding: 'utf8' });
    assert.equal(status, 0, `${command}: ${stderr}`);
    return stdout.trim();
  };
  const point = join(mountRoot, 'my point');
  mkdirSync(point);
  run('mount', '-t', 'tmpfs', 'none', point);
  undo.push(() => run('umount', point));
  const file = join(state, 'pool', 'data');
  writeFileSync(file, Buffer.alloc(1024 * 1024));
  const loop = run('losetup', '--find', '--show', file);
  undo.push(() => run('losetup', '--detach', loop));
  const leaks = askOracle({ state, mountRoot, expected: [...expected, `point ${point}`] });
  assert.deepEqual(leaks, [
    `leak: loop ${file} (${loop.slice('/dev/'.length)}/loop/backing_file)`,
    `leak: mount ${point}`,
  ]);
});
