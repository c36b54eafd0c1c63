import assert from 'node:assert/strict';
import { availableParallelism } from 'node:os';
import test, { type TestContext } from 'node:test';
import { whyNot } from '../support/needs.ts';
import { disturbed, type Point, undisturbed } from './disturb.ts';
import { type FamilyOptions, makeFamily } from './family.ts';
import { each, labFolder } from './sandbox.ts';
import { seeded } from './seed.ts';

const needs = ['zstd', 'getfattr'];
/** Pulls that are killed a second time while they go on after the first. */
const doubleKills = 16;

async function killEverywhere(
  t: TestContext,
  driver: string,
  matters: (point: Point) => boolean = () => true,
  options: FamilyOptions = {},
): Promise<void> {
  const lab = labFolder(t);
  const family = makeFamily(lab, options);
  const { reference, points: passed } = await undisturbed(lab, family, driver);
  const points = passed.filter(matters);
  const chance = seeded(t);
  const drills: Point[][] = [
    ...points.map((point) => [point]),
    ...chance.sample(points, doubleKills).map((point) => [point, chance.pick(points)]),
  ];
  const failures: string[] = [];
  let reached = 0;
  await each(drills, availableParallelism(), async (drill) => {
    const blows = drill.map((point) => ({ fault: `${point}:kill` }));
    const { struck, problems } = await disturbed({ lab, family, driver, reference, blows });
    const [first] = struck;
    if (first?.signal === 'SIGKILL') reached++;
    else if (first?.code !== 0)
      problems.push(`it was not killed, but ended with ${first?.code}: ${first?.stderr}`);
    if (problems.length > 0) failures.push(`killed at ${drill.join(', then ')}:\n  ${problems.join('\n  ')}`);
  });
  t.diagnostic(`${driver}: ${points.length} points, ${drills.length} pulls, ${reached} killed as asked`);
  assert.equal(
    failures.length,
    0,
    `${failures.length} of ${drills.length}\n${failures.slice(0, 10).join('\n')}`,
  );
  // The same work groups its commits now and then differently; more than a few missed points is a fault here.
  assert.ok(reached > drills.length * 0.9, `only ${reached} of ${drills.length} points were reached`);
}

test('a pull that is killed at any commit or effect ends as if nothing had happened (overlay)', async (t) => {
  const missing = whyNot([...needs, 'root', 'overlay', 'setfattr']);
  if (missing !== null) return t.skip(missing);
  // A layer of this size is prepared while it comes.
  await killEverywhere(t, 'overlay', () => true, { bytes: 1_500_000 });
});

test('a pull that is killed at any commit or effect ends as if nothing had happened (btrfs)', async (t) => {
  const missing = whyNot([...needs, 'root', 'btrfs', 'mkfs.btrfs', 'setfattr']);
  if (missing !== null) return t.skip(missing);
  await killEverywhere(t, 'btrfs', (point) => /:(volume|activation)\./.test(point));
});

test('a pull that is killed at any commit or effect ends as if nothing had happened (erofs)', async (t) => {
  const missing = whyNot([...needs, 'root', 'overlay', 'erofs', 'setfattr']);
  if (missing !== null) return t.skip(missing);
  // Only what the driver does is another than overlay's.
  const matters = (point: Point) => /:(volume|activation)\.|:blob\.fetch/.test(point);
  await killEverywhere(t, 'erofs', matters, { bytes: 1_500_000 });
});

test('a pull that is killed at any commit or effect ends as if nothing had happened (copy)', async (t) => {
  const missing = whyNot(needs);
  if (missing !== null) return t.skip(missing);
  // Nothing before the volumes knows of the driver: that was seen above.
  await killEverywhere(t, 'copy', (point) => !/:(blob|family)\b/.test(point));
});
