import { useState } from 'react';
import { get, post } from '../data/api.ts';
import { exported } from '../data/offline.ts';
import type { RunSummary } from '../data/types.ts';
import { Dialog } from '../ui/dialog.tsx';
import { Failure } from '../ui/trouble.tsx';

type BulkAction = 'cancel' | 'kill' | 'retry' | 'resume';
const texts: Record<BulkAction, string> = {
  cancel: 'stops them for good; what they made is taken back',
  kill: 'ends them as they are; nothing is taken back',
  retry: 'lets what is parked or pending try again',
  resume: 'carries on what has lost its process',
};

interface Outcome {
  done: string[];
  failed: { run: string; code: string; message: string }[];
}

/** Does one thing to every run that the filter shows and that has not ended. */
export function BulkBar({ filter, runs }: { filter: string; runs: readonly RunSummary[] }) {
  const [asked, setAsked] = useState<{ action: BulkAction; count: number } | null>(null);
  const [busy, setBusy] = useState(false);
  const [outcome, setOutcome] = useState<Outcome | null>(null);
  const [error, setError] = useState<Error | null>(null);
  if (exported !== null || !runs.some(({ endedAt }) => endedAt === null)) return null;

  const ask = async (action: BulkAction): Promise<void> => {
    setOutcome(null);
    setError(null);
    try {
      const { count } = await get<{ count: number }>(`/api/bulk?filter=${encodeURIComponent(filter)}`);
      setAsked({ action, count });
    } catch (fault) {
      setError(fault as Error);
    }
  };
  const confirm = async (): Promise<void> => {
    if (asked === null) return;
    setBusy(true);
    try {
      setOutcome(await post<Outcome>('/api/bulk', { ...asked, filter }));
    } catch (fault) {
      setError(fault as Error);
    }
    setBusy(false);
  };
  return (
    <fieldset className="bulk">
      <legend className="hidden">All live runs shown here</legend>
      <span className="dim">all live ones shown:</span>
      {(Object.keys(texts) as BulkAction[]).map((action) => (
        <button key={action} type="button" className="small" onClick={() => ask(action)}>
          {action}
        </button>
      ))}
      {asked === null && error !== null && <Failure error={error} />}
      {asked !== null && (
        <Dialog title={`${capital(asked.action)} ${asked.count} runs`} onClose={() => setAsked(null)}>
          {outcome === null ? (
            <p>
              This {texts[asked.action]}. Filter: <code>{filter || 'none'}</code>
            </p>
          ) : (
            <p role="status">
              {outcome.done.length} done, {outcome.failed.length} refused.
            </p>
          )}
          {outcome?.failed.slice(0, 20).map(({ run, message }) => (
            <p key={run} className="dim">
              <a href={`/runs/${run}`}>{run}</a>: {message}
            </p>
          ))}
          {error !== null && <Failure error={error} />}
          <div className="buttons">
            <button type="button" onClick={() => setAsked(null)}>
              {outcome === null ? 'Do nothing' : 'Close'}
            </button>
            {outcome === null && (
              <button
                type="button"
                className="primary"
                disabled={busy || asked.count === 0}
                onClick={confirm}
              >
                {capital(asked.action)} {asked.count} runs
              </button>
            )}
          </div>
        </Dialog>
      )}
    </fieldset>
  );
}

const capital = (word: string): string => word.charAt(0).toUpperCase() + word.slice(1);
