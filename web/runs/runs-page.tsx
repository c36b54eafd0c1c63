import { useEffect, useMemo, useState } from 'react';
import { useAddress } from '../data/address.ts';
import { get } from '../data/api.ts';
import { useStream } from '../data/stream.ts';
import type { ProgressEntry, RunSummary } from '../data/types.ts';
import { Failure } from '../ui/trouble.tsx';
import { BulkBar } from './bulk.tsx';
import { Filters, filterOf } from './filters.tsx';
import { sharesOf } from './progress.ts';
import { RunsTable } from './runs-table.tsx';

interface ListDocument {
  cursor: number;
  runs: RunSummary[];
  more: boolean;
  counts: { machine: string; status: string; runs: number }[];
}

/** The live table of runs. */
export function RunsPage() {
  const { params } = useAddress();
  const filter = filterOf(params);
  const [list, setList] = useState<(ListDocument & { filter: string }) | null>(null);
  const [changed, setChanged] = useState<ReadonlyMap<string, RunSummary | null>>(new Map());
  const [progress, setProgress] = useState<ProgressEntry[]>([]);
  const [error, setError] = useState<Error | null>(null);

  useEffect(() => {
    document.title = 'Runs · flyd';
    const stop = new AbortController();
    get<ListDocument>(`/api/runs?${filter}`, stop.signal).then(
      (document) => {
        if (stop.signal.aborted) return;
        setChanged(new Map());
        setList({ ...document, filter });
        setError(null);
      },
      (fault: Error) => stop.signal.aborted || setError(fault),
    );
    return () => stop.abort();
  }, [filter]);

  const fits = list?.filter === filter;
  const connected = useStream(fits ? `/api/stream?${filter}` : null, fits ? list.cursor : null, {
    runs: ({ shown, hidden }) =>
      setChanged((before) => {
        const next = new Map(before);
        for (const run of shown) next.set(run.id, run);
        for (const id of hidden) next.set(id, null);
        return next;
      }),
    progress: setProgress,
  });

  const runs = useMemo(() => merged(list?.runs ?? [], changed), [list, changed]);
  const shares = useMemo(
    () => sharesOf(progress, new Map(runs.map((run) => [run.id, run]))),
    [runs, progress],
  );
  return (
    <div className="runs-page">
      <h1 className="hidden">Runs</h1>
      <Filters params={params} counts={list?.counts ?? []} />
      <div className="summary-line">
        <span role="status">
          {list === null ? 'Loading …' : `${runs.length}${list.more ? '+' : ''} runs`}
          {list?.more === true && ', the newest; search reaches all'}
        </span>
        <span className={connected ? 'live' : 'live off'}>{connected ? '● live' : '○ not connected'}</span>
        <BulkBar filter={filter} runs={runs} />
      </div>
      {error !== null && <Failure error={error} />}
      {list !== null && <RunsTable runs={runs} shares={shares} filtered={filter !== ''} />}
    </div>
  );
}

/** The list as it was given, with what has changed since; the newest first. */
function merged(list: readonly RunSummary[], changed: ReadonlyMap<string, RunSummary | null>): RunSummary[] {
  if (changed.size === 0) return [...list];
  const known = new Set(list.map(({ id }) => id));
  const added = [...changed.values()].filter((run) => run !== null && !known.has(run.id)) as RunSummary[];
  const kept = list.flatMap((run) => {
    const now = changed.get(run.id);
    return now === undefined ? [run] : now === null ? [] : [now];
  });
  return [...added, ...kept].sort((a, b) => b.createdAt - a.createdAt || (a.id < b.id ? 1 : -1));
}
