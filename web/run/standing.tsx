import { clock, dateTime, duration } from '../data/text.ts';
import type { MomentDocument, ProgressEntry, RunDocument, RunSummary } from '../data/types.ts';
import { type Share, sharesOf } from '../runs/progress.ts';
import { Meter } from '../ui/meter.tsx';
import { Status } from '../ui/status.tsx';

/** What the run waits for and since when: now, or at the step that one looks at. */
export function Standing({
  doc,
  moment,
  live,
  progress,
  now,
}: {
  doc: RunDocument;
  moment: MomentDocument | null;
  live: boolean;
  progress: readonly ProgressEntry[];
  now: number;
}) {
  const { children, effects, timers, view } = doc;
  const shares = sharesOf(progress, new Map(children.map(({ run }) => [run.id, run])));
  const inFlight = moment?.inFlight ?? [];
  return (
    <section className="standing" aria-label={live ? 'Now' : 'At this step'}>
      {live ? (
        <>
          <Waiting doc={doc} progress={progress} now={now} />
          {effects.length === 0 && timers.length === 0 && doc.run.endedAt !== null && (
            <p className="dim">It has ended; nothing is in flight.</p>
          )}
        </>
      ) : (
        <>
          <h2>In flight at this step</h2>
          {inFlight.length === 0 && <p className="dim">nothing</p>}
          <ul data-in-flight>
            {inFlight.map(({ id, src, sinceSeq }) => (
              <li key={id}>
                <code>{id}</code>
                {src !== id && <span className="dim"> {src}</span>}{' '}
                <span className="dim">since step {sinceSeq}</span>
              </li>
            ))}
          </ul>
        </>
      )}
      {children.length > 0 && (
        <>
          <h2>
            {children.length} {children.length === 1 ? 'child' : 'children'}
          </h2>
          <ul className="children">
            {children.map(({ childId, run }) => (
              <Child key={run.id + childId} run={run} share={shares.get(run.id) ?? null} />
            ))}
          </ul>
        </>
      )}
      <details>
        <summary>Input{view.output === null ? '' : ' and output'}</summary>
        <pre>{JSON.stringify(view.input, null, 2)}</pre>
        {view.output !== null && <pre>{JSON.stringify(view.output, null, 2)}</pre>}
      </details>
    </section>
  );
}

function Child({ run, share }: { run: RunSummary; share: Share | null }) {
  return (
    <li>
      <a href={`/runs/${run.id}`}>
        {run.machine} <strong>{run.about}</strong>
      </a>{' '}
      <Status run={run} /> <code>{run.state}</code>
      {run.endedAt === null && share !== null && <Meter {...share} label={`Progress of ${run.about}`} />}
      {run.endedAt !== null && <span className="dim"> {duration(run.endedAt - run.createdAt)}</span>}
      {run.error !== null && <span className="trouble-text"> {run.error.message}</span>}
    </li>
  );
}

function Waiting({
  doc,
  progress,
  now,
}: {
  doc: RunDocument;
  progress: readonly ProgressEntry[];
  now: number;
}) {
  const { effects, timers, children, run } = doc;
  if (run.endedAt !== null) return null;
  const open = children.filter(({ run: child }) => child.endedAt === null);
  return (
    <>
      <h2>It waits for</h2>
      <ul data-in-flight>
        {effects.map(({ child, src, state, attempt, dueAt, error }) => {
          const share = progress.find((entry) => entry.run === run.id && entry.effect === child);
          return (
            <li key={child}>
              <code>{child}</code>
              {src !== child && <span className="dim"> {src}</span>}{' '}
              {state === 'due' && dueAt <= now && <span className="dim">since {clock(dueAt)}</span>}
              {state !== 'due' && <span className="warn">{state}</span>}
              {attempt > 0 && <span className="warn"> {attempt} failed attempts</span>}
              {dueAt > now && <span className="warn"> again in {duration(dueAt - now)}</span>}
              {share !== undefined && (
                <Meter done={share.done} total={share.total} unit="bytes" label={`Progress of ${child}`} />
              )}
              {error !== null && <span className="trouble-text"> {error.message}</span>}
            </li>
          );
        })}
        {timers.map(({ timer, dueAt }) => (
          <li key={timer}>
            <code>{timer.replace(/^xstate\.after\.(.+?)\..*$/, 'after $1')}</code>{' '}
            <span className="dim" title={dateTime(dueAt)}>
              {dueAt > now ? `in ${duration(dueAt - now)}` : 'due'}
            </span>
          </li>
        ))}
        {open.map(({ childId, run: child }) => (
          <li key={childId}>
            run <a href={`/runs/${child.id}`}>{childId}</a>{' '}
            <span className="dim">since {clock(child.createdAt)}</span>
          </li>
        ))}
        {effects.length + timers.length + open.length === 0 && (
          <li className="dim">
            {run.owner === 'dead' ? 'a process: resume it' : 'an event, or its place in a queue'}
          </li>
        )}
      </ul>
    </>
  );
}
