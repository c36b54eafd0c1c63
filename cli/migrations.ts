import type { Json } from '#engine/types';

type Fields = { [key: string]: Json };

const isObject = (value: Json | undefined): value is Fields =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

const withContext = (snapshot: Json, change: (context: Fields) => Fields): Json =>
  isObject(snapshot) && isObject(snapshot.context)
    ? { ...snapshot, context: { ...snapshot.context, ...change(snapshot.context) } }
    : snapshot;

/** Version 1 of `pull` knew families of plain layers only. */
export const pullFrom1 = (snapshot: Json): Json =>
  withContext(snapshot, ({ resolved = null }) => ({
    choice: null,
    resolved: isObject(resolved) ? { ...resolved, manifest: null } : resolved,
  }));

/** Version 1 of `image` knew families of plain layers only. */
export const imageFrom1 = (snapshot: Json): Json => withContext(snapshot, () => ({ manifest: null }));

/**
 * What was stored has all that is needed. Version 2 of `image` kept children that were done, which go when the run
 * leaves `building`; version 1 of `sweep` and `remove` always looked for strangers as well.
 */
export const asItWas = (snapshot: Json): Json => snapshot;
