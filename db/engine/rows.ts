import type { Database } from 'better-sqlite3';
import { orm } from '../drizzle.ts';
import { once } from '../lazy.ts';

type Table = Parameters<typeof orm.getTableName>[0] & { $inferSelect: object };

/** Whole rows of a table, by what the placeholders of a condition stand for. */
export interface Rows<Row> {
  get(...given: unknown[]): Row | undefined;
  all(...given: unknown[]): Row[];
}

/**
 * Reads the rows of `table` for which `condition` (SQL, with `?`) holds, as drizzle would give them, without
 * the columns that are left out, and with others besides (SQL, by name). Its round trip costs some ten times what SQLite takes for a row, and these are read for every run.
 */
export function rowsOf<T extends Table, Left extends keyof T['$inferSelect'] = never>(
  db: Database,
  table: T,
  condition: string,
  leftOut: readonly Left[] = [],
  besides: Readonly<Record<string, string>> = {},
): Rows<Omit<T['$inferSelect'], Left>> {
  const all = Object.entries(orm.getTableColumns(table));
  const columns = all.filter(([key]) => !(leftOut as readonly string[]).includes(key));
  const flags = columns.flatMap(([key, { dataType }]) => (dataType === 'boolean' ? [key] : []));
  const list = [...columns.map(([key, { name }]) => [key, name]), ...Object.entries(besides)]
    .map(([key, value]) => `${value} AS "${key}"`)
    .join(', ');
  const statement = once(() =>
    db.prepare<unknown[], Record<string, unknown>>(
      `SELECT ${list} FROM ${orm.getTableName(table)} WHERE ${condition}`,
    ),
  );
  const asTyped = (row: Record<string, unknown>): Omit<T['$inferSelect'], Left> => {
    for (const flag of flags) row[flag] = row[flag] === 1;
    return row as Omit<T['$inferSelect'], Left>;
  };
  return {
    get(...given) {
      const row = statement().get(...given);
      return row === undefined ? undefined : asTyped(row);
    },
    all: (...given) =>
      statement()
        .all(...given)
        .map(asTyped),
  };
}
