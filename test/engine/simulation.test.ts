import assert from 'node:assert/strict';
import { rmSync } from 'node:fs';
import { after, test } from 'node:test';
import { memoryFolder, type SimulationReport, simulate } from '#engine/testing/index';
import { seeds } from './seeds.ts';
import { workloads } from './workloads/index.ts';

// A smoke test: scripts/simulate.ts runs thousands.

const seedsEach = 60;
const folder = memoryFolder();
after(() => rmSync(folder, { recursive: true, force: true }));

function mustPass({ seed, workload, failure, trace }: SimulationReport): void {
  if (failure === null) return;
  const replay = `node bin/run.js scripts/simulate.ts --from ${seed} --seeds 1 --workload ${workload} --trace`;
  assert.fail(`seed ${seed} of ${workload}: ${failure}\n${trace.slice(-40).join('\n')}\nreplay: ${replay}`);
}

for (const workload of workloads)
  test(`whatever fails, no law is broken: ${workload.name}`, async (t) => {
    let [steps, commits, lives] = [0, 0, 0];
    for (let seed = 0; seed < seedsEach; seed++) {
      const report = await simulate(workload, { seed, folder });
      mustPass(report);
      steps += report.steps;
      commits += report.commits;
      lives += report.lives;
    }
    t.diagnostic(
      `${workload.name}: seeds 0 to ${seedsEach - 1}, ${steps} steps, ${commits} commits, ${lives} processes`,
    );
    // A simulation in which nothing happens would pass, too.
    assert.ok(commits > seedsEach * 5 && lives > seedsEach * 2);
  });

for (const { workload: name, seed, found } of seeds)
  test(`seed ${seed} of ${name}: ${found}`, async () => {
    const workload = workloads.find((one) => one.name === name);
    assert.ok(workload !== undefined, `no workload is named '${name}'`);
    mustPass(await simulate(workload, { seed, folder }));
  });

test('the same seed does the same, and another does not', async () => {
  for (const workload of workloads) {
    const [first, again, other] = [
      await simulate(workload, { seed: 7, folder }),
      await simulate(workload, { seed: 7, folder }),
      await simulate(workload, { seed: 8, folder }),
    ];
    assert.deepEqual(first.trace, again.trace);
    assert.notDeepEqual(first.trace, other.trace);
  }
});
