import { unrecoverable } from '#core/errors';
import { type HandoffOptions, handoffOf } from '#core/handoff';
import type { NewRun } from '#db/engine/index';
import { keyOf } from './define.ts';
import type { Definition } from './definition.ts';
import type { Rules } from './draft.ts';
import type { LiveRun } from './run.ts';
import type { Standing } from './statechart.ts';
import { inheritedTrace, traceText } from './trace.ts';
import type { Json } from './types.ts';

/**
 * The run that this one hands its work to, when it is done with such an output (`handoff`); else null.
 * Throws `machine_unknown` for a machine that this build does not have.
 */
export function continuation(run: LiveRun, { outcome, output }: Standing, rules: Rules): NewRun | null {
  const handoff = outcome === 'done' && output !== null ? handoffOf(output) : null;
  if (handoff === null) return null;
  const definition = rules.definitionNamed(handoff.machine);
  if (definition === undefined)
    throw unrecoverable('machine_unknown', `the run hands off to '${handoff.machine}', which is not there`, {
      subject: run.uid,
      hint: 'give that machine to openEngine, then retry the run',
    });
  refuseNonsense(run, handoff.options, rules);
  return newRun(run, definition, handoff.input, handoff.options, rules);
}

function refuseNonsense(run: LiveRun, { queue, priority, delayMs }: HandoffOptions, rules: Rules): void {
  const refuse = (what: string) =>
    unrecoverable('machine_refused', `the run hands off ${what}`, {
      subject: run.uid,
      hint: 'mend the options of `handoff`, then retry the run',
    });
  if (typeof queue === 'string' && !rules.hasQueue(queue))
    throw refuse(`to the queue '${queue}', which is not there`);
  if (priority !== undefined && !Number.isSafeInteger(priority))
    throw refuse(`with the priority ${priority}`);
  if (delayMs !== undefined && !Number.isSafeInteger(delayMs)) throw refuse(`with a delay of ${delayMs} ms`);
}

/** A run of that machine, to be inserted because of another run: it is part of the same trace. */
export function newRun(
  by: LiveRun,
  definition: Definition,
  input: Json,
  { key, queue, priority = by.priority, delayMs }: HandoffOptions,
  rules: Rules,
): NewRun {
  return {
    uid: rules.newId(),
    machine: definition.name,
    version: definition.version,
    definition: rules.hashOf(definition),
    key: key === undefined ? keyOf(definition, input) : key,
    input: JSON.stringify(input),
    state: '',
    queue: queue === undefined ? definition.queue : queue,
    priority,
    startAt: delayMs === undefined ? null : rules.now + delayMs,
    schedule: null,
    labels: null,
    trace: traceText(inheritedTrace(by.trace, by.uid)),
  };
}
