import type { Definition, InputOf } from './definition.ts';
import type { Json } from './types.ts';

export interface ScheduleOptions<D extends Definition = Definition> {
  machine: D;
  input: InputOf<D>;
  /** `minute hour day month weekday`, or six fields with seconds first. */
  cron: string;
  /** An IANA time zone, as `Europe/Berlin`. Default: UTC. */
  timeZone?: string;
  /** Of the instants that passed while no process was there: none is made up for, the last (default), or all. */
  catchUp?: 'none' | 'last' | 'all';
  /** With `all`: the newest so many. Default: 100. */
  catchUpMax?: number;
  /** What happens at an instant while the schedule's last run is live: nothing (default), its run waits, or begins. */
  overlap?: 'skip' | 'queue' | 'allow';
}

/** A schedule as anybody may see it. Times are milliseconds since the epoch. */
export interface ScheduleView {
  name: string;
  machine: string;
  input: Json;
  cron: string;
  timeZone: string;
  catchUp: 'none' | 'last' | 'all';
  catchUpMax: number;
  overlap: 'skip' | 'queue' | 'allow';
  paused: boolean;
  nextAt: number | null;
  /** The last instant for which a run was wanted. */
  lastAt: number | null;
}

/**
 * Runs that are started again and again. Any process that has put a schedule, or resumed all runs when there
 * were some, starts those of its machines that become due; each instant once, whose run is `<name>.<instant>`.
 */
export interface Schedules {
  /** Makes a schedule, or changes it. Put it at each start of the program: what has not changed goes on as it was. */
  put<D extends Definition>(name: string, options: ScheduleOptions<D>): Promise<void>;
  list(): ScheduleView[];
  /** Says whether there was one. Its runs go on. */
  remove(name: string): Promise<boolean>;
  /** Nothing is started until `unpause`, which makes up for nothing. */
  pause(name: string): Promise<void>;
  unpause(name: string): Promise<void>;
}
