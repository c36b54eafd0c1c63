import { clock, eventText } from '../data/text.ts';
import type { Commit } from '../data/types.ts';

/** Goes back and forth through the steps of a run. */
export function Travel({
  commits,
  at,
  live,
  onChoose,
}: {
  commits: readonly Commit[];
  at: number | null;
  live: boolean;
  onChoose(seq: number | null): void;
}) {
  const newest = commits.at(-1)?.seq ?? 0;
  const oldest = commits[0]?.seq ?? 0;
  if (newest === 0) return null;
  const seq = at ?? newest;
  const commit = commits.find((each) => each.seq === seq);
  const button = (text: string, sign: string, to: number | null, off: boolean) => (
    <button
      type="button"
      className="small"
      aria-label={text}
      title={text}
      disabled={off}
      onClick={() => onChoose(to)}
    >
      {sign}
    </button>
  );
  return (
    <section className={at === null ? 'travel' : 'travel past'} aria-label="Go through the history">
      {button('First step', '|◀', oldest, seq === oldest)}
      {button('Step before', '◀', seq - 1, seq === oldest)}
      <input
        type="range"
        min={oldest}
        max={newest}
        value={seq}
        aria-label="Step of the history"
        aria-valuetext={commit === undefined ? '' : `step ${seq} of ${newest}, ${eventText(commit.event)}`}
        onChange={(event) => onChoose(Number(event.target.value))}
      />
      {button('Next step', '▶', seq + 1, seq === newest)}
      {button('Newest step', '▶|', null, at === null)}
      <output>
        step {seq} of {newest}
        {commit !== undefined && (
          <>
            {' · '}
            <strong>{eventText(commit.event, commit.src, commit.attempt)}</strong> · {clock(commit.at)}
          </>
        )}
        {at !== null && <span className="warn"> · {live ? 'this is the past' : 'not the last step'}</span>}
      </output>
    </section>
  );
}
