import { accessSync, constants, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Database } from 'better-sqlite3';
import { FlydError } from '#core/errors';
import { engineSet } from '#db/engine/index';
import { openDatabase } from '#db/open';
import { Clients } from './clients.ts';
import { type Clock, createClock, settle } from './clock.ts';
import { drawFaults, type FaultRates } from './faults.ts';
import { Hosts } from './hosts.ts';
import { Invariants } from './invariants.ts';
import { memoryLocks } from './locks.ts';
import type { ObservedRun } from './observed.ts';
import type { SimulatedProcess } from './process.ts';
import { type Random, seeded } from './random.ts';
import type { EndedRun, Scene, Workload } from './scene.ts';
import { rule } from './violation.ts';
import { World } from './world.ts';

export interface SimulationOptions {
  seed: number;
  /** Where the database file is made, and removed again. Default: a fresh folder, in memory where that can be. */
  folder?: string;
  /** Instead of those that the seed draws. */
  faults?: Partial<FaultRates>;
  /** Steps with faults, before the world heals. Default: drawn from the seed, 50 to 130. */
  steps?: number;
  /** Wraps every database that an engine is given: to see that a broken engine is caught. */
  database?(db: Database, process: SimulatedProcess): Database;
}

export interface SimulationReport {
  seed: number;
  workload: string;
  /** Callbacks, calls and faults; each was followed by a check of all invariants. */
  steps: number;
  commits: number;
  runs: number;
  /** Processes that lived. */
  lives: number;
  /** Simulated milliseconds. */
  ms: number;
  trace: string[];
  /** What was broken, or null. */
  failure: Error | null;
}

/** So often what is parked is retried at the end: by each time the runs that followed it may be parked in turn. */
const roundsMax = 12;

/** Simulated time within which everything must come to rest once faults have stopped. */
const restMsMax = 4 * 3600_000;

/** A fresh folder on a memory file system, where there is one: what fsync costs is not what is tested. */
export function memoryFolder(): string {
  const memory = '/dev/shm';
  try {
    accessSync(memory, constants.W_OK);
    return mkdtempSync(join(memory, 'flyd-simulation-'));
  } catch {
    return mkdtempSync(join(tmpdir(), 'flyd-simulation-'));
  }
}

/**
 * Runs one workload under one seed: several processes with the real engine on one real database
 * file, under a fake clock, with the faults that the seed draws; then the world heals, and every run
 * must end. The same seed does the same. Gives a report, also when a law was broken.
 */
export async function simulate(workload: Workload, options: SimulationOptions): Promise<SimulationReport> {
  const folder = options.folder ?? memoryFolder();
  const path = join(folder, `seed-${process.pid}-${options.seed}.db`);
  writeFileSync(path, emptyDatabase());
  const simulation = new Simulation(workload, { ...options, path });
  const strayed: unknown[] = [];
  const stray = (reason: unknown): void => void strayed.push(reason);
  process.on('unhandledRejection', stray);
  try {
    await simulation.run();
    if (strayed.length > 0) throw strayed[0];
    return simulation.report(null);
  } catch (thrown) {
    return simulation.report(thrown instanceof Error ? thrown : new Error(String(thrown)));
  } finally {
    process.off('unhandledRejection', stray);
    simulation.dispose();
    if (options.folder === undefined) rmSync(folder, { recursive: true, force: true });
    else for (const suffix of ['', '-wal', '-shm']) rmSync(path + suffix, { force: true });
  }
}

/** The bytes of a database with the engine's tables and nothing in them: making those costs more than a copy. */
let emptyBytes: Buffer | null = null;
function emptyDatabase(): Buffer {
  if (emptyBytes !== null) return emptyBytes;
  const folder = memoryFolder();
  try {
    const path = join(folder, 'empty.db');
    openDatabase(path, [engineSet]).close();
    emptyBytes = readFileSync(path);
    return emptyBytes;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/**
 * So long nobody may commit before all is at rest: by then everybody has looked what the others did, and
 * has read anew what a failed commit left in doubt.
 */
const quietMs = 2500;

class Simulation {
  readonly #workload: Workload;
  readonly #seed: number;
  readonly #steps: number;
  readonly #trace: string[] = [];
  readonly #clock: Clock;
  readonly #startedAt: number;
  readonly #observerDb: Database;
  readonly #invariants: Invariants;
  readonly #world: World;
  readonly #hosts: Hosts;
  readonly #clients: Clients;
  readonly #scene: Scene;
  readonly #random: Random;
  #step = 0;
  #commits = 0;
  #broken: unknown = null;

  constructor(workload: Workload, options: SimulationOptions & { path: string }) {
    const random = seeded(options.seed);
    const faults = { ...drawFaults(random), ...options.faults };
    const clock = createClock({ seed: options.seed });
    const note = (line: string): void =>
      void this.#trace.push(`${this.#step} ${clock.now() - this.#startedAt}ms ${line}`);
    const broke = (broken: unknown): void => {
      this.#broken ??= broken;
    };
    this.#random = random;
    this.#workload = workload;
    this.#seed = options.seed;
    this.#steps = options.steps ?? 50 + random.int(80);
    this.#clock = clock;
    this.#startedAt = clock.now();
    this.#observerDb = openDatabase(options.path, [engineSet]);
    const locks = memoryLocks({ now: () => clock.now(), kill: (token) => this.#hosts.kill(token) });
    this.#invariants = new Invariants({
      db: this.#observerDb,
      isHeld: locks.isHeld,
      gained: (uid, token) => this.#world.gained(uid, token),
      isOpen: (uid) => this.#world.isOpen(uid),
    });
    this.#world = new World({
      random,
      now: () => clock.now(),
      rates: { fail: faults.effectFails, deaf: faults.effectDeaf, instant: faults.effectInstant },
      starts: (start, { token }) => this.#invariants.effectStarts(start, token),
      note,
      broke,
    });
    this.#scene = workload.create(random);
    this.#clients = new Clients({
      random,
      clock,
      calls: this.#scene.calls,
      twice: faults.callTwice,
      note,
      broke,
    });
    this.#hosts = new Hosts({
      path: options.path,
      clock,
      locks,
      random,
      faults,
      world: this.#world,
      scene: this.#scene,
      queues: workload.queues ?? {},
      note,
      broke,
      died: (process) => this.#clients.died(process),
      ...(options.database === undefined ? {} : { database: options.database }),
    });
  }

  async run(): Promise<void> {
    await this.#boot();
    while (this.#step < this.#steps) await this.#stepWithFaults();
    await this.#heal();
    await this.#rest();
    for (let round = 0; this.#live().length > 0 && round < roundsMax; round++) {
      await this.#retryParked();
      await this.#rest();
    }
    this.#judgeEnd();
    await this.#closeAll();
  }

  report(failure: Error | null): SimulationReport {
    return {
      seed: this.#seed,
      workload: this.#workload.name,
      steps: this.#step,
      commits: this.#commits,
      runs: this.#invariants.observed?.runs.size ?? 0,
      lives: this.#hosts.lives,
      ms: this.#clock.now() - this.#startedAt,
      trace: this.#trace,
      failure,
    };
  }

  dispose(): void {
    for (const process of this.#hosts.alive) process.die();
    this.#observerDb.close();
  }

  /** One thing happens: a fault, a call, a callback that is due, or time goes by. */
  async #stepWithFaults(): Promise<void> {
    const struck = this.#hosts.strike();
    if (struck !== null) return this.#after(struck);
    const { up } = this.#hosts;
    if (this.#clients.isDue && up.length > 0 && this.#random.chance(0.5)) {
      const process = this.#random.pick(up);
      this.#clients.makeOne(process);
      return this.#after(process);
    }
    if (this.#random.chance(0.95) && (await this.#runOne())) return;
    this.#passTime();
    await this.#after(null);
  }

  /** To when something is due; now and then beyond, as on a machine that is busy. */
  #passTime(): void {
    const late = this.#random.chance(0.2) ? this.#random.int(300) : 0;
    const now = this.#clock.now();
    const times = [this.#clock.nextAt(), this.#clients.nextAt, this.#hosts.nextAt];
    // A call that is due may have nobody to take it: time goes by all the same.
    const next = Math.min(...times.flatMap((at) => (at !== null && at > now ? [at] : [])));
    this.#clock.moveTo((Number.isFinite(next) ? next : now + 1) + late);
  }

  async #runOne(): Promise<boolean> {
    const ran = this.#clock.runOne();
    if (ran === null) return false;
    const process = this.#hosts.named(ran.process);
    if (ran.thrown !== null) this.#hosts.uncaught(process, ran.thrown);
    await this.#after(process ?? null);
    return true;
  }

  /** Promises settle, then every law is checked. `by` is the process that moved. */
  async #after(by: SimulatedProcess | null): Promise<void> {
    await settle();
    this.#step += 1;
    if (this.#broken !== null) throw this.#broken;
    const before = this.#invariants.observed;
    this.#invariants.check(by);
    const seen = this.#invariants.observed;
    if (seen !== null && seen !== before)
      for (const { run, seq, event } of seen.commits) {
        this.#commits += 1;
        this.#note(`  commit ${seen.runs.get(run)?.uid} ${seq} ${event}`);
      }
    this.#scene.always?.();
  }

  #note(line: string): void {
    this.#trace.push(line);
  }

  async #heal(): Promise<void> {
    this.#note('-- the world heals');
    this.#world.healed = true;
    this.#scene.heal?.();
    this.#hosts.heal();
    await this.#after(null);
    await this.#closed();
    // Somebody new takes over what is left, or somebody who was there all the time.
    if (this.#hosts.up.length === 0 || this.#random.chance(0.3)) await this.#boot();
    const helper = this.#random.pick(this.#hosts.up);
    this.#hosts.resume(helper);
    await this.#after(helper);
  }

  async #boot(): Promise<void> {
    const process = this.#hosts.bootOne();
    if (process !== null) await this.#after(process);
  }

  #live(): ObservedRun[] {
    return [...(this.#invariants.observed?.runs.values() ?? [])].filter(({ endedAt }) => endedAt === null);
  }

  /** Until every run has ended or is parked, with time in strides that grow while nothing happens. */
  async #rest(): Promise<void> {
    const since = this.#clock.now();
    let stride = 20;
    let quietSince = since;
    for (;;) {
      const commits = this.#commits;
      await this.#drain();
      const live = this.#live();
      const answered = this.#clients.open.length === 0 || live.length > 0;
      const isLive = (id: number | null): boolean => live.some((run) => run.id === id);
      // One that waits for another moves no sooner than that one does.
      const atRest =
        answered &&
        live.every(
          ({ status, afterRun, replaces }) => status === 'parked' || isLive(afterRun) || isLive(replaces),
        );
      if (commits !== this.#commits) quietSince = this.#clock.now();
      if (atRest && this.#clock.now() - quietSince >= quietMs) return;
      rule(
        this.#clock.now() - since < restMsMax,
        'liveness',
        () =>
          `without faults, these do not come to rest: ${live.map(({ uid, status, owner }) => `${uid} (${status}, owner ${owner})`).join(', ')}; calls without an answer: ${this.#clients.open.join(', ')}`,
      );
      if (commits !== this.#commits) stride = 20;
      else stride = atRest ? quietMs / 2 : Math.min(stride * 1.5, 600_000);
      this.#clock.moveTo(this.#clock.now() + Math.round(stride));
    }
  }

  async #drain(): Promise<void> {
    for (;;) {
      if (this.#clients.isDue) {
        const process = this.#random.pick(this.#hosts.up);
        this.#clients.makeOne(process);
        await this.#after(process);
      } else if (!(await this.#runOne())) return;
    }
  }

  async #retryParked(): Promise<void> {
    for (const { uid } of this.#live()) {
      const process = this.#random.pick(this.#hosts.up);
      this.#note(`${process.name} is asked to retry ${uid}`);
      // It may have ended by the retry of a run above it.
      if (process.engine.run(uid).endedAt === null)
        await Promise.all([process.engine.retry(uid).catch(unlessEnded), this.#after(process)]);
    }
  }

  #judgeEnd(): void {
    const live = this.#live();
    rule(
      live.length === 0,
      'liveness',
      () => `healed and retried, still parked: ${live.map(({ uid }) => uid).join(', ')}`,
    );
    const [process] = this.#hosts.up;
    if (process === undefined || this.#scene.atEnd === undefined || this.#hosts.robbed) return;
    const { engine } = process;
    const runs = engine.runs().map(
      ({ id, machine, status, state, input, output, continuedAs }): EndedRun => ({
        id,
        machine,
        status: status as EndedRun['status'],
        state,
        input,
        output,
        continuedAs,
        events: engine.history(id).map(({ event }) => event),
      }),
    );
    const taken = (run: string, mark: string): number => this.#invariants.taken(run, mark);
    this.#scene.atEnd({ runs, ledger: this.#world.ledger, answered: this.#clients.answered, taken });
  }

  /** A process that closes in peace leaves nothing behind. */
  async #closeAll(): Promise<void> {
    for (const process of this.#hosts.up) {
      this.#hosts.close(process);
      await this.#after(process);
    }
    await this.#closed();
  }

  /** Until every process that is closing has closed: what it aborted needs time to wind down. */
  async #closed(): Promise<void> {
    const since = this.#clock.now();
    while (this.#hosts.alive.some(({ state }) => state === 'closing')) {
      rule(
        this.#clock.now() - since < restMsMax,
        'closes',
        () => 'a process that closes does not come to its end',
      );
      if (!(await this.#runOne())) this.#passTime();
    }
  }
}

function unlessEnded(thrown: unknown): void {
  if (!(thrown instanceof FlydError && thrown.code === 'run_not_active')) throw thrown;
}
