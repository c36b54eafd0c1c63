import type { Database } from 'better-sqlite3';
import type { RunStatus } from '#core/status';

/** The rows of the engine's tables, as another process would read them: what is committed, and nothing else. */
export interface Observed {
  runs: Map<number, ObservedRun>;
  effects: ObservedEffect[];
  timers: { run: number; timer: string; epoch: number }[];
  links: ObservedLink[];
  /** Events to runs that were not applied yet. */
  inbox: { id: number; run: number; child: string | null; epoch: number | null }[];
  queues: { name: string; places: number; keepNewest: number | null }[];
  schedules: ObservedSchedule[];
  /** History rows since the last look. */
  commits: ObservedCommit[];
}

export interface ObservedRun {
  id: number;
  uid: string;
  machine: string;
  status: RunStatus;
  parked: string | null;
  seq: number;
  last: number | null;
  epoch: number;
  owner: string | null;
  standalone: number;
  cancel: string | null;
  queue: string | null;
  admitted: number;
  endedAt: number | null;
  startAt: number | null;
  afterRun: number | null;
  afterWhen: 'done' | 'ended' | 'failed' | null;
  replaces: number | null;
  continuedAs: number | null;
  schedule: string | null;
  errorCode: string | null;
}

export interface ObservedSchedule {
  name: string;
  overlap: 'skip' | 'queue' | 'allow';
}

export interface ObservedEffect {
  run: number;
  child: string;
  epoch: number;
  src: string;
  input: string;
  state: 'due' | 'pending' | 'parked';
  attempt: number;
}

export interface ObservedLink {
  parent: number;
  childId: string;
  epoch: number;
  child: number;
  settled: number;
}

export interface ObservedCommit {
  id: number;
  run: number;
  seq: number;
  prev: number | null;
  event: string;
  patch: string | null;
  snapshot: string | null;
}

/** Looks at a database that engines write, over a connection of its own. */
export function createObserver(db: Database) {
  const dataVersion = db.prepare('PRAGMA data_version').pluck();
  const runs =
    db.prepare(`SELECT id, uid, machine, status, parked, seq, last, epoch, owner, standalone, cancel,
    queue, admitted, ended_at AS endedAt, start_at AS startAt, after_run AS afterRun, after_when AS afterWhen, replaces,
    continued_as AS continuedAs, schedule, json_extract(error, '$.code') AS errorCode FROM runs`);
  const effects = db.prepare('SELECT run, child, epoch, src, input, state, attempt FROM effects');
  const timers = db.prepare('SELECT run, timer, epoch FROM timers');
  const links = db.prepare('SELECT parent, child_id AS childId, epoch, child, settled FROM run_links');
  const inbox = db.prepare(
    `SELECT id, run, child, epoch FROM events WHERE direction = 'in' AND applied IS NULL`,
  );
  const commits = db.prepare(
    'SELECT id, run, seq, prev, event, patch, snapshot FROM transitions WHERE id > ? ORDER BY id',
  );
  const snapshot = db.prepare('SELECT snapshot FROM runs WHERE id = ?').pluck();
  const queues = db.prepare('SELECT name, places, keep_newest AS keepNewest FROM queues');
  const schedules = db.prepare('SELECT name, overlap FROM schedules');
  let version = -1;
  let lastCommit = 0;

  return {
    /** Everything, when somebody has committed since the last look; else null. */
    look(): Observed | null {
      const current = dataVersion.get() as number;
      if (current === version) return null;
      version = current;
      const fresh = commits.all(lastCommit) as ObservedCommit[];
      lastCommit = fresh.at(-1)?.id ?? lastCommit;
      return {
        runs: new Map((runs.all() as ObservedRun[]).map((run) => [run.id, run])),
        effects: effects.all() as ObservedEffect[],
        timers: timers.all() as Observed['timers'],
        links: links.all() as ObservedLink[],
        inbox: inbox.all() as Observed['inbox'],
        queues: queues.all() as Observed['queues'],
        schedules: schedules.all() as ObservedSchedule[],
        commits: fresh,
      };
    },
    snapshot: (run: number): string | null => snapshot.get(run) as string | null,
    /** The row of an effect that is about to start, and what else is known of it. */
    effect: (() => {
      const row =
        db.prepare(`SELECT r.id AS run, r.owner, r.ended_at AS endedAt, r.parked, e.epoch, e.src, e.input, e.state, e.attempt,
        EXISTS (SELECT 1 FROM events v WHERE v.run = r.id AND v.direction = 'in' AND v.applied IS NULL
          AND v.child = @child AND v.epoch = @epoch) AS answered
        FROM runs r LEFT JOIN effects e ON e.run = r.id AND e.child = @child WHERE r.uid = @uid`);
      return (uid: string, child: string, epoch: number): EffectAtStart | undefined =>
        row.get({ uid, child, epoch }) as EffectAtStart | undefined;
    })(),
  };
}

export type Observer = ReturnType<typeof createObserver>;

export interface EffectAtStart {
  run: number;
  owner: string | null;
  endedAt: number | null;
  parked: string | null;
  /** Null: there is no such effect. */
  epoch: number | null;
  src: string | null;
  input: string | null;
  state: string | null;
  attempt: number | null;
  /** Its result is in the run's inbox. */
  answered: number;
}
