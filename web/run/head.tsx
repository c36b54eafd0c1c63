import { exported } from '../data/offline.ts';
import { age, dateTime, duration } from '../data/text.ts';
import type { RunDocument } from '../data/types.ts';
import { Status } from '../ui/status.tsx';

/** Which run it is, from where it came, and how it is. */
export function Head({ doc, now, connected }: { doc: RunDocument; now: number; connected: boolean }) {
  const { run, parents } = doc;
  const took = (run.endedAt ?? now) - run.createdAt;
  return (
    <header className="run-head">
      <nav className="crumbs" aria-label="Where this run belongs">
        <a href="/">runs</a>
        {parents.map((parent) => (
          <span key={parent.id}>
            {' / '}
            <a href={`/runs/${parent.id}`}>
              {parent.machine} {parent.about}
            </a>{' '}
            <Status run={parent} />
          </span>
        ))}
      </nav>
      <h1>
        {run.machine} <span className="about">{run.about}</span> <Status run={run} />{' '}
        <code className="now-state">{run.state}</code>
      </h1>
      <p className="facts">
        <code title="Run">{run.id}</code>
        <span title={dateTime(run.createdAt)}>started {age(now - run.createdAt)} ago</span>
        <span>{run.endedAt === null ? `for ${duration(took)}` : `took ${duration(took)}`}</span>
        {run.attempts > 0 && <span className="warn">{run.attempts} failed attempts</span>}
        {run.nextAt !== null && run.nextAt > now && run.endedAt === null && (
          <span className="warn">next try in {duration(run.nextAt - now)}</span>
        )}
        {run.endedAt === null && (
          <span title={doc.view.owner ?? ''}>
            {
              { alive: 'its process lives', dead: 'its process is gone', none: 'no process has it' }[
                run.owner
              ]
            }
          </span>
        )}
        <span>
          {run.machine} v{run.version}
        </span>
        {exported === null && (
          <span className={connected ? 'live' : 'live off'}>{connected ? '● live' : '○ not connected'}</span>
        )}
      </p>
    </header>
  );
}
