import type { Database } from 'better-sqlite3';
import { FlydError, recoverable } from '#core/errors';
import type { Queues } from '../queue.ts';
import type { Clock } from './clock.ts';
import { type FaultRates, noFaults } from './faults.ts';
import type { SimulatedLocks } from './locks.ts';
import { Crashed, isInjected, SimulatedProcess, sqliteError } from './process.ts';
import type { Random } from './random.ts';
import type { Scene } from './scene.ts';
import type { World } from './world.ts';

export interface HostsOptions {
  path: string;
  clock: Clock;
  locks: SimulatedLocks;
  random: Random;
  faults: FaultRates;
  world: World;
  scene: Scene;
  queues: Queues;
  database?(db: Database, process: SimulatedProcess): Database;
  note(line: string): void;
  broke(broken: unknown): void;
  /** Calls that this process was answering are nobody's now. */
  died(process: SimulatedProcess): void;
}

/** How long a locked-out process waits for the database: all that while it does nothing else. */
const lockedOutMs = 20_000;
const stuckAfterMs = 300;

/** The simulated processes: they are started, killed, frozen, robbed and closed here. */
export class Hosts {
  readonly #options: HostsOptions;
  readonly #slots: (SimulatedProcess | null)[];
  readonly #wakeAt = new Map<SimulatedProcess, number>();
  #faults: FaultRates;
  #lives = 0;
  /** Some process lost its lock while it lived. */
  robbed = false;

  constructor(options: HostsOptions) {
    this.#options = options;
    this.#faults = options.faults;
    this.#slots = Array.from({ length: options.random.pick([1, 2, 2, 3]) }, () => null);
  }

  get lives(): number {
    return this.#lives;
  }

  get alive(): SimulatedProcess[] {
    return this.#slots.filter((process) => process?.isAlive === true) as SimulatedProcess[];
  }

  /** Those that answer calls. */
  get up(): SimulatedProcess[] {
    return this.alive.filter(({ state }) => state === 'up');
  }

  named(name: string): SimulatedProcess | undefined {
    return this.#slots.find((process) => process?.name === name) ?? undefined;
  }

  /** When the next frozen process wakes up. */
  get nextAt(): number | null {
    return this.#wakeAt.size === 0 ? null : Math.min(...this.#wakeAt.values());
  }

  /** Starts a process in an empty place; null when there is none. */
  bootOne(): SimulatedProcess | null {
    const empty = this.#slots.findIndex((process) => process?.isAlive !== true);
    return empty < 0 ? null : this.#boot(empty);
  }

  /** Now and then something befalls a process. Gives the process, or null when nothing happened. */
  strike(): SimulatedProcess | null {
    const { random, clock, note } = this.#options;
    for (const [process, at] of this.#wakeAt) if (at <= clock.now()) return this.#wake(process);
    const faults = this.#faults;
    const { up, alive } = this;
    const bootChance = alive.length === 0 ? 0.5 : 0.05;
    if (alive.length < this.#slots.length && random.chance(bootChance)) return this.bootOne();
    if (alive.length > 0 && random.chance(faults.crash)) {
      const victim = random.pick(alive);
      note(`${victim.name} is killed`);
      victim.die();
      return victim;
    }
    if (up.length === 0) return null;
    if (random.chance(faults.close)) return this.close(random.pick(up));
    if (random.chance(faults.freeze)) return this.#freeze(random.pick(up));
    if (random.chance(faults.clockJump)) {
      const victim = random.pick(up);
      victim.clock.skewMs = Math.round((random.next() - 0.5) * random.pick([1000, 60_000, 3600_000]));
      note(`${victim.name} has its clock ${victim.clock.skewMs} ms ahead`);
      return victim;
    }
    return null;
  }

  /** No more faults: what was robbed is killed, what is frozen wakes up. */
  heal(): void {
    this.#faults = noFaults;
    for (const process of this.alive) {
      if (process.robbed) {
        this.#options.note(`${process.name} is killed, for it lost its lock`);
        process.die();
      } else if (process.state === 'frozen') this.#wake(process);
    }
  }

  /** What the others do to an owner that shows no sign of life. */
  kill(token: string): boolean {
    const victim = this.alive.find((process) => process.token === token);
    if (victim === undefined) return false;
    this.#options.note(`${victim.name} is killed by another, for it is stuck`);
    victim.die();
    return true;
  }

  /** An exception that nobody caught ends its process; one that no injected fault explains is a finding. */
  uncaught(process: SimulatedProcess | undefined, thrown: unknown): void {
    if (process === undefined || !process.isAlive || thrown instanceof Crashed) return;
    this.#options.note(`${process.name} dies of ${String(thrown)}`);
    if (!isInjected(thrown)) this.#options.broke(thrown);
    process.die();
  }

  /** Takes over what it may, now or a little later. */
  resume(process: SimulatedProcess): void {
    const { note, broke } = this.#options;
    process.engine.resume().then(
      (ids) => note(`${process.name} resumed ${ids.join(' ') || 'nothing'}`),
      (thrown) => {
        if (!process.isAlive) return;
        if (isInjected(thrown)) process.clock.setTimer(() => this.resume(process), 50);
        else if (!(thrown instanceof FlydError && thrown.code === 'interrupted')) broke(thrown);
      },
    );
  }

  #boot(slot: number): SimulatedProcess {
    const { random, clock, note, scene, world, path, locks, queues, database } = this.#options;
    const name = `${'ABCDEFGH'.charAt(slot)}${++this.#lives}`;
    const process = new SimulatedProcess({
      name,
      path,
      locks,
      queues,
      stuckAfterMs,
      clock: clock.process(name, { skewMs: this.#faults.clockJump > 0 ? random.int(20_000) - 10_000 : 0 }),
      retry: {
        recoverable: { attemptsMax: 1 + random.int(4), pauseMs: 20, pauseMsMax: 200 },
        pending: { pauseMs: 20, pauseMsMax: 200 },
      },
      machines: (self) => scene.machines((src, effect) => world.effect(self, src, effect)),
      transactions: {
        begin: () => this.#beforeTransaction(),
        commit: (self, commit) => this.#aroundCommit(self, commit),
      },
      probe: (self, point) => {
        if (random.chance(this.#faults.crashAtPoint)) this.#crash(self, point);
      },
      onFault: (self, fault) => {
        note(`${self.name} tells of ${String(fault)}`);
        if (!isInjected(fault)) this.#options.broke(fault);
        else if (!(fault instanceof FlydError && fault.kind === 'recoverable')) self.die();
      },
      onDeath: (self) => {
        this.#wakeAt.delete(self);
        world.processDied(self);
        this.#options.died(self);
      },
      ...(database === undefined ? {} : { database }),
    });
    this.#slots[slot] = process;
    note(`${name} starts as ${process.token}`);
    if (this.#faults === noFaults || random.chance(0.7)) this.resume(process);
    return process;
  }

  #beforeTransaction(): void {
    const { random, clock } = this.#options;
    if (random.chance(this.#faults.busy)) throw sqliteError('SQLITE_BUSY');
    if (!random.chance(this.#faults.lockedOut)) return;
    clock.moveTo(clock.now() + lockedOutMs);
    throw recoverable('database_busy', 'the database stayed locked', { cause: sqliteError('SQLITE_BUSY') });
  }

  #aroundCommit(process: SimulatedProcess, commit: () => void): void {
    const { random, note } = this.#options;
    const faults = this.#faults;
    if (random.chance(faults.crashAtPoint)) this.#crash(process, 'COMMIT:before');
    if (random.chance(faults.commitFails)) {
      note(`${process.name}: COMMIT fails`);
      throw sqliteError(random.pick(['SQLITE_IOERR_FSYNC', 'SQLITE_FULL'] as const));
    }
    commit();
    if (random.chance(faults.crashAtPoint)) this.#crash(process, 'COMMIT:after');
    if (random.chance(faults.commitUnknown)) {
      note(`${process.name}: COMMIT is durable, and says that it failed`);
      throw sqliteError('SQLITE_IOERR_FSYNC');
    }
  }

  #crash(process: SimulatedProcess, point: string): never {
    this.#options.note(`${process.name} is killed at ${point}`);
    process.die();
    throw new Crashed(point);
  }

  /** SIGTERM; a close that fails ends its process all the same. */
  close(process: SimulatedProcess): SimulatedProcess {
    this.#options.note(`${process.name} closes`);
    process.close().then(
      () => this.#options.note(`${process.name} has closed`),
      (thrown) => {
        if (!(thrown instanceof Crashed) && !isInjected(thrown)) this.#options.broke(thrown);
      },
    );
    return process;
  }

  #freeze(process: SimulatedProcess): SimulatedProcess {
    const { random, clock, note } = this.#options;
    process.freeze();
    const ms = random.int(2000);
    this.#wakeAt.set(process, clock.now() + ms);
    note(`${process.name} stands still for ${ms} ms`);
    if (random.chance(this.#faults.robbed)) {
      note(`${process.name} loses its lock`);
      process.loseLock();
      this.robbed = true;
    }
    return process;
  }

  #wake(process: SimulatedProcess): SimulatedProcess {
    this.#options.note(`${process.name} goes on`);
    this.#wakeAt.delete(process);
    process.wake();
    return process;
  }
}
