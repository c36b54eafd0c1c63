import { unrecoverable } from '#core/errors';
import type { Engine } from '#engine/api';
import type { RunView } from '#engine/types';

/** The run of this id, or the one whose id begins so. Fails with `run_not_found`, `usage`. */
export function findRun(engine: Engine, text: string): RunView {
  const wanted = text.toUpperCase();
  const [exact] = engine.runs({ id: wanted });
  if (exact !== undefined) return exact;
  const found = engine.runs().filter((run) => run.id.startsWith(wanted));
  const [first] = found;
  if (first === undefined || wanted === '')
    throw unrecoverable('run_not_found', `there is no run ${text}`, {
      op: 'runs',
      subject: text,
      hint: 'list them: flyd runs',
    });
  if (found.length > 1)
    throw unrecoverable('usage', `${found.length} runs begin with ${text}`, {
      op: 'runs',
      subject: text,
      hint: `write more of it: ${found
        .slice(0, 3)
        .map((run) => run.id)
        .join(', ')}`,
    });
  return first;
}
