import { unrecoverable } from '#core/errors';
import { type RunStatus, runStatuses } from '#core/status';
import type { RunQuery } from './summary.ts';

/** The filter of a table of runs, as the address of the page and of the API write it. Fails with `usage`. */
export function runQueryOf(params: URLSearchParams): RunQuery {
  const status = params.get('status');
  const wanted = status === null || status === '' ? null : status.split(',');
  for (const each of wanted ?? [])
    if (!(runStatuses as readonly string[]).includes(each))
      throw unrecoverable('usage', `there is no status '${each.slice(0, 40)}'`, {
        hint: `one of ${runStatuses.join(', ')}`,
      });
  return {
    machine: params.get('machine') || null,
    status: wanted as RunStatus[] | null,
    roots: params.get('roots') === '1',
    trouble: params.get('trouble') === '1',
    words: (params.get('q') ?? '').split(/\s+/).filter((word) => word !== ''),
  };
}

/** A whole number of the query, within bounds, or what is said when it is absent. Fails with `usage`. */
export function numberOf(params: URLSearchParams, name: string, absent: number, max: number): number {
  const text = params.get(name);
  if (text === null || text === '') return absent;
  const value = Number(text);
  if (!/^\d{1,15}$/.test(text) || value > max)
    throw unrecoverable('usage', `${name} is not a whole number up to ${max}`);
  return value;
}
