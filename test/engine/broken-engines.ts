import type { Database } from 'better-sqlite3';
import type { FaultRates } from '#engine/testing/index';

/** An engine that breaks one of its laws, made by a database that does not do what it is told. */
export interface BrokenEngine {
  name: string;
  /** The workload that shows it. */
  workload: string;
  faults?: Partial<FaultRates>;
  /** Laws of which one must be seen to be broken. */
  breaks: string[];
  database(db: Database): Database;
}

/** COMMIT answers at once and happens when the callback is over: by then the effects have started. */
function commitsLate(db: Database): Database {
  const exec = db.exec.bind(db);
  let isOpen = false;
  const flush = (): void => {
    if (!isOpen) return;
    isOpen = false;
    exec('COMMIT');
  };
  db.exec = (sql) => {
    if (sql === 'COMMIT') {
      isOpen = true;
      queueMicrotask(() => {
        try {
          flush();
        } catch {
          // The process died meanwhile, or the commit failed: nobody will ever know.
        }
      });
      return db;
    }
    flush();
    return exec(sql);
  };
  return db;
}

/** The engine's statement that contains `part`, with `part` replaced. */
function rewriting(part: string, by: string): (db: Database) => Database {
  return (db) => {
    const prepare = db.prepare.bind(db);
    db.prepare = ((sql: string) => prepare(sql.replace(part, by))) as typeof db.prepare;
    return db;
  };
}

const robbing: Partial<FaultRates> = {
  freeze: 0.05,
  robbed: 1,
  commitFails: 0,
  commitUnknown: 0,
  lockedOut: 0,
};

export const brokenEngines: readonly BrokenEngine[] = [
  {
    name: 'starts effects before they are committed',
    workload: 'order',
    breaks: ['effect-is-committed', 'effect-has-run'],
    database: commitsLate,
  },
  {
    name: 'lets anybody commit, owner or not',
    workload: 'order',
    faults: robbing,
    breaks: ['one-owner'],
    database: rewriting('AND owner = ? AND seq', 'AND ? IS NOT NULL AND seq'),
  },
  {
    name: 'ignores how many commits a run has',
    workload: 'order',
    faults: robbing,
    breaks: ['seq-gapless', 'one-owner', 'seq-grows'],
    database: rewriting('AND owner = ? AND seq = ? AND', 'AND ? IS NOT NULL AND ? IS NOT NULL AND'),
  },
  {
    name: 'forgets the dedupe keys of events',
    workload: 'order',
    faults: { callTwice: 0.8 },
    breaks: ['event-taken-once'],
    database: rewriting("SELECT id, 'in', @event, @dedupe", "SELECT id, 'in', @event, NULL"),
  },
  {
    name: 'takes events again that it has taken',
    workload: 'order',
    breaks: ['event-taken-once'],
    database: rewriting(
      'UPDATE events SET applied = ? WHERE id = ?',
      'UPDATE events SET applied = ? WHERE 0 AND id = ?',
    ),
  },
  {
    name: 'does not tell parents that a child has ended',
    workload: 'batch',
    breaks: ['liveness'],
    database: rewriting(
      'WHERE l.child = +? AND l.settled = 0 AND p.ended_at IS NULL',
      'WHERE l.child = +? AND 0',
    ),
  },
  {
    name: 'leaves children that nobody wants alone',
    workload: 'batch',
    breaks: ['no-orphans'],
    database: rewriting(
      'SELECT (SELECT standalone FROM runs WHERE id = ?) OR EXISTS',
      'SELECT (SELECT 1 FROM runs WHERE id = ?) OR EXISTS',
    ),
  },
  {
    name: 'admits more to a queue than it has places',
    workload: 'batch',
    breaks: ['queue-places'],
    database: rewriting(') < coalesce((SELECT places', ') < 99 + coalesce((SELECT places'),
  },
  {
    name: 'leaves timers of runs that have ended',
    workload: 'talk',
    breaks: ['ended-owes-nothing'],
    database: rewriting('DELETE FROM timers WHERE run = ?', 'DELETE FROM timers WHERE 0 AND run = ?'),
  },
  {
    name: 'stores a status once and never again',
    workload: 'batch',
    breaks: ['status-derived'],
    database: rewriting(
      'WHERE id = ? AND ended_at IS NULL AND status <>',
      'WHERE 0 AND id = ? AND status <>',
    ),
  },
  {
    name: 'loses the chain of its history',
    workload: 'order',
    breaks: ['prev-chain'],
    database: rewriting('timers)\n    VALUES (?, ?, ?, ?,', 'timers)\n    VALUES (?, ?, ?, NULL * ?,'),
  },
  {
    name: 'leaves runs waiting for one that has ended',
    workload: 'flow',
    breaks: ['liveness'],
    database: rewriting('WHERE after_run = ? AND ended_at IS NULL', 'WHERE after_run = ? AND 0'),
  },
  {
    name: 'tells nobody where the work of a run goes on',
    workload: 'flow',
    breaks: ['no-orphans'],
    database: rewriting(
      'UPDATE run_links SET child = @next WHERE',
      'UPDATE run_links SET child = @next WHERE 0 AND',
    ),
  },
  {
    name: 'keeps all that wait in a queue that keeps the newest',
    workload: 'flow',
    breaks: ['keeps-newest'],
    database: rewriting(
      'UPDATE runs SET cancel = @cancel\n    WHERE',
      'UPDATE runs SET cancel = @cancel\n    WHERE 0 AND',
    ),
  },
  {
    name: 'does not see that the last run of a schedule is live',
    workload: 'flow',
    breaks: ['schedule-skips'],
    database: rewriting('WHERE schedule = ? AND ended_at IS NULL', 'WHERE 0 AND schedule = ?'),
  },
  {
    name: 'does not store failed attempts',
    workload: 'order',
    faults: { effectFails: 0.5, crashAtPoint: 0.02 },
    breaks: ['attempts-stored', 'status-derived', 'effect-as-stored'],
    database: rewriting(
      'UPDATE effects SET state = @state, attempt = @attempt',
      'UPDATE effects SET state = @state, attempt = attempt',
    ),
  },
];
