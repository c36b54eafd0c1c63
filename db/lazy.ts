import type { Database, Statement } from 'better-sqlite3';

/** The same value at every call, made at the first one. */
export function once<T>(make: () => T): () => T {
  let made: { value: T } | null = null;
  return () => {
    made ??= { value: make() };
    return made.value;
  };
}

/**
 * The statement of each text, prepared at its first use: a process that opens a database needs a few of
 * those that it might need, and preparing costs as much as running.
 */
export function statementsOf<Name extends string>(
  db: Database,
  texts: Readonly<Record<Name, string>>,
): Readonly<Record<Name, Statement>> {
  const statements = {} as Record<Name, Statement>;
  for (const [name, text] of Object.entries<string>(texts)) {
    const get = once(() => db.prepare(text));
    Object.defineProperty(statements, name, { get, enumerable: true });
  }
  return statements;
}
