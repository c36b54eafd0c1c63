import type { Database, Statement } from 'better-sqlite3';
import { write } from '../open.ts';
import type { NewRun, ScheduleRow, StartWish } from './records.ts';
import type { Starting } from './starting.ts';

/** What becomes due, and the runs that were started for it. */
export interface Firing {
  schedule: string;
  /** The stored instant that this process has seen to be due: whoever comes second finds another one. */
  expected: number;
  next: number | null;
  /** The newest instant that a run was wanted for; null leaves what is stored. */
  last: number | null;
  /** A run for each instant, oldest first. */
  runs: NewRun[];
  overlap: ScheduleRow['overlap'];
  owner: string;
  at: number;
}

export interface Scheduling {
  /** Inserts or changes a schedule. The next instant is kept, unless `nextAt` gives another. */
  put(schedule: Omit<ScheduleRow, 'paused' | 'lastAt' | 'createdAt'>): void;
  /** False when there is none of this name. */
  remove(name: string): boolean;
  /** Pauses it, or lets it go on from `nextAt`; false when there is none of this name. */
  pause(name: string, paused: boolean, nextAt: number | null, at: number): boolean;
  list(): ScheduleRow[];
  find(name: string): ScheduleRow | undefined;
  /** When the next one that is not paused is due; null when none is. */
  nextAt(): number | null;
  due(now: number): ScheduleRow[];
  /** The newest live run of the schedule. */
  live(name: string): { id: number; owner: string | null } | undefined;
  /** Moves the schedule on and starts its runs, in one transaction. Gives the rows of those started. */
  fire(firing: Firing): number[];
}

const columns = `name, machine, input, cron, time_zone AS timeZone, catch_up AS catchUp, catch_up_max AS catchUpMax,
  overlap, paused, next_at AS nextAt, last_at AS lastAt, created_at AS createdAt, updated_at AS updatedAt`;

/** The schedules, and what happens when one is due. */
export function createScheduling(db: Database, starting: Starting): Scheduling {
  const lazily = <T extends unknown[]>(sql: string): (() => Statement<T>) => {
    let statement: Statement<T> | undefined;
    return () => {
      statement ??= db.prepare<T>(sql);
      return statement;
    };
  };
  const put = lazily(`INSERT INTO schedules
      (name, machine, input, cron, time_zone, catch_up, catch_up_max, overlap, next_at, created_at, updated_at)
    VALUES (@name, @machine, @input, @cron, @timeZone, @catchUp, @catchUpMax, @overlap, @nextAt, @updatedAt, @updatedAt)
    ON CONFLICT DO UPDATE SET machine = @machine, input = @input, cron = @cron, time_zone = @timeZone,
      catch_up = @catchUp, catch_up_max = @catchUpMax, overlap = @overlap, next_at = @nextAt, updated_at = @updatedAt`);
  const remove = lazily('DELETE FROM schedules WHERE name = ?');
  const pause = lazily(
    'UPDATE schedules SET paused = @paused, next_at = @nextAt, updated_at = @at WHERE name = @name',
  );
  const list = lazily(`SELECT ${columns} FROM schedules ORDER BY name`);
  const find = lazily(`SELECT ${columns} FROM schedules WHERE name = ?`);
  const nextAt = lazily('SELECT min(next_at) AS nextAt FROM schedules WHERE paused = 0');
  const due = lazily(`SELECT ${columns} FROM schedules WHERE paused = 0 AND next_at <= ? ORDER BY next_at`);
  const moveOn = lazily(`UPDATE schedules SET next_at = @next, last_at = coalesce(@last, last_at)
    WHERE name = @schedule AND next_at = @expected AND paused = 0`);
  const lastLive = lazily(
    'SELECT id, uid, owner FROM runs WHERE schedule = ? AND ended_at IS NULL ORDER BY id DESC LIMIT 1',
  );
  const rowOf = (row: unknown): ScheduleRow => ({
    ...(row as ScheduleRow),
    paused: (row as { paused: number }).paused === 1,
  });

  function startOne(run: NewRun, { schedule, overlap, owner, at }: Firing): number[] {
    const live = lastLive().get(schedule) as { uid: string } | undefined;
    if (live !== undefined && overlap === 'skip') return [];
    const after: StartWish['after'] =
      live === undefined || overlap === 'allow'
        ? null
        : { run: live.uid, when: 'ended', otherwise: 'cancel' };
    const { id, verdict } = starting.start(run, { owner, at, reuse: 'join', conflict: 'join', after });
    return verdict === 'started' ? [id] : [];
  }

  return {
    put: (schedule) => write(db, () => void put().run(schedule)),
    remove: (name) => write(db, () => remove().run(name).changes > 0),
    pause: (name, paused, at, now) =>
      write(db, () => pause().run({ name, paused: paused ? 1 : 0, nextAt: at, at: now }).changes > 0),
    list: () => list().all().map(rowOf),
    find: (name) => {
      const row = find().get(name);
      return row === undefined ? undefined : rowOf(row);
    },
    nextAt: () => (nextAt().get() as { nextAt: number | null }).nextAt,
    due: (now) => due().all(now).map(rowOf),
    live: (name) => lastLive().get(name) as { id: number; owner: string | null } | undefined,
    fire: (firing) =>
      write(db, () => {
        const { schedule, expected, next, last, runs } = firing;
        if (moveOn().run({ schedule, expected, next, last }).changes === 0) return [];
        return runs.flatMap((run) => startOne(run, firing));
      }),
  };
}
