import { type FlydError, unrecoverable } from '#core/errors';
import type { NewRun, ScheduleRow, Scheduling } from '#db/engine/index';
import { instantsOf } from './cron.ts';
import type { Definition, InputOf } from './definition.ts';
import { toText } from './json.ts';
import type { Registry } from './registry.ts';
import type { ScheduleOptions, Schedules, ScheduleView } from './schedule.ts';
import { toStart } from './start.ts';
import type { Json, System, Timer } from './types.ts';

export interface ScheduleParts {
  token: string;
  system: System;
  registry: Registry;
  scheduling: Scheduling;
  own(): void;
  /** A run of this process was started. */
  adopt(run: number): void;
  /** Takes those of these runs whose owner is dead. */
  takeOver(runs: { id: number; owner: string | null }[]): void;
  fault(fault: unknown): void;
}

/** With `none`, an instant that is not older is not missed: the process was just busy. */
const lateMsMax = 60_000;
/** Schedules of other processes, and clocks that are set, are noticed this late at most. */
const lookMsMax = 5000;

/** Starts what is due, and keeps the schedules. */
export class Scheduler implements Schedules {
  readonly #parts: ScheduleParts;
  #alarm: Timer | null = null;
  #closed = false;

  constructor(parts: ScheduleParts) {
    this.#parts = parts;
  }

  async put<D extends Definition>(name: string, options: ScheduleOptions<D>): Promise<void> {
    const { scheduling, system, own } = this.#parts;
    const { machine, input, cron, timeZone = 'UTC', catchUp = 'last', catchUpMax = 100 } = options;
    own();
    const instants = instantsOf(cron, timeZone);
    if (!/^[A-Za-z0-9][A-Za-z0-9_.-]*$/.test(name))
      throw wrong(
        `'${name}' cannot name a schedule`,
        'use letters, digits, dots, dashes and underscores',
        name,
      );
    if (!Number.isSafeInteger(catchUpMax) || catchUpMax < 1)
      throw wrong(`catchUpMax is ${catchUpMax}`, 'give a whole number from 1 up', name);
    const { secrets = [] } = this.#newRun(machine, input, name, 0);
    if (secrets.length > 0)
      throw unrecoverable(
        'secret_misplaced',
        'the input of a schedule is kept as it is, and has a secret in it',
        {
          subject: name,
          hint: 'let an actor of the machine read the secret where it is kept',
        },
      );
    const before = scheduling.find(name);
    const goesOn = before?.cron === cron && before.timeZone === timeZone;
    scheduling.put({
      name,
      machine: machine.name,
      input: toText(input, 'input'),
      cron,
      timeZone,
      catchUp,
      catchUpMax,
      overlap: options.overlap ?? 'skip',
      nextAt: goesOn ? before.nextAt : instants.next(system.now()),
      updatedAt: system.now(),
    });
    this.#arm();
  }

  list(): ScheduleView[] {
    return this.#parts.scheduling.list().map(({ createdAt: _, updatedAt: __, input, ...schedule }) => ({
      ...schedule,
      input: JSON.parse(input) as Json,
    }));
  }

  async remove(name: string): Promise<boolean> {
    return this.#parts.scheduling.remove(name);
  }

  async pause(name: string): Promise<void> {
    this.#pause(name, true);
  }

  async unpause(name: string): Promise<void> {
    this.#pause(name, false);
    this.#arm();
  }

  /** Starts what is due from now on, if there is any schedule. */
  wake(): void {
    if (this.#parts.scheduling.nextAt() !== null) this.#arm();
  }

  close(): void {
    this.#closed = true;
    this.#alarm?.cancel();
  }

  #pause(name: string, paused: boolean): void {
    const { scheduling, system } = this.#parts;
    const schedule = scheduling.find(name);
    if (schedule === undefined)
      throw unrecoverable('schedule_not_found', `no schedule is named '${name}'`, {
        subject: name,
        hint: 'see those there are in schedules.list()',
      });
    const next = instantsOf(schedule.cron, schedule.timeZone).next(system.now());
    if (schedule.paused !== paused) scheduling.pause(name, paused, next, system.now());
  }

  #arm(): void {
    if (this.#closed) return;
    const { system, scheduling } = this.#parts;
    this.#alarm?.cancel();
    const nextAt = scheduling.nextAt();
    if (nextAt === null) return;
    const delay = Math.min(Math.max(nextAt - system.now(), 0), lookMsMax);
    this.#alarm = system.setTimer(() => this.#ring(), delay);
  }

  #ring(): void {
    try {
      this.#fireAll();
      this.#arm();
    } catch (fault) {
      this.#alarm = this.#parts.system.setTimer(() => this.#ring(), lookMsMax);
      this.#parts.fault(fault);
    }
  }

  #fireAll(): void {
    const { scheduling, system, registry, token, adopt, takeOver } = this.#parts;
    const now = system.now();
    for (const schedule of scheduling.due(now)) {
      const definition = registry.find(schedule.machine)?.definition;
      // A machine of another program's: its process starts them.
      if (definition === undefined || schedule.nextAt === null) continue;
      const instants = instantsOf(schedule.cron, schedule.timeZone);
      const input = JSON.parse(schedule.input) as Json;
      const wanted = due(schedule, schedule.nextAt, now);
      // What its dead owner has left would stand in the way for ever.
      const live = scheduling.live(schedule.name);
      if (live !== undefined) takeOver([live]);
      const started = scheduling.fire({
        schedule: schedule.name,
        expected: schedule.nextAt,
        next: instants.next(now),
        last: wanted.at(-1) ?? null,
        runs: wanted.map((at) => this.#newRun(definition, input as never, schedule.name, at)),
        overlap: schedule.overlap,
        owner: token,
        at: now,
      });
      for (const run of started) adopt(run);
    }
  }

  #newRun<D extends Definition>(definition: D, input: InputOf<D>, schedule: string, at: number): NewRun {
    const { registry, token, system } = this.#parts;
    const instant = new Date(at).toISOString().replace(/[-:]|\.\d+/g, '');
    const { run } = toStart(
      definition,
      { input, id: `${schedule}.${instant}` },
      { registry, queues: new Map(), token, now: system.now(), newId: () => system.newId() },
    );
    return { ...run, schedule };
  }
}

/** The instants from the stored one until now that runs are to be started for. */
function due({ cron, timeZone, catchUp, catchUpMax }: ScheduleRow, from: number, now: number): number[] {
  const instants = instantsOf(cron, timeZone);
  if (catchUp === 'all') return instants.between(from, now, catchUpMax);
  return instants.between(from, now, 1).filter((at) => catchUp === 'last' || now - at <= lateMsMax);
}

const wrong = (message: string, hint: string, subject: string): FlydError =>
  unrecoverable('usage', message, { subject, hint });
