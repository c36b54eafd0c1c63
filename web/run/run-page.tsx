import { useEffect, useMemo, useState } from 'react';
import { setParams, useAddress } from '../data/address.ts';
import { exported } from '../data/offline.ts';
import { useStream } from '../data/stream.ts';
import type {
  Commit,
  DefinitionDocument,
  HistoryDocument,
  Json,
  MomentDocument,
  ProgressEntry,
  RunDocument,
  RunSummary,
} from '../data/types.ts';
import { useGet, useNow } from '../data/use.ts';
import { Failure, Trouble } from '../ui/trouble.tsx';
import { Actions } from './actions.tsx';
import { ChartView } from './chart.tsx';
import { Events } from './events.tsx';
import { Head } from './head.tsx';
import { MomentView } from './moment.tsx';
import { Standing } from './standing.tsx';
import { takenBy } from './taken.ts';
import { Timeline } from './timeline.tsx';
import { Travel } from './travel.tsx';

/** One run: where it stands on its statechart, how it came there, and how it stood at any step before. */
export function RunPage({ id }: { id: string }) {
  const { params } = useAddress();
  const chosen = Number(params.get('at')) || null;
  const { document: doc, commits, progress, connected, error } = useRun(id);
  const now = useNow(doc?.run.endedAt === null ? 500 : 60_000);
  const newest = commits.at(-1)?.seq ?? 0;
  const at = chosen === null || chosen > newest ? null : chosen;
  const seq = at ?? newest;
  const definitionHash = commits.find((commit) => commit.seq === seq)?.definition ?? doc?.definition ?? null;
  const definition = useGet<DefinitionDocument>(
    definitionHash === null ? null : `/api/definitions/${definitionHash}`,
  );
  const moment = useGet<MomentDocument>(seq === 0 ? null : `/api/runs/${id}/at/${seq}`);
  useEffect(() => {
    if (doc !== null) document.title = `${doc.run.machine} ${doc.run.about} · flyd`;
  }, [doc]);

  const seen = useMemo(() => commits.filter((commit) => commit.seq <= seq), [commits, seq]);
  const fresh = moment.data !== null && moment.data.commit.seq === seq ? moment.data : null;
  const taken = useMemo(() => {
    const value = fresh === null ? null : ((fresh.after as { value?: Json } | null)?.value ?? null);
    return definition.data == null ? null : takenBy(definition.data.chart, seen, value);
  }, [definition.data, seen, fresh]);
  const childRuns = useMemo(
    () => new Map((doc?.children ?? []).map(({ childId, run }) => [childId, run])),
    [doc],
  );
  if (doc === null) return error === null ? <p className="empty">Loading …</p> : <Failure error={error} />;
  const choose = (step: number | null): void =>
    setParams({ at: step === null || step >= newest ? null : String(step) });
  return (
    <div className="run-page">
      <Head doc={doc} now={now} connected={connected} />
      {exported === null && taken !== null && definition.data != null && (
        <Actions doc={doc} definition={definition.data} taken={taken} seq={seq} live={at === null} />
      )}
      {doc.view.error !== null && at === null && <Trouble error={doc.view.error} title="What is wrong" />}
      {error !== null && <Failure error={error} />}
      <div className="split">
        {definition.data != null && taken !== null ? (
          <ChartView definition={definition.data} taken={taken} />
        ) : (
          <div className="chart empty">{definition.error?.message ?? 'Drawing …'}</div>
        )}
        <Standing doc={doc} moment={moment.data} live={at === null} progress={progress} now={now} />
      </div>
      <Travel commits={commits} at={at} live={doc.run.endedAt === null} onChoose={choose} />
      <Timeline
        commits={commits}
        endedAt={doc.run.endedAt}
        now={now}
        at={at}
        childRuns={childRuns}
        onChoose={choose}
      />
      <div className="split low">
        <Events commits={commits} at={at} onChoose={choose} />
        {moment.data !== null && <MomentView key={moment.data.commit.seq} moment={moment.data} />}
        {moment.error !== null && <Failure error={moment.error} />}
      </div>
    </div>
  );
}

/** A run and its history, live. */
function useRun(id: string) {
  const [again, setAgain] = useState(0);
  const document = useGet<RunDocument>(`/api/runs/${id}`, again);
  const history = useGet<HistoryDocument>(`/api/runs/${id}/history`);
  const [more, setMore] = useState<Commit[]>([]);
  const [progress, setProgress] = useState<ProgressEntry[]>([]);
  const { data } = document;
  const relatives = useMemo(() => {
    if (data === null) return new Set([id]);
    return new Set([id, ...data.run.parents, ...data.children.map(({ run }) => run.id)]);
  }, [data, id]);
  const [rows, setRows] = useState<ReadonlyMap<string, RunSummary>>(new Map());

  const connected = useStream(
    history.data === null ? null : `/api/runs/${id}/stream`,
    history.data?.cursor ?? null,
    {
      commits: (commits) => {
        setMore((before) => [...before, ...commits]);
        setAgain((count) => count + 1);
      },
      runs: ({ shown }) => {
        const near = shown.filter((run) => relatives.has(run.id) || run.parents.includes(id));
        if (near.length === 0) return;
        setRows((before) => new Map([...before, ...near.map((run) => [run.id, run] as const)]));
        // A new child, or its end, changes what the run waits for.
        if (near.some((run) => run.id === id || !relatives.has(run.id))) setAgain((count) => count + 1);
      },
      progress: setProgress,
    },
  );
  const commits = useMemo(() => [...(history.data?.commits ?? []), ...more], [history.data, more]);
  const current = useMemo(() => withRows(data, rows), [data, rows]);
  return { document: current, commits, progress, connected, error: document.error ?? history.error };
}

/** The document with what the stream has told since of the runs around it. */
function withRows(doc: RunDocument | null, rows: ReadonlyMap<string, RunSummary>): RunDocument | null {
  if (doc === null) return null;
  const newer = (run: RunSummary): RunSummary => {
    const row = rows.get(run.id);
    return row === undefined || row.updatedAt < run.updatedAt ? run : row;
  };
  return {
    ...doc,
    run: newer(doc.run),
    parents: doc.parents.map(newer),
    children: doc.children.map(({ childId, run }) => ({ childId, run: newer(run) })),
  };
}
