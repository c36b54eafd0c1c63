import type { Holds } from './holds.ts';
import type { BegunRow, NewRun, StartedRow, StartOutcome, StartWish } from './records.ts';
import type { Statements } from './statements.ts';
import type { RefreshStatus } from './statuses.ts';

/** How rows of runs come to be. Called inside a transaction, so that two processes never start one run twice. */
export interface Starting {
  /** Inserts a run that nobody has begun, or finds the live one of its key. */
  insert(run: NewRun, options: InsertOptions): StartedRow;
  /**
   * The same, as somebody wishes who may care whether the id or the key was used before. `begun`: where its first
   * commit, which follows at once, leaves the row that is inserted.
   */
  start(run: NewRun, wish: StartWish, begun?: BegunRow | null): StartOutcome;
}

export interface InsertOptions {
  owner: string | null;
  standalone: boolean;
  at: number;
}

const unbegun = { seq: 0, snapshot: null, epoch: 0, last: null } as const;

interface Known {
  id: number;
  uid: string;
}

export function createStarting(sql: Statements, holds: Holds, refreshStatus: RefreshStatus): Starting {
  const liveByKey = ({ machine, key }: NewRun): (Known & { replaces: number | null }) | undefined =>
    key === null ? undefined : (sql.liveByKey.get({ machine, key }) as never);

  function insert(run: NewRun, options: InsertOptions): StartedRow {
    const live = liveByKey(run);
    if (live !== undefined) return join(live, options);
    return { ...insertRow(run, options, null), joined: false };
  }

  function join({ id, uid }: Known, { standalone }: InsertOptions): StartedRow {
    if (standalone) sql.makeStandalone.run(id);
    return { id, uid, joined: true };
  }

  function insertRow(
    run: NewRun,
    { owner, standalone, at }: InsertOptions,
    replaces: number | null,
    begun: BegunRow | null = null,
  ): Known {
    const { uid, machine, version, definition, key, input, queue, priority, startAt } = run;
    const { seq, state, snapshot, epoch, last } = begun ?? { ...unbegun, state: run.state };
    const status = queue !== null || startAt !== null || replaces !== null ? 'waiting' : 'running';
    // biome-ignore format: as the statement lists them
    const { lastInsertRowid } = sql.insertRun.run(
      uid, machine, version, definition, key, input, status, state, owner, standalone ? 1 : 0, queue, at, at,
      priority, startAt, replaces, run.schedule, run.labels, run.trace, seq, snapshot, epoch, last,
    );
    for (const { ref, value } of run.secrets ?? []) sql.putSecret.run(lastInsertRowid, ref, value);
    if (queue !== null) holds.supersede(queue);
    return { id: Number(lastInsertRowid), uid };
  }

  function start(run: NewRun, wish: StartWish, begun: BegunRow | null = null): StartOutcome {
    const options = { owner: wish.owner, standalone: true, at: wish.at };
    const answer = (verdict: StartOutcome['verdict'], known: Known, replaced: string | null = null) => ({
      ...known,
      verdict,
      joined: verdict === 'joined',
      replaced,
    });
    const joined = (known: Known): StartOutcome => {
      join(known, options);
      // A new request is a new try: what waits for a person is woken by it.
      sql.wakeParked.run({ run: known.id, at: wish.at });
      refreshStatus(known.id);
      return answer('joined', known);
    };
    const same = sql.byUid.get(run.uid) as (Known & { machine: string; endedAt: number | null }) | undefined;
    if (same !== undefined) {
      if (same.machine !== run.machine) return answer('machine', same);
      if (same.endedAt !== null) return answer(wish.reuse === 'refuse' ? 'ended' : 'joined', same);
      return wish.conflict === 'join' ? joined(same) : answer('live', same);
    }
    const live = liveByKey(run);
    if (live === undefined) {
      const ended = endedAnswer(run, wish.reuse);
      if (ended !== undefined) return answer(wish.reuse === 'refuse' ? 'ended' : 'joined', ended);
    } else if (wish.conflict !== 'replace') {
      return wish.conflict === 'join' ? joined(live) : answer('live', live);
    }
    if (wish.after !== null && sql.byUid.get(wish.after.run) === undefined)
      return answer('missing', { id: 0, uid: wish.after.run });
    const replaces = live === undefined ? null : (live.replaces ?? live.id);
    const started = insertRow(run, options, replaces, begun);
    if (live !== undefined) replace(live, started);
    if (wish.after !== null) holds.wait(started.id, wish.after);
    return answer('started', started, live?.uid ?? null);
  }

  /** The ended run of this key that is the answer to the wish, or the reason to refuse it. */
  function endedAnswer({ machine, key }: NewRun, reuse: StartWish['reuse']): Known | undefined {
    if (key === null || reuse === 'fresh') return undefined;
    const ended = sql.endedByKey.get(machine, key) as (Known & { status: string }) | undefined;
    return reuse === 'fresh-if-failed' && ended?.status !== 'done' ? undefined : ended;
  }

  /** The new run begins when the old one has ended, which is told so; one that waited in the same way never begins. */
  function replace(old: Known & { replaces: number | null }, { uid }: Known): void {
    const cancel = { reason: `replaced by run ${uid}`, code: 'superseded' };
    sql.requestCancel.run(JSON.stringify(cancel), old.id);
    sql.markAwaited.run(old.replaces ?? old.id);
  }

  return { insert, start };
}
