import assert from 'node:assert/strict';
import { rmSync } from 'node:fs';
import { test } from 'node:test';
import { memoryFolder, simulate, Violation } from '#engine/testing/index';
import { brokenEngines } from './broken-engines.ts';
import { workloads } from './workloads/index.ts';

// A simulation that finds nothing proves nothing, unless it finds what is there: each of these engines
// breaks one law, and must be caught soon.

const seedsMax = 300;

for (const { name, workload: workloadName, faults, breaks, database } of brokenEngines)
  test(`an engine that ${name} is caught`, async (t) => {
    const workload = workloads.find((one) => one.name === workloadName);
    assert.ok(workload !== undefined);
    const folder = memoryFolder();
    t.after(() => rmSync(folder, { recursive: true, force: true }));
    const others: string[] = [];
    for (let seed = 0; seed < seedsMax; seed++) {
      const { failure } = await simulate(workload, {
        seed,
        folder,
        database,
        ...(faults === undefined ? {} : { faults }),
      });
      if (failure instanceof Violation && breaks.includes(failure.rule)) {
        t.diagnostic(`seed ${seed}: ${failure.message.slice(0, 160)}`);
        return;
      }
      if (failure !== null) others.push(`${seed}: ${failure.message}`);
    }
    assert.fail(`not caught within ${seedsMax} seeds; found instead: ${others.slice(0, 5).join('; ')}`);
  });
