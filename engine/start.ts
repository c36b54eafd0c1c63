import { type FlydError, unrecoverable } from '#core/errors';
import type { NewRun, QueueSetting, StartOutcome, StartWish } from '#db/engine/index';
import type { StartOptions } from './api.ts';
import { keyOf } from './define.ts';
import type { Definition } from './definition.ts';
import { hiddenInput } from './hiding.ts';
import { toText } from './json.ts';
import type { Registry } from './registry.ts';
import { RunSecrets } from './secrets.ts';
import { checkedTrace, traceText } from './trace.ts';

export interface StartParts {
  registry: Registry;
  queues: ReadonlyMap<string, QueueSetting>;
  token: string;
  now: number;
  newId(): string;
}

const wrong = (message: string, hint: string, subject?: string): FlydError =>
  unrecoverable('usage', message, { subject, hint });

/** What is to be written for a wish to start. Throws `usage`, `machine_unknown` or `not_serialisable`. */
export function toStart<D extends Definition>(
  definition: D,
  options: StartOptions<D>,
  { registry, queues, token, now, newId }: StartParts,
): { run: NewRun; wish: StartWish } {
  const { input, key, id, queue, priority = 0, labels, trace, after } = options;
  const { reuse = id === undefined ? 'fresh' : 'join', conflict = 'join' } = options;
  const known = registry.find(definition.name);
  if (known === undefined)
    throw unrecoverable('machine_unknown', `'${definition.name}' was not given to openEngine`, {
      subject: definition.name,
    });
  if (id !== undefined && (reuse.startsWith('fresh') || conflict === 'replace'))
    throw wrong('an id stands for one run for ever', "give a `key` instead, or only 'join' or 'refuse'", id);
  if (!Number.isSafeInteger(priority))
    throw wrong('a priority is a whole number', 'higher ones go first', id);
  if (queue !== undefined && queue !== null && !queues.has(queue))
    throw wrong(`no queue is named '${queue}'`, `give openEngine({ queues: { ${queue}: 4 } })`, queue);
  const run: NewRun = {
    uid: id ?? newId(),
    machine: definition.name,
    version: definition.version,
    definition: known.hash,
    key: key === undefined ? keyOf(definition, input) : key,
    input: toText(input, 'input'),
    state: '',
    queue: queue === undefined ? definition.queue : queue,
    priority,
    startAt: startAtOf(options, now),
    schedule: null,
    labels: labels === undefined ? null : toText(labels, 'labels'),
    trace: trace === undefined ? null : traceText(checkedTrace(trace)),
  };
  return {
    run: definition.secrets.length === 0 ? run : hiddenStart(run, definition, newId),
    wish: { owner: token, at: now, reuse, conflict, after: after ?? null },
  };
}

/** The run without secrets in its input. Throws `secret_misplaced` when they are in what everybody sees. */
export function hiddenStart(run: NewRun, { secrets: paths }: Definition, newId: () => string): NewRun {
  const secrets = new RunSecrets(paths, [], newId);
  const hidden = hiddenInput(run, secrets);
  for (const [what, text] of Object.entries({ id: run.uid, key: run.key, labels: run.labels }))
    if (text !== null && secrets.appearsIn(text))
      throw unrecoverable('secret_misplaced', `the run's ${what} would show a secret of its input`, {
        subject: run.machine,
        hint: `make the ${what} of something else, or of a hash with a key of your own`,
      });
  return hidden;
}

function startAtOf({ startAt, delayMs }: Pick<StartOptions, 'startAt' | 'delayMs'>, now: number) {
  if (startAt !== undefined && delayMs !== undefined)
    throw wrong('both startAt and delayMs are given', 'give one of them');
  const at = delayMs === undefined ? startAt : now + delayMs;
  if (at === undefined) return null;
  if (!Number.isFinite(at)) throw wrong(`a run cannot start at ${at}`, 'give milliseconds since the epoch');
  return Math.round(at);
}

/** Throws what a wish that was refused means; gives one that was not. */
export function started(outcome: StartOutcome, run: NewRun): { id: string; joined: boolean } {
  const { verdict, uid, joined } = outcome;
  switch (verdict) {
    case 'started':
    case 'joined':
      return { id: uid, joined };
    case 'live':
      throw unrecoverable(
        'run_conflict',
        `run ${uid} has this ${run.uid === uid ? 'id' : 'key'}, and is live`,
        {
          subject: uid,
          hint: "wait for it, or start with conflict: 'join' or, for a key, 'replace'",
        },
      );
    case 'ended':
      throw unrecoverable(
        'run_conflict',
        `run ${uid} had this ${run.uid === uid ? 'id' : 'key'}, and has ended`,
        {
          subject: uid,
          hint: "look at its result, or start with reuse: 'join' or, for a key, 'fresh'",
        },
      );
    case 'machine':
      throw unrecoverable('run_conflict', `the id ${uid} is that of a run of another machine`, {
        subject: uid,
        hint: 'give an id of your own',
      });
    case 'missing':
      throw unrecoverable('run_not_found', `there is no run ${uid} to wait for`, { subject: uid });
  }
}
