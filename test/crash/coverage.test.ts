import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';
import { whyNot } from '../support/needs.ts';
import { type Family, makeFamily } from './family.ts';
import { leftovers, type PullDocument, rows } from './judge.ts';
import { actorNames, machines, restingStates } from './machines.ts';
import {
  documentOf,
  type FlydOptions,
  labFolder,
  openSandbox,
  runFlyd,
  runPull,
  type Sandbox,
  startPull,
  until,
} from './sandbox.ts';

/**
 * Every way that a run can go, as somebody at a terminal would bring it about: success, reuse, failure,
 * cancellation in each stage, a layer that is not there. Together they must have been in every state of
 * every machine, and have called every actor: else a state is dead, or nothing tests it.
 */
type Scenario = (sandbox: Sandbox) => Promise<void>;

async function everydayLife(sandbox: Sandbox): Promise<void> {
  const lock = join(sandbox.folder, 'sample.lock');
  const pulled = documentOf<PullDocument>(await runPull(sandbox, {}, ['--lock', lock]));
  const again = documentOf<PullDocument>(await runPull(sandbox, {}, ['--no-activate']));
  assert.equal(again.image.id, pulled.image.id);
  assert.equal(again.base.reused, true);
  const activated = await runFlyd(sandbox, ['activate', pulled.image.id, '--json']);
  assert.equal(activated.code, 0, activated.stderr);
  assert.equal((await runFlyd(sandbox, ['deactivate', pulled.activation.id])).code, 0);
  assert.equal((await runFlyd(sandbox, ['rm', 'sample'])).code, 1, 'an image in use was removed');
  const removed = await runFlyd(sandbox, ['rm', 'sample', '--force']);
  assert.equal(removed.code, 0, removed.stderr);
  assert.equal((await runFlyd(sandbox, ['gc'])).code, 0);
  for (const table of ['images', 'blobs', 'volumes', 'activations'])
    assert.deepEqual(rows(sandbox, `SELECT * FROM ${table}`), [], `${table} after rm --force`);
}

/** The mount of an activation is gone, as after a reboot. */
async function reboot(sandbox: Sandbox): Promise<void> {
  const { activation } = documentOf<PullDocument>(await runPull(sandbox));
  execFileSync('umount', [join(sandbox.mountRoot, activation.id)]);
  const resumed = await runFlyd(sandbox, ['resume']);
  assert.equal(resumed.code, 0, resumed.stderr);
  assert.match(resumed.stdout, new RegExp(`mounted again: ${activation.id}`));
  assert.equal((await runFlyd(sandbox, ['doctor', '--fix'])).code, 0);
  assert.deepEqual(leftovers(sandbox), []);
}

/** A pull that fails for good in one stage takes back what it made, and the next one is none the worse. */
const failingAt =
  (actor: string): Scenario =>
  async (sandbox) => {
    const failed = await runPull(sandbox, { fault: `effect:${actor}:before:fail` });
    assert.equal(failed.code, 1, failed.stdout);
    assert.equal((JSON.parse(failed.stdout) as { error: { code: string } }).error.code, 'fault_injected');
    assert.deepEqual(leftovers(sandbox), []);
    assert.equal((await runPull(sandbox)).code, 0);
  };

/** A long pause before the second attempt: the run rests in the state until somebody cancels it. */
const pausing = (actor: string): FlydOptions => ({
  fault: `effect:${actor}:before:throw`,
  env: { FLYD_RETRY: 'pauseMs=600000,pauseMsMax=600000' },
});

const cancelledAt =
  (actor: string): Scenario =>
  async (sandbox) => {
    const pull = startPull(sandbox, pausing(actor));
    await until(`${actor} failed once`, () => {
      try {
        const tried = rows(sandbox, `SELECT 1 FROM effects WHERE src = '${actor}' AND attempt = 1`);
        return tried.length > 0 ? true : null;
      } catch {
        return null; // no database yet
      }
    });
    const [run] = rows<{ uid: string }>(sandbox, "SELECT uid FROM runs WHERE machine = 'pull'");
    const cancel = await runFlyd(sandbox, ['runs', 'cancel', run?.uid ?? '']);
    assert.ok(cancel.code === 0 || cancel.code === 4, `cancel ended with ${cancel.code}: ${cancel.stderr}`);
    assert.equal((await pull.ended).code, 4);
    const live = rows(sandbox, 'SELECT machine, state, status FROM runs WHERE ended_at IS NULL');
    assert.deepEqual(live, [], 'runs went on after their parent was cancelled');
    assert.deepEqual(leftovers(sandbox), []);
    assert.equal((await runPull(sandbox)).code, 0);
  };

async function nothingThere(sandbox: Sandbox): Promise<void> {
  const family = { ...sandbox.family, name: 'nothing' };
  const ended = await runPull({ ...sandbox, family });
  assert.equal(ended.code, 1, ended.stdout);
  assert.equal((JSON.parse(ended.stdout) as { error: { code: string } }).error.code, 'family_not_found');
  assert.deepEqual(leftovers(sandbox), []);
}

/** A layer that the manifest names and the bucket lacks: pending, then resumed when it has come. */
async function layerToCome(sandbox: Sandbox): Promise<void> {
  const { family } = sandbox;
  const bucket = join(family.served, 'images');
  const [, , last] = family.layers;
  const away = join(sandbox.folder, 'away');
  const layers = family.layers.map(({ key, size, hex }) => ({
    name: key.replace('sample/', ''),
    size,
    digest: `sha256:${hex}`,
  }));
  const own = { ...sandbox, family: { ...family, name: 'later' } };
  mkdirSync(join(bucket, 'later'));
  writeFileSync(join(bucket, 'later', 'manifest.json'), JSON.stringify({ layers }));
  for (const { key } of family.layers)
    renameSync(join(bucket, key), key === last?.key ? away : join(bucket, key.replace(/^sample/, 'later')));
  const pending = await runPull(own, {}, ['--no-wait']);
  assert.equal(pending.code, 3, pending.stdout + pending.stderr);
  renameSync(away, join(bucket, (last?.key ?? '').replace(/^sample/, 'later')));
  const resumed = await runFlyd(sandbox, ['resume', '--all']);
  assert.equal(resumed.code, 0, resumed.stdout + resumed.stderr);
  assert.deepEqual(leftovers(sandbox), []);
}

const scenarios: Readonly<Record<string, Scenario>> = {
  'everyday life': everydayLife,
  'an empty listing': nothingThere,
  'a failing unpack': failingAt('volume.unpack'),
  'a failing mount': failingAt('activation.mount'),
  'cancelled while listing': cancelledAt('family.resolve'),
  'cancelled before the image has an id': cancelledAt('image.reserve'),
  'cancelled while fetching': cancelledAt('blob.fetch'),
  'cancelled before a volume has an id': cancelledAt('volume.choose'),
  'cancelled while unpacking': cancelledAt('volume.unpack'),
  'cancelled before the activation has an id': cancelledAt('activation.choose'),
  'cancelled while mounting': cancelledAt('activation.mount'),
  'a layer to come': layerToCome, // last: it moves the family
};

interface Step {
  machine: string;
  state: string;
  effects: string;
}

test('every state and actor of the machines occurs, and every way ends cleanly', async (t) => {
  const driver = whyNot(['root', 'overlay']) === null ? 'overlay' : 'copy';
  const missing = whyNot(['zstd', 'getfattr', ...(driver === 'overlay' ? ['setfattr'] : [])]);
  if (missing !== null) return t.skip(missing);
  const lab = labFolder(t);
  const family: Family = makeFamily(lab);
  const states = new Set<string>();
  const actors = new Set<string>();
  const played = driver === 'overlay' ? { 'a reboot': reboot, ...scenarios } : scenarios;
  for (const [title, scenario] of Object.entries(played))
    await t.test(title, async () => {
      const sandbox = await openSandbox(lab, family, driver);
      try {
        await scenario(sandbox);
        const steps = rows<Step>(
          sandbox,
          'SELECT machine, to_state AS state, effects FROM transitions JOIN runs ON runs.id = run',
        );
        for (const { machine, state, effects } of steps) {
          states.add(`${machine}: ${state}`);
          for (const effect of JSON.parse(effects) as string[])
            actors.add(`${machine}: ${effect.split('#')[0]}`);
        }
      } finally {
        await sandbox.close();
      }
    });
  // Without root nothing is mounted, so nothing is there to be mounted again.
  const all = Object.entries(machines).filter(
    ([name]) => !['restore', 'repair'].includes(name) || driver === 'overlay',
  );
  const wantedStates = all.flatMap(([name, each]) =>
    restingStates(each).map((state) => `${name}: ${state.name}`),
  );
  const wantedActors = all.flatMap(([name, each]) => actorNames(each).map((actor) => `${name}: ${actor}`));
  assert.ok(wantedStates.length > 40 && wantedActors.length > 25, 'the graph was not read');
  assert.deepEqual(
    wantedStates.filter((state) => !states.has(state)),
    [],
    'states that never occurred',
  );
  assert.deepEqual(
    wantedActors.filter((actor) => !actors.has(actor)),
    [],
    'actors that were never called',
  );
});
