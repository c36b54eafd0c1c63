import type { RunSummary } from '../data/types.ts';

/** A status by colour, sign and word: never by colour alone. */
export function Status({ run }: { run: Pick<RunSummary, 'status' | 'owner' | 'attempts'> }) {
  const { status, owner, attempts } = run;
  const [sign, word, look] =
    owner === 'dead'
      ? ['◌', 'orphaned', 'orphaned']
      : attempts > 0 && (status === 'running' || status === 'waiting')
        ? ['↻', 'retrying', 'retrying']
        : [signs[status], status, status];
  return (
    <span className={`status is-${look}`}>
      <span aria-hidden="true">{sign}</span> {word}
    </span>
  );
}

const signs: Record<RunSummary['status'], string> = {
  running: '▶',
  waiting: '◷',
  pending: '◔',
  parked: '■',
  done: '✓',
  failed: '✕',
  cancelled: '⊘',
};
