import assert from 'node:assert/strict';
import test, { type TestContext } from 'node:test';
import { compareSeed, compareStack, type Deviation, deviations } from '../support/differential.ts';
import { keptStacks } from '../support/kept-stacks.ts';
import { imageProblem } from '../support/layer-stack.ts';
import { findUmoci, type Umoci } from '../support/umoci.ts';

/**
 * Random stacks of layers, by flyd in every form and by umoci: the merged trees are equal, but for a short
 * list of deviations, each with its rule. `npm run test:differential` does it for longer.
 */
const seeds = Number(process.env.FLYD_TEST_ROUNDS ?? 60);
const first = Number(process.env.FLYD_TEST_SEED ?? 1);

function reference(t: TestContext): Umoci | null {
  const umoci = findUmoci();
  const problem = umoci === null ? 'needs umoci: scripts/setup-tests installs it' : imageProblem();
  if (problem !== false) t.skip(problem);
  return problem === false ? umoci : null;
}

test(`${seeds} random stacks of layers are what umoci makes of them`, (t) => {
  const umoci = reference(t);
  if (umoci === null) return;
  const met = new Map<Deviation, number>();
  for (let seed = first; seed < first + seeds; seed++) {
    const { differences, met: now } = compareSeed(seed, umoci);
    const again = `npm run test:differential -- --from ${seed} --seeds 1 shows it again, made small`;
    assert.deepEqual(differences, [], again);
    for (const one of now) met.set(one, (met.get(one) ?? 0) + 1);
  }
  const counts = [...met].map(([name, count]) => `${name} ${count}`).join(', ');
  t.diagnostic(`umoci ${umoci.version}; stacks with a deviation: ${counts}`);
});

for (const { why, shows, stack } of keptStacks())
  test(`kept: ${why}`, (t) => {
    const umoci = reference(t);
    if (umoci === null) return;
    const { differences, met } = compareStack(stack, umoci);
    assert.deepEqual(differences, []);
    if (shows !== null) assert.ok(met.has(shows), `no longer there: ${deviations[shows]}`);
  });

test('each deviation of the newest umoci has a stack that shows it', () => {
  const shown = new Set(keptStacks().map(({ shows }) => shows));
  const old: Deviation = 'fileOnTheWay';
  for (const name of Object.keys(deviations) as Deviation[]) assert.ok(name === old || shown.has(name), name);
});
