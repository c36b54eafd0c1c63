import SqliteDatabase, { type Database } from 'better-sqlite3';
import { FlydError } from '#core/errors';
import { engineSet } from '#db/engine/index';
import { openDatabase } from '#db/open';
import type { Engine, EngineOptions } from '../api.ts';
import type { Definition } from '../definition.ts';
import { openEngine } from '../engine.ts';
import type { ProcessClock } from './clock.ts';
import type { SimulatedLocks } from './locks.ts';

/** Thrown to unwind the stack of a process that has just died. Nothing that it still does has any effect. */
export class Crashed extends Error {
  override readonly name = 'Crashed';
}

/** What a transaction may meet. Each may throw (see `sqliteError`), or let the process die. */
export interface TransactionHooks {
  /** Before the write lock is asked for. */
  begin?(process: SimulatedProcess): void;
  /** Instead of COMMIT: must call `commit`, unless it throws. */
  commit?(process: SimulatedProcess, commit: () => void): void;
}

export interface ProcessOptions
  extends Pick<EngineOptions, 'queues' | 'retry' | 'stuckAfterMs' | 'interceptors'> {
  name: string;
  /** The database file that it shares with the others. */
  path: string;
  clock: ProcessClock;
  locks: SimulatedLocks;
  machines(process: SimulatedProcess): Definition[];
  transactions?: TransactionHooks;
  /** `EngineOptions.probe`. */
  probe?(process: SimulatedProcess, point: string): void;
  /** `EngineOptions.onFault`. Default: the process dies, unless the fault may heal. */
  onFault?(process: SimulatedProcess, fault: unknown): void;
  onDeath?(process: SimulatedProcess): void;
  /** Wraps the open database: how a test gives the engine one that misbehaves. */
  database?(db: Database, process: SimulatedProcess): Database;
}

/**
 * One process that runs the real engine on a real database file. It dies by losing its clock, its
 * lock and its database connection at once: code of it that is still on the stack can do no more.
 */
export class SimulatedProcess {
  readonly name: string;
  readonly clock: ProcessClock;
  readonly engine: Engine;
  readonly machines: readonly Definition[];
  readonly #options: ProcessOptions;
  readonly #db: Database;
  state: 'up' | 'frozen' | 'closing' | 'dead' = 'up';
  /** Its lock was taken from it while it lived: others may own its runs. */
  robbed = false;

  constructor(options: ProcessOptions) {
    this.#options = options;
    this.name = options.name;
    this.clock = options.clock;
    const db = openDatabase(options.path, [engineSet]);
    this.#db = db;
    this.#intercept(db);
    this.machines = options.machines(this);
    this.engine = openEngine({
      db: options.database?.(db, this) ?? db,
      machines: this.machines,
      owners: options.locks.owners,
      system: options.clock,
      ...(options.queues === undefined ? {} : { queues: options.queues }),
      ...(options.interceptors === undefined ? {} : { interceptors: options.interceptors }),
      ...(options.retry === undefined ? {} : { retry: options.retry }),
      ...(options.stuckAfterMs === undefined ? {} : { stuckAfterMs: options.stuckAfterMs }),
      probe: (point) => {
        this.mustLive();
        options.probe?.(this, point);
      },
      onFault: (fault) => {
        if (!this.isAlive) return;
        if (options.onFault !== undefined) options.onFault(this, fault);
        else if (!(fault instanceof FlydError && fault.kind === 'recoverable')) this.die();
      },
    });
  }

  get token(): string {
    return this.engine.token;
  }

  get isAlive(): boolean {
    return this.state !== 'dead';
  }

  /** Throws `Crashed` in a process that is dead. */
  mustLive(): void {
    if (!this.isAlive) throw new Crashed(`${this.name} is dead`);
  }

  /** The definition of that name, as this process runs it. What it takes is not known by a name: anything goes. */
  machine(name: string): Definition<unknown> {
    const find = (list: readonly Definition[]): Definition | undefined => {
      for (const definition of list) {
        const found = definition.name === name ? definition : find(Object.values(definition.children));
        if (found !== undefined) return found;
      }
      return undefined;
    };
    const found = find(this.machines);
    if (found === undefined) throw new RangeError(`no machine is named '${name}'`);
    return found as Definition<unknown>;
  }

  /** `kill -9`. */
  die(): void {
    if (!this.isAlive) return;
    this.state = 'dead';
    this.clock.stop();
    this.#options.locks.died(this.token);
    this.#db.close();
    this.#options.onDeath?.(this);
  }

  /** SIGSTOP. */
  freeze(): void {
    this.state = 'frozen';
    this.clock.freeze();
    this.#options.locks.froze(this.token);
  }

  /** SIGCONT. */
  wake(): void {
    this.state = 'up';
    this.clock.thaw();
    this.#options.locks.woke(this.token);
  }

  /** Its lock is lost, and nobody told it. */
  loseLock(): void {
    this.robbed = true;
    this.#options.locks.stolen(this.token);
  }

  /** SIGTERM: the engine closes, then the process ends. */
  async close(): Promise<void> {
    this.state = 'closing';
    try {
      await this.engine.close();
    } finally {
      this.die();
    }
  }

  #intercept(db: Database): void {
    const exec = db.exec.bind(db);
    const { begin, commit } = this.#options.transactions ?? {};
    db.exec = (sql) => {
      this.mustLive();
      if (sql === 'BEGIN IMMEDIATE') begin?.(this);
      if (sql === 'COMMIT' && commit !== undefined) commit(this, () => void exec(sql));
      else exec(sql);
      return db;
    };
  }
}

const injected = new WeakSet<object>();

/** An error as SQLite would throw it, that `isInjected` knows again. */
export function sqliteError(code: 'SQLITE_BUSY' | 'SQLITE_IOERR_FSYNC' | 'SQLITE_FULL'): Error {
  const error = new SqliteDatabase.SqliteError(`simulated ${code}`, code);
  injected.add(error);
  return error;
}

/** Whether the error, or what caused it, was made by `sqliteError`. */
export function isInjected(thrown: unknown): boolean {
  for (let error = thrown; error instanceof Error; error = error.cause) if (injected.has(error)) return true;
  return false;
}
