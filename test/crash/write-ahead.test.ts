import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import test from 'node:test';
import { operations } from '#core/operations';
import { whyNot } from '../support/needs.ts';
import { makeFamily } from './family.ts';
import { leftovers, type PullDocument, rows } from './judge.ts';
import { machines, restingStates } from './machines.ts';
import {
  documentOf,
  each,
  labFolder,
  openSandbox,
  processState,
  type Running,
  runFlyd,
  runPull,
  type Sandbox,
  startFlyd,
  startPull,
  until,
} from './sandbox.ts';

/** Starts what makes flyd call the actor, and be stopped just before it does. */
type Way = (sandbox: Sandbox, fault: string) => Promise<Running>;

const lockIn = ({ folder }: Sandbox): string[] => ['--lock', join(folder, 'sample.lock')];

const whilePulling: Way = async (sandbox, fault) => startPull(sandbox, { fault }, lockIn(sandbox));

/** The pull fails for good at one point, and is stopped at another, on its way back. */
const whileFailing =
  (at: string): Way =>
  async (sandbox, fault) =>
    startPull(sandbox, { fault: `effect:${at}:before:fail,${fault}` });

const whileDeactivating: Way = async (sandbox, fault) => {
  const { activation } = documentOf<PullDocument>(await runPull(sandbox));
  return startFlyd(sandbox, ['deactivate', activation.id], { fault });
};

const whileRemoving: Way = async (sandbox, fault) => {
  documentOf(await runPull(sandbox, {}, ['--no-activate']));
  return startFlyd(sandbox, ['rm', 'sample'], { fault });
};

/** As after a reboot: what is active is not mounted any more. */
const whileRestoring: Way = async (sandbox, fault) => {
  const { activation } = documentOf<PullDocument>(await runPull(sandbox));
  execFileSync('umount', [join(sandbox.mountRoot, activation.id)]);
  return startFlyd(sandbox, ['resume'], { fault });
};

const whileRepairing: Way = async (sandbox, fault) => {
  documentOf(await runPull(sandbox));
  return startFlyd(sandbox, ['doctor', '--fix'], { fault });
};

/** Nothing is mounted without root, so nothing is to be mounted again. */
const ofMounts: readonly string[] = ['store.restore', 'store.repair'];

const ways: Readonly<Record<string, Way>> = {
  'image.release': whileFailing('volume.unpack'),
  'volume.discard': whileFailing('volume.unpack'),
  'activation.remove': whileFailing('activation.mount'),
  'activation.unmount': whileDeactivating,
  'image.check': whileRemoving,
  'image.drop': whileRemoving,
  'store.sweep': whileRemoving,
  'store.restore': whileRestoring,
  'store.repair': whileRepairing,
};

/** Those that are called when something has failed. */
const failing: ReadonlySet<string> = new Set(['image.release', 'volume.discard', 'activation.remove']);

interface Due {
  machine: string;
  status: string;
  state: string;
  snapshot: string;
  seq: number;
  recorded: number;
  recordedState: string;
  child: string;
}

const dueQuery = (actor: string): string => `
  SELECT machine, runs.status, runs.state, runs.snapshot, runs.seq, child,
    max(transitions.seq) AS recorded, transitions.to_state AS recordedState
  FROM effects JOIN runs ON runs.id = effects.run JOIN transitions ON transitions.run = runs.id
  WHERE src = '${actor}' AND effects.state = 'due'
  GROUP BY runs.id`;

/** What another process than flyd finds wrong in the database while the effect is about to begin. */
function problemsBefore(actor: string, sandbox: Sandbox): string[] {
  const due = rows<Due>(sandbox, dueQuery(actor));
  if (due.length === 0) return ['no run has it as a due effect'];
  return due.flatMap((run) => {
    const invoking = restingStates(machines[run.machine] as never)
      .filter(({ invokes }) => invokes.includes(actor))
      .map(({ name }) => name);
    const snapshot = JSON.parse(run.snapshot) as {
      children: Record<string, { src: string; snapshot: { status: string } }>;
    };
    const child = snapshot.children[run.child];
    const problems: string[] = [];
    if (!invoking.includes(run.state))
      problems.push(`the run is in ${run.state}, not in ${invoking.join(' or ')}`);
    if (child?.src !== actor || child.snapshot.status !== 'active')
      problems.push(`the snapshot has no active child for it: ${JSON.stringify(child)}`);
    if (run.recorded !== run.seq || run.recordedState !== run.state)
      problems.push(
        `the history ends at ${run.recorded} ${run.recordedState}, the run is at ${run.seq} ${run.state}`,
      );
    return problems;
  });
}

test('the state that calls an actor is on the disk before the actor begins, for every actor', async (t) => {
  const missing = whyNot(['zstd', 'getfattr']);
  if (missing !== null) return t.skip(missing);
  const driver = whyNot(['root', 'overlay', 'setfattr']) === null ? 'overlay' : 'copy';
  const lab = labFolder(t);
  const family = makeFamily(lab);
  const failures: string[] = [];
  const played = operations.filter((actor) => driver === 'overlay' || !ofMounts.includes(actor));
  await each(played, availableParallelism(), async (actor) => {
    const sandbox = await openSandbox(lab, family, driver);
    try {
      const way = ways[actor] ?? whilePulling;
      const flyd = await way(sandbox, `effect:${actor}:before:stop`);
      let over = false;
      void flyd.ended.then(() => {
        over = true;
      });
      const state = await until(`${actor} is about to begin`, () =>
        over ? 'over' : processState(flyd.pid) === 'T' ? 'stopped' : null,
      );
      if (state === 'over') failures.push(`${actor}: flyd never called it: ${(await flyd.ended).stderr}`);
      else failures.push(...problemsBefore(actor, sandbox).map((problem) => `${actor}: ${problem}`));
      flyd.kill('SIGKILL');
      await flyd.ended;
      const resumed = await runFlyd(sandbox, ['resume', '--all']);
      if (resumed.code !== 0 && ways[actor] === undefined)
        failures.push(`${actor}: resume ended with ${resumed.code}: ${resumed.stderr}`);
      // A layer that came just when its image failed is nobody's, and the next sweep's: killed, it has no row yet.
      if (failing.has(actor)) await runFlyd(sandbox, ['gc']);
      failures.push(...leftovers(sandbox).map((left) => `${actor}: after a resume: ${left}`));
    } finally {
      await sandbox.close();
    }
  });
  assert.deepEqual(failures, []);
});
