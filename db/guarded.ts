import type { Database, Statement } from 'better-sqlite3';
import { databaseError, isBusy } from './errors.ts';
import { withRetry } from './waiting.ts';

/**
 * Every statement of the connection waits for locks as writes do (a reader meets one while another process
 * recovers or closes the file), and throws flyd's errors instead of SQLite's.
 */
export function guardStatements(db: Database): void {
  const prepareRaw = db.prepare.bind(db);
  const translated = <T>(work: () => T): T => {
    try {
      return work();
    } catch (cause) {
      throw databaseError(cause, db.name, 'use');
    }
  };
  const again = <T>(cause: unknown, work: () => T): T => {
    if (!isBusy(cause)) throw databaseError(cause, db.name, 'use');
    if (db.inTransaction) throw cause; // whoever began the transaction begins it anew
    return translated(() => withRetry(db, work));
  };
  const waiting = <T>(work: () => T): T => {
    try {
      return work();
    } catch (cause) {
      return again(cause, work);
    }
  };
  db.prepare = (text: string) => {
    const statement: Statement = waiting(() => prepareRaw(text));
    for (const name of ['run', 'get', 'all'] as const) {
      const call = statement[name] as (...args: unknown[]) => unknown;
      // Nothing is made for a call that goes well: a commit makes some hundreds.
      statement[name] = (...args: unknown[]) => {
        try {
          return call.apply(statement, args) as never;
        } catch (cause) {
          return again(cause, () => call.apply(statement, args)) as never;
        }
      };
    }
    const iterate = statement.iterate.bind(statement);
    statement.iterate = (...args: unknown[]) =>
      translatedRows(
        waiting(() => iterate(...args)),
        db.name,
      );
    return statement as never;
  };
}

function* translatedRows<Row>(rows: IterableIterator<Row>, path: string): Generator<Row, void> {
  try {
    yield* rows;
  } catch (cause) {
    throw databaseError(cause, path, 'use');
  }
}
