import type { RunWrite } from '#db/engine/index';
import { type Draft, type Rules, toWrite } from './draft.ts';
import { withoutSecrets } from './hiding.ts';
import type { LiveRun } from './run.ts';

/** What a run did in one turn of this process, and what is to be written of it. */
export interface Turn {
  readonly run: LiveRun;
  readonly draft: Draft;
  readonly write: RunWrite;
}

/** What a commit has brought about. */
export interface Over {
  moved: number[];
  /** Runs to be moved from here on. */
  born: number[];
  /** Other runs of this process may have something to take now. */
  look: boolean;
}

/** The turn of a run that has taken its mail; null when there is nothing to write. */
export function turnOf(run: LiveRun, draft: Draft, owner: string, rules: Rules): Turn | null {
  const open = toWrite(run, draft, owner, rules.now);
  if (open === null) return null;
  const write = run.secrets === null ? open : withoutSecrets(open, run.secrets, rules.definitionNamed);
  return { run, draft, write };
}
