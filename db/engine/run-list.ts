import type { Database } from 'better-sqlite3';
import { once } from '../lazy.ts';
import { withRetry } from '../waiting.ts';
import type { RunRow } from './records.ts';
import { type Rows, rowsOf } from './rows.ts';
import { runs } from './schema.ts';

export interface RunQuery {
  uid?: string;
  machine?: string;
  key?: string;
  status?: string[];
  live?: boolean;
  limit?: number;
}

/** What only the engine needs of a run: the most of a row, and nothing that a list shows. */
const unshown = ['snapshot', 'tagsLast', 'definition', 'last', 'epoch', 'origin', 'trace'] as const;

/** A run as lists have it. */
export type ShownRunRow = Omit<RunRow, (typeof unshown)[number]>;

const limitDefault = 10_000;

/** Many runs at once, in plain SQL: a statement or an object more for each is what a list would wait for. */
export function createRunList(db: Database) {
  const whole = new Map<string, Rows<RunRow>>();
  const shown = new Map<string, Rows<ShownRunRow>>();

  function select<Row>(
    made: Map<string, Rows<Row>>,
    make: (condition: string) => Rows<Row>,
    query: RunQuery,
  ): Row[] {
    const { condition, given } = conditionOf(query);
    const rows = made.get(condition) ?? make(condition);
    made.set(condition, rows);
    return rows.all(...given, query.limit ?? limitDefault).reverse();
  }

  const parents = once(() =>
    db
      .prepare<[string], [child: number, uid: string]>(`
        SELECT l.child, p.uid FROM run_links l JOIN runs p ON p.id = l.parent
        WHERE l.child IN (SELECT value FROM json_each(?))`)
      .raw(),
  );

  return {
    /** The newest runs that fit, oldest first. */
    runs: (query: RunQuery): RunRow[] => select(whole, (condition) => rowsOf(db, runs, condition), query),
    /** The same, without what only the engine needs. */
    runsToShow: (query: RunQuery): ShownRunRow[] =>
      select(shown, (condition) => rowsOf(db, runs, condition, unshown), query),
    /** The uids of the parents of these runs, by child. */
    parentsOfAll(children: readonly number[]): Map<number, string[]> {
      const found = new Map<number, string[]>();
      for (const [child, uid] of parents().all(JSON.stringify(children))) {
        const known = found.get(child);
        if (known === undefined) found.set(child, [uid]);
        else known.push(uid);
      }
      return found;
    },
    /** What `read` gives, as of one moment; each of its statements costs a fifth of one that locks by itself. */
    atOnce: <T>(read: () => T): T =>
      db.inTransaction ? read() : withRetry(db, () => db.transaction(read)()),
  };
}

function conditionOf({ uid, machine, key, status, live }: RunQuery): { condition: string; given: unknown[] } {
  const parts: string[] = [];
  const given: unknown[] = [];
  for (const [column, value] of Object.entries({ uid, machine, key })) {
    if (value === undefined) continue;
    parts.push(`${column} = +?`);
    given.push(value);
  }
  if (status !== undefined) {
    parts.push('status IN (SELECT value FROM json_each(?))');
    given.push(JSON.stringify(status));
  }
  if (live !== undefined) parts.push(`ended_at IS ${live ? '' : 'NOT '}NULL`);
  return { condition: `${['true', ...parts].join(' AND ')} ORDER BY id DESC LIMIT +?`, given };
}
