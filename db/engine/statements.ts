import type { Database, Statement } from 'better-sqlite3';
import { statementsOf } from '../lazy.ts';

// Plain prepared statements: a commit runs some ten of them, and a query builder's round trip costs as
// much as the statement itself.
//
// `= +?`: where a statement could use an index with a condition (`WHERE queue IS NOT NULL`), SQLite plans it anew
// each time that a bare `?` is given another value, as that might decide. The sign takes the parameter out of
// that question, and leaves the column's index in use. A test tries them all.

/** The status of a live run: its own trouble first, then its children's, then whether anything of it moves. */
const liveStatus = `CASE
  WHEN r.parked IS NOT NULL OR EXISTS (SELECT 1 FROM effects e WHERE e.run = r.id AND e.state = 'parked') THEN 'parked'
  WHEN EXISTS (SELECT 1 FROM run_links l JOIN runs c ON c.id = l.child WHERE l.parent = r.id AND l.settled = 0 AND c.status = 'parked') THEN 'parked'
  WHEN EXISTS (SELECT 1 FROM effects e WHERE e.run = r.id AND e.state = 'pending') THEN 'pending'
  WHEN EXISTS (SELECT 1 FROM run_links l JOIN runs c ON c.id = l.child WHERE l.parent = r.id AND l.settled = 0 AND c.status = 'pending') THEN 'pending'
  WHEN EXISTS (SELECT 1 FROM effects e WHERE e.run = r.id) THEN 'running'
  WHEN r.seq = 0 AND (r.admitted = 1 OR
    (r.queue IS NULL AND r.start_at IS NULL AND r.after_run IS NULL AND r.replaces IS NULL)) THEN 'running'
  ELSE 'waiting' END`;

const statements = {
  // What an index looks at is left alone here, so that a step of a run writes to no index. Positional: it is
  // done for each transition, and binding by name costs as much again.
  stepRun: `UPDATE runs SET seq = ?, version = ?, definition = ?, state = ?, tags = ?, tags_last = ?, snapshot = ?,
    parked = ?, attempts = ?, epoch = ?, cancel_delivered = ?, updated_at = ?, last = ?, status = coalesce(?, status)
    WHERE id = ? AND owner = ? AND seq = ? AND ended_at IS NULL`,
  // Most steps leave the rest as it is; with `definition` in its SET, SQLite would look that up in its table, too.
  moveRun: `UPDATE runs SET seq = ?, state = ?, snapshot = ?, epoch = ?, updated_at = ?, last = ?
    WHERE id = ? AND owner = ? AND seq = ? AND ended_at IS NULL`,
  endRun: `UPDATE runs SET seq = ?, version = ?, definition = ?, state = ?, tags = ?, tags_last = ?, snapshot = ?,
    parked = ?, attempts = ?, epoch = ?, cancel_delivered = ?, updated_at = ?, last = ?, status = ?,
    output = ?, error = ?, ended_at = ?, owner = NULL
    WHERE id = ? AND owner = ? AND seq = ? AND ended_at IS NULL`,
  // The end of most runs leaves the rest as it is, too.
  finishRun: `UPDATE runs SET seq = ?, state = ?, snapshot = ?, epoch = ?, updated_at = ?, last = ?, status = ?,
    output = ?, error = ?, ended_at = ?, owner = NULL
    WHERE id = ? AND owner = ? AND seq = ? AND ended_at IS NULL`,
  newestTransition: 'SELECT coalesce(max(id), 0) AS newest FROM transitions',
  insertTransition: `INSERT INTO transitions
    (id, run, seq, prev, at, event, from_state, to_state, effects, ms, error, definition, patch, snapshot, timers)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
  putEffect: `INSERT INTO effects (run, child, epoch, src, input, state, due_at) VALUES (?, ?, ?, ?, ?, 'due', ?)
    ON CONFLICT DO UPDATE SET epoch = excluded.epoch, src = excluded.src, input = excluded.input, state = 'due',
      due_at = excluded.due_at, attempt = 0, looks = 0, error = NULL, saved = NULL`,
  // In place of one that was tried once, as most are: half the work of putting it.
  renewEffect: `UPDATE effects SET epoch = ?, input = ?, due_at = ? WHERE run = ? AND child = ? AND src = ?
    AND state = 'due' AND attempt = 0 AND looks = 0 AND error IS NULL AND saved IS NULL`,
  failEffect: `UPDATE effects SET state = @state, attempt = @attempt, looks = @looks, due_at = @dueAt, error = @error,
    saved = coalesce(@saved, saved)
    WHERE run = @run AND child = @child`,
  saveEffect: 'UPDATE effects SET saved = @saved WHERE run = @run AND child = @child',
  dropEffect: 'DELETE FROM effects WHERE run = ? AND child = ?',
  dropEffects: 'DELETE FROM effects WHERE run = ?',
  putTimer: `INSERT OR REPLACE INTO timers (run, timer, epoch, event, due_at)
    VALUES (@run, @timer, @epoch, @event, @dueAt)`,
  dropTimer: 'DELETE FROM timers WHERE run = ? AND timer = ?',
  dropTimers: 'DELETE FROM timers WHERE run = ?',
  dropResults: `DELETE FROM events WHERE run = ? AND direction = 'in' AND applied IS NULL AND child IS NOT NULL`,
  insertRun: `INSERT INTO runs
    (uid, machine, version, definition, key, input, status, state, owner, standalone, queue, created_at, updated_at,
      priority, start_at, replaces, schedule, labels, trace, seq, snapshot, epoch, last)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
  // The one that waits to replace the other comes first: it is what the key stands for now.
  liveByKey: `SELECT id, uid, replaces FROM runs
      WHERE machine = @machine AND key = @key AND ended_at IS NULL AND replaces IS NOT NULL AND cancel IS NULL
    UNION ALL SELECT id, uid, replaces FROM runs
      WHERE machine = @machine AND key = @key AND ended_at IS NULL AND replaces IS NULL`,
  endedByKey: `SELECT id, uid, status FROM runs
    WHERE machine = +? AND key = +? AND ended_at IS NOT NULL ORDER BY id DESC LIMIT 1`,
  byUid: `SELECT id, uid, machine, status, error, ended_at AS endedAt, continued_as AS continuedAs
    FROM runs WHERE uid = ?`,
  byRow: `SELECT id, uid, machine, status, error, ended_at AS endedAt, continued_as AS continuedAs
    FROM runs WHERE id = ?`,
  queueOf: 'SELECT places, keep_newest AS keepNewest FROM queues WHERE name = ?',
  supersede: `UPDATE runs SET cancel = @cancel
    WHERE queue = +@queue AND admitted = 0 AND ended_at IS NULL AND seq = 0 AND cancel IS NULL AND id NOT IN (
      SELECT id FROM runs WHERE queue = +@queue AND admitted = 0 AND ended_at IS NULL AND seq = 0 AND cancel IS NULL
      ORDER BY id DESC LIMIT +@keep)`,
  placed: `SELECT count(*) AS placed FROM runs WHERE queue = ? AND admitted = 1 AND ended_at IS NULL
    AND status NOT IN ('pending', 'parked')`,
  waitAfter:
    'UPDATE runs SET after_run = @after, after_when = @when, after_otherwise = @otherwise WHERE id = @run',
  markAwaited: 'UPDATE runs SET awaited = 1 WHERE id = ?',
  waitingAfter: `SELECT id, after_when AS "when", after_otherwise AS otherwise FROM runs
    WHERE after_run = ? AND ended_at IS NULL`,
  waitNoMore: 'UPDATE runs SET after_run = NULL WHERE id = ?',
  successors: 'SELECT id FROM runs WHERE replaces = ? AND ended_at IS NULL AND cancel IS NULL',
  succeed: 'UPDATE runs SET replaces = NULL WHERE id = ?',
  makeStandalone: 'UPDATE runs SET standalone = 1 WHERE id = ?',
  continueAs: 'UPDATE runs SET continued_as = ? WHERE id = ?',
  inherit: `UPDATE runs SET standalone = max(standalone, (SELECT standalone FROM runs WHERE id = @run)) WHERE id = @next`,
  // What was asked of the one, and it has not done, is asked of the other.
  inheritEnd: `UPDATE runs SET (cancel, killed, labels, schedule) = (
    SELECT CASE WHEN cancel_delivered THEN NULL ELSE cancel END, killed, labels, schedule FROM runs WHERE id = @run)
    WHERE id = @next`,
  moveLinks: 'UPDATE run_links SET child = @next WHERE child = @run AND settled = 0',
  moveWaiting: 'UPDATE runs SET after_run = @next WHERE after_run = @run AND ended_at IS NULL',
  requestKill: 'UPDATE runs SET killed = ? WHERE id = ? AND killed IS NULL AND ended_at IS NULL',
  endOf: 'SELECT ended_at AS endedAt FROM runs WHERE id = ?',
  liveParentOf: `SELECT p.uid FROM run_links l JOIN runs p ON p.id = l.parent
    WHERE l.child = +? AND p.ended_at IS NULL LIMIT 1`,
  // Who follows the history remembers the greatest id: it must not be given to another commit.
  keepNewestId: `UPDATE transitions SET run = 0, event = '{"type":"flyd.purged"}', from_state = NULL,
    to_state = '', effects = '[]', error = NULL, patch = NULL, snapshot = 'null', timers = NULL
    WHERE run = ? AND id = (SELECT max(id) FROM transitions)`,
  dropHistory: `WITH RECURSIVE chain(id) AS (
      SELECT last FROM runs WHERE id = ?
      UNION ALL SELECT t.prev FROM chain JOIN transitions t ON t.id = chain.id WHERE t.prev IS NOT NULL)
    DELETE FROM transitions WHERE id IN (SELECT id FROM chain) AND run <> 0`,
  forgetContinued: 'UPDATE runs SET continued_as = NULL WHERE continued_as = ?',
  forgetAfter: 'UPDATE runs SET after_run = NULL WHERE after_run = ?',
  forgetReplaces: 'UPDATE runs SET replaces = NULL WHERE replaces = ?',
  dropRun: 'DELETE FROM runs WHERE id = ?',
  putLink: `INSERT OR REPLACE INTO run_links (parent, child_id, epoch, child, joined, on_close)
    VALUES (@parent, @childId, @epoch, @child, @joined, @onClose)`,
  settleLink: 'UPDATE run_links SET settled = 1 WHERE parent = ? AND child_id = ?',
  dropLink: 'DELETE FROM run_links WHERE parent = ? AND child_id = ? AND settled = 0',
  linkedChild:
    'SELECT child, on_close AS onClose FROM run_links WHERE parent = ? AND child_id = ? AND settled = 0',
  liveLinks: 'SELECT child_id AS childId FROM run_links WHERE parent = ? AND settled = 0',
  parentLinks: `SELECT l.parent, l.child_id AS childId, l.epoch FROM run_links l JOIN runs p ON p.id = l.parent
    WHERE l.child = +? AND l.settled = 0 AND p.ended_at IS NULL`,
  liveParents: `SELECT DISTINCT l.parent FROM run_links l JOIN runs p ON p.id = l.parent
    WHERE l.child = +? AND l.settled = 0 AND p.ended_at IS NULL`,
  stillWanted: `SELECT (SELECT standalone FROM runs WHERE id = ?) OR EXISTS (
    SELECT 1 FROM run_links l JOIN runs p ON p.id = l.parent
    WHERE l.child = +? AND l.settled = 0 AND p.ended_at IS NULL AND (p.cancel IS NULL)) AS wanted`,
  result: `SELECT uid, status, output, error, awaited, continued_as AS continuedAs FROM runs WHERE id = ?`,
  // One look for what most runs do not have at their end.
  legacy: `SELECT EXISTS (SELECT 1 FROM effects WHERE run = r.id) AS effects,
    EXISTS (SELECT 1 FROM timers WHERE run = r.id) AS timers, EXISTS (SELECT 1 FROM events WHERE run = r.id) AS events,
    EXISTS (SELECT 1 FROM secrets WHERE run = r.id) AS secrets,
    EXISTS (SELECT 1 FROM run_links WHERE parent = r.id AND settled = 0) AS children,
    EXISTS (SELECT 1 FROM run_links WHERE child = r.id AND settled = 0) AS parents,
    awaited OR continued_as IS NOT NULL AS heirs
    FROM runs r WHERE id = ?`,
  insertEvent: `INSERT INTO events (run, direction, event, child, epoch, dedupe, at)
    VALUES (@run, @direction, @event, @child, @epoch, @dedupe, @at) ON CONFLICT DO NOTHING`,
  sendEvent: `INSERT INTO events (run, direction, event, dedupe, at)
    SELECT id, 'in', @event, @dedupe, @at FROM runs WHERE id = @run AND ended_at IS NULL ON CONFLICT DO NOTHING`,
  wasSent: 'SELECT 1 FROM events WHERE run = ? AND dedupe = ?',
  wakeParked: `INSERT INTO events (run, direction, event, at)
    SELECT id, 'in', '{"type":"flyd.retry"}', @at FROM runs WHERE id = @run AND status = 'parked'`,
  putSecret: 'INSERT OR IGNORE INTO secrets (run, ref, value) VALUES (?, ?, ?)',
  copySecrets:
    'INSERT OR IGNORE INTO secrets (run, ref, value) SELECT ?, ref, value FROM secrets WHERE run = ?',
  dropSecrets: 'DELETE FROM secrets WHERE run = ?',
  forgetEvent: 'DELETE FROM events WHERE id = ? AND dedupe IS NULL',
  markApplied: 'UPDATE events SET applied = ? WHERE id = ?',
  requestCancel: 'UPDATE runs SET cancel = ? WHERE id = ? AND cancel IS NULL AND ended_at IS NULL',
  // True for one that has its place already: its owner may not have heard that the commit was written.
  admit: `UPDATE runs SET admitted = 1 WHERE id = @run AND (admitted = 1 OR (
    after_run IS NULL AND replaces IS NULL AND cancel IS NULL AND parked IS NULL
    AND (start_at IS NULL OR start_at <= @now) AND (queue IS NULL OR (
      SELECT count(*) FROM runs WHERE queue = @queue AND admitted = 1 AND ended_at IS NULL
        AND status NOT IN ('pending', 'parked')
    ) < coalesce((SELECT places FROM queues WHERE name = @queue), 1))))`,
  setQueue: `INSERT INTO queues (name, places, ordering, keep_newest) VALUES (@name, @places, @ordering, @keepNewest)
    ON CONFLICT DO UPDATE SET places = excluded.places, ordering = excluded.ordering, keep_newest = excluded.keep_newest`,
  keyHolder: 'SELECT uid FROM runs WHERE machine = ? AND key = ? AND ended_at IS NULL',
  failed: `SELECT machine, key FROM runs WHERE id = ? AND seq = ? AND status = 'failed'`,
  reopen: `UPDATE runs SET ended_at = NULL, status = 'waiting', error = NULL, output = NULL, owner = @owner, admitted = 0,
    standalone = 1, updated_at = @at WHERE id = @run`,
  ignoreInbox: `UPDATE events SET applied = @at WHERE run = @run AND direction = 'in' AND applied IS NULL`,
  forgetCancel: 'UPDATE runs SET cancel = NULL WHERE id = ?',
  setOrigin: 'UPDATE runs SET origin = @origin, forked_from = @from WHERE id = @run',
  forkBegun: 'UPDATE runs SET origin = NULL WHERE id = ?',
  parkRow: 'UPDATE runs SET parked = ? WHERE id = ? AND ended_at IS NULL',
  dropRetries: `DELETE FROM events WHERE run = ? AND direction = 'in' AND event = '{"type":"flyd.retry"}'`,
  putDefinition: `INSERT INTO definitions (hash, machine, version, config, created_at)
    VALUES (@hash, @machine, @version, @config, @at) ON CONFLICT DO NOTHING`,
  refreshStatus: `UPDATE runs AS r SET status = ${liveStatus}
    WHERE id = ? AND ended_at IS NULL AND status <> ${liveStatus}`,
} as const;

export type Statements = Readonly<Record<keyof typeof statements, Statement>>;

/** The statements that write runs, each prepared at its first use. */
export const prepareAll = (db: Database): Statements => statementsOf(db, statements);
