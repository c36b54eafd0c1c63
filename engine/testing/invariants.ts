import type { Database } from 'better-sqlite3';
import { isTerminal, type RunStatus } from '#core/status';
import type { Json } from '../types.ts';
import { beginnings } from './beginnings.ts';
import { Fold } from './fold.ts';
import { createObserver, type Observed, type ObservedRun, type Observer } from './observed.ts';
import { rule } from './violation.ts';

/** Who did what was done since the last check. */
export interface Actor {
  token: string;
  /** Its wall clock. */
  clock?: { now(): number };
}

export interface InvariantOptions {
  /** A connection of its own to the engines' database. */
  db: Database;
  /** Whether some process holds the token's lock. */
  isHeld(token: string): boolean;
  /** The run has come to this owner. */
  gained?(uid: string, token: string): void;
  /** Whether an effect of the run is under way in a process that owns it, and was not robbed. */
  isOpen?(uid: string): boolean;
}

export interface StartingEffect {
  effectId: string;
  src: string;
  input: Json;
  attempt: number;
}

/** `<run>/<child>/<epoch>`: a run's id has no slash, a child's may. */
function partsOf(effectId: string): { uid: string; child: string; epoch: number } {
  const first = effectId.indexOf('/');
  const last = effectId.lastIndexOf('/');
  return {
    uid: effectId.slice(0, first),
    child: effectId.slice(first + 1, last),
    epoch: Number(effectId.slice(last + 1)),
  };
}

/**
 * The laws that hold at every moment, whatever fails. They are judged from committed rows alone, as
 * another process would read them. Every broken one throws a Violation.
 */
export class Invariants {
  readonly #observer: Observer;
  readonly #isHeld: (token: string) => boolean;
  readonly #isOpen: (uid: string) => boolean;
  readonly #gained: (uid: string, token: string) => void;
  readonly #fold = new Fold();
  #before = new Map<number, ObservedRun>();
  #now: Observed | null = null;
  /** By run and child: every epoch that was seen to be open, and how many results the run took. */
  readonly #epochs = new Map<string, Set<number>>();
  readonly #results = new Map<string, number>();
  /** By run and dedupe mark: how often the run took such an event. */
  readonly #taken = new Map<string, number>();

  constructor({ db, isHeld, gained = () => {}, isOpen = () => false }: InvariantOptions) {
    this.#observer = createObserver(db);
    this.#isHeld = isHeld;
    this.#gained = gained;
    this.#isOpen = isOpen;
  }

  /** The committed rows at the last check. */
  get observed(): Observed | null {
    return this.#now;
  }

  snapshot(run: number): Json {
    return this.#fold.snapshot(run);
  }

  /** How many events with this `mark` the run has taken. */
  taken(uid: string, mark: string): number {
    return this.#taken.get(`${uid}/${mark}`) ?? 0;
  }

  /** Checks everything, if anything was committed since the last time. `by`: the only process that may have. */
  check(by: Actor | null): void {
    const seen = this.#observer.look();
    if (seen === null) return;
    this.#now = seen;
    this.#forgetPurged(seen);
    this.#authorship(seen, by);
    this.#history(seen);
    this.#deliveries(seen);
    this.#children(seen);
    ends(seen);
    statuses(seen);
    orphans(seen);
    this.#queues(seen);
    const clock = by?.clock?.now() ?? null;
    beginnings({ now: seen, before: this.#before, clock, isOpen: this.#isOpen });
    this.#before = seen.runs;
  }

  /**
   * An effect starts, in the process that holds `token`. Gives false when the database says that the
   * run is another's: such a process was robbed of its lock, and no database can hold it back.
   */
  effectStarts({ effectId, src, input, attempt }: StartingEffect, token: string): boolean {
    const { uid, child, epoch } = partsOf(effectId);
    const row = this.#observer.effect(uid, child, epoch);
    rule(
      row !== undefined,
      'effect-has-run',
      () => `${effectId} started, and its run is not in the database`,
    );
    if (row.owner !== token) return false;
    rule(
      row.endedAt === null && row.parked === null,
      'effect-of-live-run',
      () => `${effectId} started, and its run has ended or is parked`,
    );
    rule(
      row.epoch === epoch,
      'effect-is-committed',
      () =>
        `${effectId} started, and the database has ${row.epoch === null ? 'no such effect' : `epoch ${row.epoch}`}`,
    );
    rule(
      row.answered === 0,
      'effect-not-done',
      () => `${effectId} started again, though its result is stored`,
    );
    rule(
      row.src === src && row.input === JSON.stringify(input) && row.state !== 'parked',
      'effect-as-stored',
      () => `${effectId} started as ${src} with ${JSON.stringify(input)}; stored: ${JSON.stringify(row)}`,
    );
    rule(
      row.attempt === attempt - 1,
      'attempts-stored',
      () => `${effectId} counts attempt ${attempt}; ${row.attempt} failures are stored`,
    );
    return true;
  }

  /** A commit counts only for the owner, and a living owner's runs are not taken from it. */
  #authorship({ runs, commits }: Observed, by: Actor | null): void {
    for (const { run, seq } of commits) {
      const owner = runs.get(run)?.owner;
      const before = this.#before.get(run)?.owner;
      rule(
        by !== null && (owner === by.token || before === by.token),
        'one-owner',
        () => `commit ${seq} of run ${run} by ${by?.token}, which is owned by ${owner} (before: ${before})`,
      );
    }
    for (const [id, { uid, owner }] of runs) {
      const before = this.#before.get(id)?.owner ?? null;
      if (owner !== null && owner !== before) this.#gained(uid, owner);
      if (owner === before || before === null || before === by?.token) continue;
      rule(
        owner === by?.token && !this.#isHeld(before),
        'takeover-of-dead-only',
        () => `${uid} went from ${before} to ${owner} by ${by?.token}`,
      );
    }
  }

  #history({ runs, commits }: Observed): void {
    this.#fold.append(commits);
    const touched = new Set(commits.map(({ run }) => run));
    for (const [id, run] of runs) {
      if (this.#before.get(id)?.seq !== run.seq) touched.add(id);
      rule(
        run.seq >= (this.#before.get(id)?.seq ?? 0),
        'seq-grows',
        () => `${run.uid} went back to ${run.seq}`,
      );
    }
    for (const id of touched) {
      const run = runs.get(id);
      rule(run !== undefined, 'history-has-run', () => `run ${id} has history and no row`);
      this.#fold.compare(run, this.#observer.snapshot(id));
    }
  }

  /** Every effect and every child gives its run one result at most, and every marked event is taken once. */
  #deliveries({ runs, effects, links, commits }: Observed): void {
    const open = new Map<string, number>();
    const see = (run: number, child: string, epoch: number, isOpen: boolean): void => {
      const key = `${run}/${child}`;
      const epochs = this.#epochs.get(key) ?? new Set<number>();
      this.#epochs.set(key, epochs.add(epoch));
      if (isOpen) open.set(key, (open.get(key) ?? 0) + 1);
      const reached = runs.get(run)?.epoch ?? 0;
      rule(epoch <= reached, 'epoch-counts', () => `${key} has epoch ${epoch}, its run is at ${reached}`);
    };
    for (const { run, child, epoch } of effects) see(run, child, epoch, true);
    for (const { parent, childId, epoch, settled } of links) see(parent, childId, epoch, settled === 0);
    for (const { run, event, seq } of commits) {
      const { type, mark } = JSON.parse(event) as { type: string; mark?: unknown };
      const uid = runs.get(run)?.uid ?? '';
      if (typeof mark === 'string') {
        const times = this.taken(uid, mark) + 1;
        this.#taken.set(`${uid}/${mark}`, times);
        rule(times === 1, 'event-taken-once', () => `${uid} took '${mark}' ${times} times`);
      }
      const child = /^xstate\.(?:done|error)\.actor\.(.+)$/s.exec(type)?.[1];
      if (child === undefined) continue;
      const key = `${run}/${child}`;
      const results = (this.#results.get(key) ?? 0) + 1;
      this.#results.set(key, results);
      const closed = (this.#epochs.get(key)?.size ?? 0) - (open.get(key) ?? 0);
      rule(
        results <= closed,
        'one-result-each',
        () => `${uid} took result ${results} of '${child}' at ${seq}; only ${closed} of it are over`,
      );
    }
  }

  /** What is to be done for a run is something that its snapshot knows of. */
  #children({ runs, effects, links, timers }: Observed): void {
    const childrenOf = (run: number): Record<string, { src?: string }> =>
      ((this.#fold.snapshot(run) as { children?: unknown } | null)?.children ?? {}) as never;
    for (const { run, child, src } of effects)
      rule(
        childrenOf(run)[child]?.src === src,
        'effect-in-snapshot',
        () => `effect '${child}' (${src}) of run ${run} is not in its snapshot`,
      );
    for (const { parent, childId, settled } of links)
      rule(
        settled === 1 || childrenOf(parent)[childId] !== undefined,
        'link-in-snapshot',
        () => `child '${childId}' of run ${parent} is not in its snapshot`,
      );
    for (const { run, timer, epoch } of timers)
      rule(
        epoch <= (runs.get(run)?.epoch ?? 0),
        'epoch-counts',
        () => `timer '${timer}' of run ${run} has epoch ${epoch}`,
      );
  }

  /** Nothing is admitted to a queue that is full. */
  /** A run that was deleted may have left its number to another. */
  #forgetPurged({ runs }: Observed): void {
    for (const [id, { uid, endedAt }] of this.#before) {
      if (runs.get(id)?.uid === uid) continue;
      rule(endedAt !== null, 'live-is-kept', () => `${uid} was live, and is gone`);
      this.#fold.forget(id);
      this.#before.delete(id);
      for (const known of [this.#epochs, this.#results])
        for (const key of known.keys()) if (key.startsWith(`${id}/`)) known.delete(key);
      for (const key of this.#taken.keys()) if (key.startsWith(`${uid}/`)) this.#taken.delete(key);
    }
  }

  #queues({ runs, queues }: Observed): void {
    const entered = new Set<string>();
    for (const [id, run] of runs)
      if (run.queue !== null && run.admitted === 1 && this.#before.get(id)?.admitted !== 1)
        entered.add(run.queue);
    for (const queue of entered) {
      const moving = [...runs.values()].filter(
        (run) =>
          run.queue === queue &&
          run.admitted === 1 &&
          run.endedAt === null &&
          run.status !== 'pending' &&
          run.status !== 'parked',
      ).length;
      const places = queues.find(({ name }) => name === queue)?.places ?? 1;
      rule(
        moving <= places,
        'queue-places',
        () => `queue '${queue}' has ${places} places and ${moving} runs`,
      );
    }
  }
}

/** A run that has ended owes nothing. */
function ends({ runs, effects, timers, links, inbox }: Observed): void {
  const ended = (id: number): boolean => runs.get(id)?.endedAt !== null;
  const left = [
    ...effects.filter(({ run }) => ended(run)).map(({ run, child }) => `effect '${child}' of run ${run}`),
    ...timers.filter(({ run }) => ended(run)).map(({ run, timer }) => `timer '${timer}' of run ${run}`),
    ...links
      .filter(({ parent, settled }) => settled === 0 && ended(parent))
      .map(({ parent, childId }) => `child '${childId}' of run ${parent}`),
    ...inbox
      .filter(({ run, child }) => child !== null && ended(run))
      .map(({ run, child }) => `result of '${child}' for run ${run}`),
  ];
  rule(left.length === 0, 'ended-owes-nothing', () => left.join(', '));
  for (const { uid, status, endedAt } of runs.values())
    rule(
      isTerminal(status) === (endedAt !== null),
      'ended-is-terminal',
      () => `${uid} is ${status}, ended at ${endedAt}`,
    );
}

/** Something keeps the run from beginning, or has to be asked first. */
const isHeld = ({ queue, startAt, afterRun, replaces }: ObservedRun): boolean =>
  queue !== null || startAt !== null || afterRun !== null || replaces !== null;

/** The stored status is what the rows say. */
function statuses({ runs, effects, links }: Observed): void {
  const known = new Map<number, RunStatus>();
  const derive = (id: number): RunStatus => {
    const earlier = known.get(id);
    if (earlier !== undefined) return earlier;
    const run = runs.get(id) as ObservedRun;
    // Set first: runs that wait for each other in a circle must not be followed for ever.
    known.set(id, run.status);
    if (run.endedAt !== null) return run.status;
    const own = effects.filter((effect) => effect.run === id);
    const below = links.filter(({ parent, settled }) => parent === id && settled === 0);
    const children = below.map(({ child }) => derive(child));
    const status =
      run.parked !== null || own.some(({ state }) => state === 'parked') || children.includes('parked')
        ? 'parked'
        : own.some(({ state }) => state === 'pending') || children.includes('pending')
          ? 'pending'
          : own.length > 0 || (run.seq === 0 && (run.admitted === 1 || !isHeld(run)))
            ? 'running'
            : 'waiting';
    known.set(id, status);
    return status;
  };
  for (const [id, { uid, status }] of runs) {
    const derived = derive(id);
    rule(
      status === derived,
      'status-derived',
      () => `${uid} is stored as ${status}; its rows say ${derived}`,
    );
  }
}

/** A live child that no live parent wants was told to end. */
function orphans({ runs, links }: Observed): void {
  const wanted = new Set(
    links
      .filter(({ parent, settled }) => settled === 0 && runs.get(parent)?.endedAt === null)
      .map(({ child }) => child),
  );
  for (const [id, { uid, standalone, cancel, endedAt }] of runs)
    rule(
      endedAt !== null || standalone === 1 || cancel !== null || wanted.has(id),
      'no-orphans',
      () => `${uid} is live, no parent wants it, and nobody has told it to end`,
    );
}
