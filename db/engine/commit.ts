import type { Database, Statement } from 'better-sqlite3';
import { write } from '../open.ts';
import type { Committed, HistoryWrite, NewRun, Operation, RunWrite, StartedChild } from './records.ts';

// Plain prepared statements: a commit runs some ten of them, and a query builder's round trip costs as
// much as the statement itself.

export interface Commits {
  /** Writes what many runs did at once, in one transaction and one fsync. A run whose fence is lost is left out. */
  commit(writes: readonly RunWrite[]): Committed[];
  /** Inserts a run that nobody has begun, or finds the live one of its key. */
  insertRun(run: NewRun, options: { owner: string | null; standalone: boolean; at: number }): StartedRow;
  /** Inserts an event to a run; false when its dedupe key was seen before. */
  insertEvent(run: number, event: string, options: { dedupe: string | null; at: number }): boolean;
  /** Says that the run is to be cancelled; false when it has ended or was told before. */
  requestCancel(run: number, cancel: string): boolean;
  /** Takes a place in the run's queue, if one is free. */
  admit(run: number, queue: string): boolean;
  setQueue(name: string, places: number): void;
  /** Says why a run cannot be loaded, and touches nothing else of it. */
  parkRow(run: number, parked: string): void;
  putDefinition(definition: {
    hash: string;
    machine: string;
    version: number;
    config: string;
    at: number;
  }): void;
}

export interface StartedRow {
  id: number;
  uid: string;
  joined: boolean;
}

/** The statements that write runs. All go through immediate transactions, retried while the database is locked. */
export function createCommits(db: Database): Commits {
  const sql = prepareAll(db);

  function commit(writes: readonly RunWrite[]): Committed[] {
    return write(db, () => writes.map(commitRun));
  }

  function commitRun(entry: RunWrite): Committed {
    const { row, run, at } = entry;
    const { changes } = sql.updateRun.run({
      run,
      owner: entry.owner,
      expected: entry.seq,
      ...row,
      cancelDelivered: row.cancelDelivered ? 1 : 0,
      endedAt: row.ended === null ? null : at,
      at,
    });
    if (changes === 0) return { run, held: false, last: null, children: [] };
    const last = appendHistory(run, row.definition, entry.history, at);
    const children: StartedChild[] = [];
    for (const operation of entry.operations) apply(run, entry, operation, children);
    if (row.ended !== null) end(run, at);
    refreshStatus(run);
    return { run, held: true, last, children };
  }

  function appendHistory(
    run: number,
    definition: string,
    rows: readonly HistoryWrite[],
    at: number,
  ): number | null {
    let last = (sql.lastOf.get(run) as { last: number | null }).last;
    for (const row of rows)
      last = Number(sql.insertTransition.run({ run, prev: last, at, definition, ...row }).lastInsertRowid);
    sql.setLast.run(last, run);
    return last;
  }

  function apply(run: number, { owner, at }: RunWrite, operation: Operation, children: StartedChild[]): void {
    switch (operation.type) {
      case 'effect.put':
        sql.putEffect.run({ run, ...operation });
        return;
      case 'effect.fail':
        sql.failEffect.run({ run, ...operation });
        return;
      case 'effect.drop':
        sql.dropEffect.run(run, operation.child);
        return;
      case 'timer.put':
        sql.putTimer.run({ run, ...operation });
        return;
      case 'timer.drop':
        sql.dropTimer.run(run, operation.timer);
        return;
      case 'child.start': {
        const { childId, epoch } = operation;
        const started = insertRow(operation.run, { owner, standalone: false, at });
        sql.putLink.run({ parent: run, childId, epoch, child: started.id, joined: started.joined ? 1 : 0 });
        // A new request is a new try: a child that waits for a person is woken by joining it.
        if (started.joined) sql.wakeParked.run({ run: started.id, at });
        children.push({ childId, epoch, run: started.id, uid: started.uid, joined: started.joined });
        return;
      }
      case 'child.release':
        release(run, operation.childId, operation.reason);
        return;
      case 'child.settle':
        sql.settleLink.run(run, operation.childId);
        return;
      case 'event.applied':
        sql.forgetEvent.run(operation.id);
        sql.markApplied.run(at, operation.id);
        return;
      case 'event.keep':
        sql.insertEvent.run({ run, direction: 'in', dedupe: null, at, ...operation });
        return;
      case 'event.toChild': {
        const link = sql.linkedChild.get(run, operation.childId) as { child: number } | undefined;
        if (link !== undefined)
          sql.insertEvent.run({
            run: link.child,
            direction: 'in',
            event: operation.event,
            child: null,
            epoch: null,
            dedupe: null,
            at,
          });
        return;
      }
      case 'event.out':
        sql.insertEvent.run({
          run,
          direction: 'out',
          event: operation.event,
          child: null,
          epoch: null,
          dedupe: null,
          at,
        });
    }
  }

  /** A terminal run owes nothing any more, lets go of its children, and tells its parents. */
  function end(run: number, at: number): void {
    sql.dropEffects.run(run);
    sql.dropTimers.run(run);
    sql.dropResults.run(run);
    for (const { childId } of sql.liveLinks.all(run) as { childId: string }[])
      release(run, childId, 'parent ended');
    const { uid, status, output, error } = sql.result.get(run) as {
      uid: string;
      status: string;
      output: string | null;
      error: string | null;
    };
    for (const link of sql.parentLinks.all(run) as { parent: number; childId: string; epoch: number }[]) {
      const actorId = link.childId;
      const event =
        status === 'done'
          ? {
              type: `xstate.done.actor.${actorId}`,
              output: output === null ? null : JSON.parse(output),
              actorId,
            }
          : { type: `xstate.error.actor.${actorId}`, error: errorOfEnd(uid, status, error), actorId };
      sql.insertEvent.run({
        run: link.parent,
        direction: 'in',
        event: JSON.stringify(event),
        child: link.childId,
        epoch: link.epoch,
        dedupe: null,
        at,
      });
    }
  }

  /** Unlinks a child that its parent no longer wants; one that nobody else wants is cancelled. */
  function release(parent: number, childId: string, reason: string): void {
    const link = sql.linkedChild.get(parent, childId) as { child: number } | undefined;
    sql.dropLink.run(parent, childId);
    if (link === undefined) return;
    const { wanted } = sql.stillWanted.get(link.child, link.child) as { wanted: number };
    if (wanted === 0) sql.requestCancel.run(JSON.stringify({ reason }), link.child);
  }

  /** A live parent shows the trouble of its children, so that one look tells. */
  function refreshStatus(run: number): void {
    sql.refreshStatus.run({ run });
    for (const { parent } of sql.liveParents.all(run) as { parent: number }[]) {
      const { changes } = sql.refreshStatus.run({ run: parent });
      if (changes > 0) refreshStatus(parent);
    }
  }

  function insertRow(
    run: NewRun,
    options: { owner: string | null; standalone: boolean; at: number },
  ): StartedRow {
    const live =
      run.key === null
        ? undefined
        : (sql.liveByKey.get(run.machine, run.key) as { id: number; uid: string } | undefined);
    if (live !== undefined) {
      if (options.standalone) sql.makeStandalone.run(live.id);
      return { ...live, joined: true };
    }
    const { lastInsertRowid } = sql.insertRun.run({
      ...run,
      owner: options.owner,
      standalone: options.standalone ? 1 : 0,
      at: options.at,
      status: run.queue === null ? 'running' : 'waiting',
    });
    return { id: Number(lastInsertRowid), uid: run.uid, joined: false };
  }

  return {
    commit,
    insertRun: (run, options) =>
      write(db, () => {
        const started = insertRow(run, options);
        if (started.joined) {
          sql.wakeParked.run({ run: started.id, at: options.at });
          refreshStatus(started.id);
        }
        return started;
      }),
    insertEvent: (run, event, { dedupe, at }) =>
      write(db, () => {
        const { changes } = sql.insertEvent.run({
          run,
          direction: 'in',
          event,
          child: null,
          epoch: null,
          dedupe,
          at,
        });
        return changes > 0;
      }),
    requestCancel: (run, cancel) => write(db, () => sql.requestCancel.run(cancel, run).changes > 0),
    admit: (run, queue) =>
      write(db, () => {
        const admitted = sql.admit.run({ run, queue }).changes > 0;
        if (admitted) refreshStatus(run);
        return admitted;
      }),
    setQueue: (name, places) => write(db, () => void sql.setQueue.run(name, places)),
    parkRow: (run, parked) =>
      write(db, () => {
        sql.parkRow.run(parked, run);
        sql.dropRetries.run(run);
        refreshStatus(run);
      }),
    putDefinition: (definition) => write(db, () => void sql.putDefinition.run(definition)),
  };
}

function errorOfEnd(uid: string, status: string, error: string | null): unknown {
  if (error !== null) return JSON.parse(error);
  return status === 'cancelled'
    ? { kind: 'abort', code: 'cancelled', message: 'the child run was cancelled', subject: uid }
    : { kind: 'unrecoverable', code: 'child_failed', message: 'the child run failed', subject: uid };
}

/** The status of a live run: its own trouble first, then its children's, then whether anything of it moves. */
const liveStatus = `CASE
  WHEN r.parked IS NOT NULL OR EXISTS (SELECT 1 FROM effects e WHERE e.run = r.id AND e.state = 'parked') THEN 'parked'
  WHEN EXISTS (SELECT 1 FROM run_links l JOIN runs c ON c.id = l.child WHERE l.parent = r.id AND l.settled = 0 AND c.status = 'parked') THEN 'parked'
  WHEN EXISTS (SELECT 1 FROM effects e WHERE e.run = r.id AND e.state = 'pending') THEN 'pending'
  WHEN EXISTS (SELECT 1 FROM run_links l JOIN runs c ON c.id = l.child WHERE l.parent = r.id AND l.settled = 0 AND c.status = 'pending') THEN 'pending'
  WHEN EXISTS (SELECT 1 FROM effects e WHERE e.run = r.id) THEN 'running'
  WHEN r.seq = 0 AND (r.queue IS NULL OR r.admitted = 1) THEN 'running'
  ELSE 'waiting' END`;

function prepareAll(db: Database) {
  const statements = {
    updateRun: `UPDATE runs SET seq = @seq, version = @version, definition = @definition, state = @state,
      snapshot = @snapshot, output = @output, error = @error, parked = @parked, attempts = @attempts, epoch = @epoch,
      cancel_delivered = @cancelDelivered, status = coalesce(@ended, status), ended_at = @endedAt, updated_at = @at,
      owner = CASE WHEN @ended IS NULL THEN owner END
      WHERE id = @run AND owner = @owner AND seq = @expected AND ended_at IS NULL`,
    lastOf: 'SELECT last FROM runs WHERE id = ?',
    setLast: 'UPDATE runs SET last = ? WHERE id = ?',
    insertTransition: `INSERT INTO transitions
      (run, seq, prev, at, event, from_state, to_state, effects, ms, error, definition, patch, snapshot)
      VALUES (@run, @seq, @prev, @at, @event, @fromState, @toState, @effects, @ms, @error, @definition, @patch, @snapshot)`,
    putEffect: `INSERT OR REPLACE INTO effects (run, child, epoch, src, input, state, due_at)
      VALUES (@run, @child, @epoch, @src, @input, 'due', @dueAt)`,
    failEffect: `UPDATE effects SET state = @state, attempt = @attempt, looks = @looks, due_at = @dueAt, error = @error
      WHERE run = @run AND child = @child`,
    dropEffect: 'DELETE FROM effects WHERE run = ? AND child = ?',
    dropEffects: 'DELETE FROM effects WHERE run = ?',
    putTimer: `INSERT OR REPLACE INTO timers (run, timer, epoch, event, due_at)
      VALUES (@run, @timer, @epoch, @event, @dueAt)`,
    dropTimer: 'DELETE FROM timers WHERE run = ? AND timer = ?',
    dropTimers: 'DELETE FROM timers WHERE run = ?',
    dropResults: `DELETE FROM events WHERE run = ? AND direction = 'in' AND applied IS NULL AND child IS NOT NULL`,
    insertRun: `INSERT INTO runs
      (uid, machine, version, definition, key, input, status, state, owner, standalone, queue, created_at, updated_at)
      VALUES (@uid, @machine, @version, @definition, @key, @input, @status, @state, @owner, @standalone, @queue, @at, @at)`,
    liveByKey: 'SELECT id, uid FROM runs WHERE machine = ? AND key = ? AND ended_at IS NULL',
    makeStandalone: 'UPDATE runs SET standalone = 1 WHERE id = ?',
    putLink: `INSERT OR REPLACE INTO run_links (parent, child_id, epoch, child, joined)
      VALUES (@parent, @childId, @epoch, @child, @joined)`,
    settleLink: 'UPDATE run_links SET settled = 1 WHERE parent = ? AND child_id = ?',
    dropLink: 'DELETE FROM run_links WHERE parent = ? AND child_id = ? AND settled = 0',
    linkedChild: 'SELECT child FROM run_links WHERE parent = ? AND child_id = ? AND settled = 0',
    liveLinks: 'SELECT child_id AS childId FROM run_links WHERE parent = ? AND settled = 0',
    parentLinks: `SELECT l.parent, l.child_id AS childId, l.epoch FROM run_links l JOIN runs p ON p.id = l.parent
      WHERE l.child = ? AND l.settled = 0 AND p.ended_at IS NULL`,
    liveParents: `SELECT DISTINCT l.parent FROM run_links l JOIN runs p ON p.id = l.parent
      WHERE l.child = ? AND l.settled = 0 AND p.ended_at IS NULL`,
    stillWanted: `SELECT (SELECT standalone FROM runs WHERE id = ?) OR EXISTS (
      SELECT 1 FROM run_links l JOIN runs p ON p.id = l.parent
      WHERE l.child = ? AND l.settled = 0 AND p.ended_at IS NULL AND (p.cancel IS NULL)) AS wanted`,
    result: 'SELECT uid, status, output, error FROM runs WHERE id = ?',
    insertEvent: `INSERT INTO events (run, direction, event, child, epoch, dedupe, at)
      VALUES (@run, @direction, @event, @child, @epoch, @dedupe, @at) ON CONFLICT DO NOTHING`,
    wakeParked: `INSERT INTO events (run, direction, event, at)
      SELECT id, 'in', '{"type":"flyd.retry"}', @at FROM runs WHERE id = @run AND status = 'parked'`,
    forgetEvent: 'DELETE FROM events WHERE id = ? AND dedupe IS NULL',
    markApplied: 'UPDATE events SET applied = ? WHERE id = ?',
    requestCancel: 'UPDATE runs SET cancel = ? WHERE id = ? AND cancel IS NULL AND ended_at IS NULL',
    // True for one that has its place already: its owner may not have heard that the commit was written.
    admit: `UPDATE runs SET admitted = 1 WHERE id = @run AND (admitted = 1 OR (
      SELECT count(*) FROM runs WHERE queue = @queue AND admitted = 1 AND ended_at IS NULL
        AND status NOT IN ('pending', 'parked')
      ) < coalesce((SELECT places FROM queues WHERE name = @queue), 1))`,
    setQueue:
      'INSERT INTO queues (name, places) VALUES (?, ?) ON CONFLICT DO UPDATE SET places = excluded.places',
    parkRow: 'UPDATE runs SET parked = ? WHERE id = ? AND ended_at IS NULL',
    dropRetries: `DELETE FROM events WHERE run = ? AND direction = 'in' AND event = '{"type":"flyd.retry"}'`,
    putDefinition: `INSERT INTO definitions (hash, machine, version, config, created_at)
      VALUES (@hash, @machine, @version, @config, @at) ON CONFLICT DO NOTHING`,
    refreshStatus: `UPDATE runs AS r SET status = ${liveStatus}
      WHERE id = @run AND ended_at IS NULL AND status <> ${liveStatus}`,
  } as const;
  const prepared = {} as Record<keyof typeof statements, Statement>;
  for (const [name, text] of Object.entries(statements))
    prepared[name as keyof typeof statements] = db.prepare(text);
  return prepared;
}
