import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Family } from './family.ts';
import {
  leftovers,
  needlessFetches,
  problemsOf,
  type Reference,
  referenceOf,
  settledRequests,
  wholeLayers,
} from './judge.ts';
import { type Ended, type FlydOptions, openSandbox, runPull } from './sandbox.ts';

/** A point that the engine passes: its name, and which time. As `FLYD_FAULT` wants it: `<name>#<nth>`. */
export type Point = string;

export interface Undisturbed {
  reference: Reference;
  points: Point[];
}

/** Pulls once without disturbance: what comes of it, and every point that was passed, child runs included. */
export async function undisturbed(lab: string, family: Family, driver: string): Promise<Undisturbed> {
  const sandbox = await openSandbox(lab, family, driver);
  try {
    const file = join(sandbox.folder, 'points');
    const ended = await runPull(sandbox, { fault: `record:${file}` });
    const reference = referenceOf(ended);
    assert.deepEqual(leftovers(sandbox), [], 'leftovers of an undisturbed pull');
    assert.deepEqual(await needlessFetches(sandbox, [], 0), []);
    const seen = new Map<string, number>();
    const points = readFileSync(file, 'utf8')
      .trim()
      .split('\n')
      .map((name) => {
        const nth = (seen.get(name) ?? 0) + 1;
        seen.set(name, nth);
        return `${name}#${nth}`;
      });
    return { reference, points };
  } finally {
    await sandbox.close();
  }
}

export interface Disturbance {
  lab: string;
  family: Family;
  driver: string;
  reference: Reference;
  /** What befalls each pull but the last, which runs undisturbed to its end. */
  blows: readonly FlydOptions[];
}

export interface Outcome {
  /** How each disturbed pull ended. */
  struck: Ended[];
  /** Everything that is wrong at the end. */
  problems: string[];
}

/** Pulls into a fresh state directory, as often as there are blows, and once more; then judges. */
export async function disturbed({ lab, family, driver, reference, blows }: Disturbance): Promise<Outcome> {
  const sandbox = await openSandbox(lab, family, driver);
  try {
    const struck: Ended[] = [];
    const problems: string[] = [];
    let whole: string[] = [];
    let from = 0;
    for (const blow of blows) {
      struck.push(await runPull(sandbox, blow));
      problems.push(...(await needlessFetches(sandbox, whole, from)));
      whole = wholeLayers(sandbox);
      from = await settledRequests(sandbox);
    }
    const last = await runPull(sandbox);
    problems.push(...problemsOf(sandbox, last, reference));
    problems.push(...(await needlessFetches(sandbox, whole, from)));
    return { struck, problems };
  } finally {
    await sandbox.close();
  }
}
