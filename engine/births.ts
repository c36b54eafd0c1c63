import type { NewRun, StartOutcome, StartWish } from '#db/engine/index';
import { advance } from './advance.ts';
import { newDraft, type Rules } from './draft.ts';
import type { HostOptions } from './host-options.ts';
import type { Registry } from './registry.ts';
import { liveRun } from './run.ts';
import { type Turn, turnOf } from './turn.ts';

/** A run that somebody wishes to start, on its way to the database. */
export interface Birth {
  readonly run: NewRun;
  readonly wish: StartWish;
  /** Its first transition, for a run that nothing can hold; null when that is to be seen once it is stored. */
  first: Turn | null;
  resolve(outcome: StartOutcome): void;
  reject(fault: unknown): void;
}

/**
 * Gathers the wishes of one turn of the event loop, to be written in one transaction. A run that nothing can
 * hold makes its first transition at once: it is stored by the commit that stores the run.
 */
export class Births {
  #waiting: Birth[] = [];
  readonly #flush: () => void;

  /** `flush` is called soon after the first wish: it is to `take` them. */
  constructor(flush: () => void) {
    this.#flush = flush;
  }

  /** Resolves when the run is stored, or another is the answer. Rejects when that is not known. */
  add(run: NewRun, wish: StartWish): Promise<StartOutcome> {
    return new Promise((resolve, reject) => {
      if (this.#waiting.length === 0) queueMicrotask(this.#flush);
      this.#waiting.push({ run, wish, first: null, resolve, reject });
    });
  }

  take(registry: Registry, token: string, rules: Rules): Birth[] {
    const births = this.#waiting.splice(0);
    for (const birth of births) birth.first = firstStep(birth, registry, token, rules);
    return births;
  }
}

function firstStep({ run, wish }: Birth, registry: Registry, token: string, rules: Rules): Turn | null {
  const { queue, startAt, secrets } = run;
  const isFree = queue === null && startAt === null && wish.after === null && wish.conflict !== 'replace';
  const known = registry.find(run.machine);
  if (!isFree || secrets !== undefined || known === undefined) return null;
  const row = { ...unborn, ...run, owner: token, createdAt: wish.at, updatedAt: wish.at };
  const stored = { row, effects: [], timers: [], links: [], secrets: null };
  const live = liveRun(stored, known.definition, known.hash);
  const draft = newDraft(live);
  live.begun = true;
  live.status = 'running';
  live.written = { ...asBorn, version: run.version, definition: run.definition };
  advance(live, { type: 'begin' }, draft, rules);
  return turnOf(live, draft, token, rules);
}

/** Tells the probe of each run that is committed, by its machine and the number of the commit. */
export function probeAll(
  probe: HostOptions['probe'],
  turns: readonly Turn[],
  births: readonly Birth[],
  when: 'before' | 'after',
): void {
  if (probe === null) return;
  const firsts = births.flatMap(({ first }) => first ?? []);
  for (const { run, write } of [...turns, ...firsts])
    probe(`commit:${run.definition.name}:${write.row.seq}:${when}`);
}

/** Of what a step seldom changes, what the row of a run holds that has just been stored. */
const asBorn = { tags: '[]', tagsLast: '{}', parked: null, attempts: 0, cancelDelivered: false } as const;

/** What a row holds before its run has begun, as far as nobody wished otherwise. */
const unborn = {
  ...asBorn,
  id: 0,
  status: 'running',
  snapshot: null,
  origin: null,
  forkedFrom: null,
  output: null,
  error: null,
  seq: 0,
  last: null,
  epoch: 0,
  standalone: true,
  cancel: null,
  admitted: false,
  endedAt: null,
  afterRun: null,
  afterWhen: null,
  afterOtherwise: null,
  replaces: null,
  awaited: false,
  killed: null,
  continuedAs: null,
  historyFrom: 1,
} as const;
