import assert from 'node:assert/strict';
import { cpSync, mkdirSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import test from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { whyNot } from '../support/needs.ts';
import { diffRootfs, type Rootfs, readRootfs } from '../support/rootfs.ts';
import { leastShare, mingle, newTally, sample } from './crowd.ts';
import { commandMember, residentMember } from './crowd-member.ts';
import { samplePool } from './crowd-pool.ts';
import { makeFamily } from './family.ts';
import { leftovers, type PullDocument, rows } from './judge.ts';
import { documentOf, labFolder, openSandbox, runFlyd } from './sandbox.ts';
import { seeded } from './seed.ts';

/** Fewer in an emulated guest, where loading flyd takes each of them ten times as long (FLYD_TEST_CROWD). */
const crowd = Number(process.env.FLYD_TEST_CROWD ?? 16);
/** Seconds: FLYD_TEST_CROWD_SECONDS for a long run by hand. */
const lasts = Number(process.env.FLYD_TEST_CROWD_SECONDS ?? 25);
const families = ['sample', 'second', 'third'] as const;

test('processes in a crowd pull, activate, deactivate, remove and sweep, and some are killed', async (t) => {
  const missing = whyNot(['zstd', 'getfattr']);
  if (missing !== null) return t.skip(missing);
  const chance = seeded(t);
  const lab = labFolder(t);
  const usual = whyNot(['root', 'overlay', 'setfattr']) === null ? 'overlay' : 'copy';
  const driver = process.env.FLYD_TEST_DRIVER ?? usual;
  const family = makeFamily(lab, { files: 10, bytes: 100_000, attributes: false });
  const bucket = join(family.served, 'images');
  for (const [name, ...files] of [
    ['second', '01-base.tar.gz', '02-tools.tar'],
    ['third', '01-base.tar.gz', '03-app.tar.zst'],
  ]) {
    mkdirSync(join(bucket, name ?? ''));
    for (const file of files) cpSync(join(bucket, 'sample', file), join(bucket, name ?? '', file));
  }
  const isGuest = driver === 'devmapper';
  const memberOf = isGuest ? residentMember : commandMember;
  // Who is killed has everything to load again, which in a guest takes as long as half a dozen commands.
  const killOneOf = isGuest ? 6 : 4;
  const trees = new Map<string, Rootfs>();
  const quiet = await openSandbox(lab, family, driver);
  const first = memberOf(quiet, {});
  // The quickest: in a guest, the first loads much more than it pulls.
  let pullMs = Number.POSITIVE_INFINITY;
  for (const name of families) {
    const begun = performance.now();
    const { activation } = documentOf<PullDocument>(await first.run(['pull', name, ...quiet.pullArgs], null));
    pullMs = Math.min(pullMs, performance.now() - begun);
    trees.set(name, readRootfs(activation.rootfs));
  }
  first.close();
  // Sixteen on the one processor of an emulated guest: they are silent for long while they load.
  const env = { FLYD_STUCK_AFTER_MS: isGuest ? '300000' : '20000' };
  const killWithinMs = pullMs * Math.max(1, crowd / 2 / availableParallelism());
  await quiet.close();

  const sandbox = await openSandbox(lab, family, driver);
  t.after(() => sandbox.close());
  const tally = newTally();
  const seen: string[] = [];
  let samples = 0;
  const members = Array.from({ length: crowd }, () => memberOf(sandbox, env));
  await Promise.all(members.map((member) => member.ready()));
  // The time runs from when each has brought something to an end: until then a guest is busy with loading.
  let end = Number.POSITIVE_INFINITY;
  let stopped = false;
  const isOver = (): boolean => {
    const allHave = tally.each.length === crowd && tally.each.every((commands) => commands > 0);
    if (allHave) end = Math.min(end, performance.now() + lasts * 1000);
    return stopped || performance.now() > end || seen.length > 0 || tally.wrong.length > 0;
  };
  const watch = async (): Promise<void> => {
    for (let tookMs = 0; !isOver(); await sleep(Math.max(500, 9 * tookMs))) {
      const from = performance.now();
      seen.push(...sample(sandbox));
      if (isGuest) seen.push(...(await samplePool(sandbox)));
      samples += 1;
      // The tools of a pool are slow in a guest, and hold its lock: who looks leaves most of the time to others.
      tookMs = performance.now() - from;
    }
  };
  const all = [
    watch(),
    ...members.map((member) =>
      mingle(sandbox, member, { families, chance, killOneOf, killWithinMs }, tally, isOver),
    ),
  ];
  // When one throws, the others are let come to an end: none may go on in a folder that is being removed.
  const ends = await Promise.allSettled(
    all.map((each) =>
      each.catch((error: unknown) => {
        stopped = true;
        throw error;
      }),
    ),
  );
  for (const each of ends) if (each.status === 'rejected') throw each.reason;
  const share = leastShare(tally);
  t.diagnostic(
    `${samples} samples, least share ${share.toFixed(2)}, ${JSON.stringify({ ...tally, wrong: tally.wrong.length })}`,
  );
  assert.deepEqual(seen, []);
  assert.deepEqual(tally.wrong, []);
  // In a short time, chance decides more than the locks.
  const leastFair = lasts >= 300 ? 0.5 : 0.01;
  assert.ok(samples > 0 && share >= leastFair, JSON.stringify(tally));

  await runFlyd(sandbox, ['resume', '--all', '--json']);
  documentOf(await runFlyd(sandbox, ['gc', '--json']));
  const verdict = await runFlyd(sandbox, ['doctor', '--verify', '--json']);
  assert.equal(verdict.code, 0, verdict.stdout);
  assert.deepEqual(leftovers(sandbox), []);
  const active = rows<{ family: string; rootfs: string }>(
    sandbox,
    "SELECT i.family, a.rootfs FROM activations a JOIN images i ON i.id = a.image WHERE a.state = 'active'",
  );
  for (const { family: name, rootfs } of active)
    assert.deepEqual(diffRootfs(trees.get(name) ?? new Map(), readRootfs(rootfs)), [], name);
});
