import { useState } from 'react';
import { duration, eventText } from '../data/text.ts';
import type { Json, MomentDocument } from '../data/types.ts';
import { type Difference, differences } from './differences.ts';

/** The event, what it changed, and the whole context after it. */
export function MomentView({ moment }: { moment: MomentDocument }) {
  const { commit, event, before, after } = moment;
  const changes = differences(contextOf(before), contextOf(after));
  return (
    <section className="moment" aria-label={`Step ${commit.seq}`}>
      <div className="tools">
        <h2>
          Step {commit.seq}: {eventText(commit.event, commit.src, commit.attempt)}
        </h2>
        {commit.ms !== null && <span className="dim">took {duration(commit.ms)}</span>}
      </div>
      {hasPayload(event) && (
        <Fold title="Event" open={JSON.stringify(event).length < 400}>
          <pre>{JSON.stringify(event, null, 2)}</pre>
        </Fold>
      )}
      <Fold title={`Context: ${changes.length === 0 ? 'no change' : count(changes.length, 'change')}`} open>
        {changes.slice(0, 200).map((change) => (
          <Change key={change.path} change={change} />
        ))}
      </Fold>
      <Fold title="Whole context" open={false}>
        <pre data-context>{JSON.stringify(contextOf(after) ?? null, null, 2)}</pre>
      </Fold>
    </section>
  );
}

const count = (many: number, what: string): string => `${many} ${what}${many === 1 ? '' : 's'}`;

const hasPayload = (event: Json): boolean =>
  typeof event === 'object' && event !== null && Object.keys(event).length > 1;

function contextOf(snapshot: Json): Json | undefined {
  if (typeof snapshot !== 'object' || snapshot === null || Array.isArray(snapshot)) return undefined;
  return snapshot.context;
}

function Fold({ title, open, children }: { title: string; open: boolean; children: React.ReactNode }) {
  const [shown, setShown] = useState(open);
  return (
    <details open={shown} onToggle={(event) => setShown((event.target as HTMLDetailsElement).open)}>
      <summary>{title}</summary>
      {shown && children}
    </details>
  );
}

function Change({ change: { path, kind, before, after } }: { change: Difference }) {
  return (
    <div className={`change is-${kind}`}>
      <code className="path">{path || '(all)'}</code>
      {before !== undefined && (
        <del>
          <Value value={before} />
        </del>
      )}
      {after !== undefined && (
        <ins>
          <Value value={after} />
        </ins>
      )}
    </div>
  );
}

function Value({ value }: { value: Json }) {
  const text = JSON.stringify(value);
  return text.length > 90 ? <pre tabIndex={0}>{JSON.stringify(value, null, 2)}</pre> : <code>{text}</code>;
}
