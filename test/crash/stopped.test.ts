import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test, { type TestContext } from 'node:test';
import { whyNot } from '../support/needs.ts';
import { type Rootfs, readRootfs } from '../support/rootfs.ts';
import { makeFamily } from './family.ts';
import type { PullDocument } from './judge.ts';
import {
  documentOf,
  type FlydOptions,
  labFolder,
  openSandbox,
  processState,
  runFlyd,
  runPull,
  type Sandbox,
  startFlyd,
  startPull,
  until,
} from './sandbox.ts';
import {
  callAt,
  callOfStop,
  callsAfterStop,
  callsOf,
  continueAndCompare,
  type Stopped,
  signalAll,
  stopAt,
  takeOver,
} from './stopped.ts';

/**
 * An owner that is stopped in the middle of something, and continued after another has done its work: strace
 * sees every call of its that could change a file, a mount or a device, and there is none after the stop.
 * FLYD_TEST_DRIVER=devmapper does it on a thin pool, in a guest of scripts/vm.
 */
const driver = process.env.FLYD_TEST_DRIVER ?? 'overlay';
const needs = [
  'zstd',
  'getfattr',
  'strace',
  'root',
  ...(driver === 'overlay' ? ['overlay', 'setfattr'] : []),
];
/** A guest is slow, and its file system of temporary files takes no attributes. */
const size = driver === 'devmapper' ? { files: 10, bytes: 100_000, attributes: false } : {};

/** Where in the work: a line of strace's that only that part of it has. */
const unpacks = /mkdirat\(\d+, "[^"]+", 0700\)/;
const ofActivation: Readonly<Record<string, Readonly<Record<string, RegExp>>>> = {
  overlay: {
    'makes a snapshot': /mkdir(?:at)?\([^"]*"[^"]*\/volumes\/overlay\/act-[^"]*"/,
    mounts: /(?:move_mount\(|mount\("overlay")/,
  },
  devmapper: {
    mounts: /mount\("\/dev\/mapper\/flyd-[^"]*-act-/,
  },
};

test('a process that is stopped does nothing more once another has its work', async (t) => {
  const missing = whyNot(needs);
  if (missing !== null) return t.skip(missing);
  const lab = labFolder(t);
  const family = makeFamily(lab, size);
  const quiet = await openSandbox(lab, family, driver);
  const pulled = await callsOf(quiet, (options) => runPull(quiet, options));
  const tree = readRootfs(documentOf<PullDocument>(pulled.ended).activation.rootfs);
  const activation = ['activate', family.name, '--json'];
  const activated = await callsOf(quiet, (options) => runFlyd(quiet, activation, options));
  documentOf(activated.ended);
  await quiet.close();
  const sandbox = await openSandbox(lab, family, driver);
  t.after(() => sandbox.close());

  const judge = async (stopped: Stopped, place: RegExp): Promise<void> => {
    t.after(() => stopped.kill());
    assert.match(callOfStop(stopped), place);
    await takeOver(sandbox);
    await continueAndCompare(sandbox, [stopped.pid], stopped.ended, tree);
    assert.deepEqual(callsAfterStop(stopped.log()), []);
    assert.match(stopped.log(), /\+\+\+ killed by SIGKILL \+\+\+/);
  };

  await t.test('while it unpacks', async () => {
    const pull = (options: FlydOptions) => startPull(sandbox, options);
    await judge(await stopAt(sandbox, pull, callAt(pulled.calls, unpacks)), unpacks);
  });
  for (const [what, place] of Object.entries(ofActivation[driver] ?? {}))
    await t.test(`while it ${what}`, async () => {
      const activate = (options: FlydOptions) => startFlyd(sandbox, activation, options);
      await judge(await stopAt(sandbox, activate, callAt(activated.calls, place)), place);
    });
  if (driver === 'devmapper')
    await t.test('while it makes a snapshot, with the message to the pool under way', () =>
      stopInMessage(t, sandbox, lab, tree),
    );
});

/** Stands in for dmsetup: notes each call, and stops its flyd and itself before the one that makes a snapshot. */
const shim = (real: string, notes: string): string => `#!/bin/sh
echo "$PPID $$ $*" >>${notes}
case "$*" in *create_snap*) [ -e ${notes}.once ] || { : >${notes}.once; kill -STOP $PPID; kill -STOP $$; } ;; esac
exec ${real} "$@"
`;

async function stopInMessage(t: TestContext, sandbox: Sandbox, lab: string, tree: Rootfs): Promise<void> {
  const [folder, notes] = [join(lab, 'bin'), join(lab, 'dmsetup-calls')];
  mkdirSync(folder);
  const real = execFileSync('sh', ['-c', 'command -v dmsetup'], { encoding: 'utf8' }).trim();
  writeFileSync(join(folder, 'dmsetup'), shim(real, notes), { mode: 0o755 });
  const PATH = `${folder}:${process.env.PATH}`;
  const victim = startFlyd(sandbox, ['activate', sandbox.family.name, '--json'], { env: { PATH } });
  const calls = (): string[] => (existsSync(notes) ? readFileSync(notes, 'utf8').trim().split('\n') : []);
  const stopped = await until('it is stopped', () => {
    const [owner, own] = calls().at(-1)?.split(' ').map(Number) ?? [];
    const both = [owner ?? 0, own ?? 0];
    return both.every((pid) => pid > 0 && processState(pid) === 'T') ? both : null;
  });
  t.after(() =>
    signalAll(
      stopped.filter((pid) => processState(pid) === 'T'),
      'SIGKILL',
    ),
  );
  const told = calls();
  assert.match(told.at(-1) ?? '', / create_snap \d+ \d+$/);
  await takeOver(sandbox);
  await continueAndCompare(sandbox, stopped, victim.ended, tree);
  assert.deepEqual(calls(), told, 'the stopped one has called dmsetup no more');
  for (const pid of stopped) assert.equal(processState(pid), null);
  assert.equal((await victim.ended).signal, 'SIGKILL');
}
