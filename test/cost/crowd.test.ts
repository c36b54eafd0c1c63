import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import test, { type TestContext } from 'node:test';
import { fill } from '../../bench/scale/crowd.ts';
import { makeFamily } from '../crash/family.ts';
import { documentOf, labFolder, openSandbox, runFlyd, type Sandbox } from '../crash/sandbox.ts';
import { whyNot } from '../support/needs.ts';
import { perBlob, syncsOfRm } from './budgets.ts';
import { type Cost, costOf } from './measure.ts';

// What commands do for each blob that is there, in counts: the difference between many and few.

const layers = 50;
const few = { images: 10, blobs: 10 * layers, endedRuns: 10, activations: 0 };
const many = { ...few, images: 60, blobs: 60 * layers };
const moreBlobs = many.blobs - few.blobs;
const imageId = (n: number): string => `img-${n.toString(16).padStart(16, '0')}`;

async function crowded(t: TestContext, lab: string, crowd: typeof few): Promise<Sandbox> {
  const folder = join(lab, String(crowd.images));
  mkdirSync(folder);
  const sandbox = await openSandbox(lab, makeFamily(folder, { files: 1 }), 'copy');
  t.after(() => sandbox.close());
  documentOf(await runFlyd(sandbox, ['gc', '--json']));
  fill(sandbox.state, sandbox.mountRoot, crowd);
  return sandbox;
}

test('what a blob more costs those who check, sweep and remove', async (t) => {
  const why = whyNot(['strace']);
  if (why !== null) return t.skip(why);
  const lab = labFolder(t);
  const small = await crowded(t, lab, few);
  const large = await crowded(t, lab, many);
  const within = (what: string, counted: number, budget: number): void => {
    t.diagnostic(`${what}: ${counted.toFixed(3)} of ${budget}`);
    assert.ok(counted <= budget, `${what}: ${counted}, and ${budget} are allowed (test/cost/budgets.ts)`);
  };
  const both = async (args: readonly string[]): Promise<[Cost, Cost]> => [
    await costOf(small, args),
    await costOf(large, args),
  ];
  // Without the pages that SQLite writes: in a larger index fewer of the same rows share one.
  const looks = ({ calls, byName }: Cost): number => calls - (byName.pwrite64 ?? 0);
  const more = ([less, most]: readonly [Cost, Cost]): number => (looks(most) - looks(less)) / moreBlobs;

  within('verify: calls for a blob', more(await both(['doctor', '--verify'])), perBlob.verify);
  within('gc: calls for a blob', more(await both(['gc'])), perBlob.gc);
  const removals = await both(['rm', imageId(3)]);
  within("rm: calls for another image's blob", more(removals), perBlob.rmOfOthers);
  within('rm: syncs', removals[1].syncs, syncsOfRm);
  const own = (removals[1].byName.unlink ?? 0) / layers;
  within('rm: unlinks for a blob of its own', own, perBlob.rmOfOwn);
  assert.ok(own >= 1, 'the count is of this very removal');
});
