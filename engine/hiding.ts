import type { HistoryWrite, NewRun, Operation, RunWrite } from '#db/engine/index';
import type { Definition } from './definition.ts';
import type { RunSecrets } from './secrets.ts';
import type { Json } from './types.ts';

/**
 * What a run with secrets writes, without them: in memory all of it has its real values, and this is the one
 * way to the database. What is read again holds references; errors, outputs and emitted events are for people.
 */
export function withoutSecrets(
  write: RunWrite,
  secrets: RunSecrets,
  definitionNamed: (name: string) => Definition | undefined,
): RunWrite {
  const mask = (text: string): string => JSON.stringify(secrets.mask(JSON.parse(text) as Json));
  const scrub = (text: string): string => JSON.stringify(secrets.scrub(JSON.parse(text) as Json));
  const maskEvent = (text: string): string =>
    maskedEvent(JSON.parse(text) as { [key: string]: Json }, secrets);
  const maskAny = (text: string | null): string | null => (text === null ? null : mask(text));
  const scrubAny = (text: string | null): string | null => (text === null ? null : scrub(text));

  const ofHistory = (row: HistoryWrite): HistoryWrite => ({
    ...row,
    event: maskEvent(row.event),
    error: scrubAny(row.error),
    patch: maskAny(row.patch),
    snapshot: maskAny(row.snapshot),
    timers: maskAny(row.timers),
  });

  const ofRun = (run: NewRun): NewRun => {
    const given = secrets.handOver(definitionNamed(run.machine)?.secrets ?? []);
    return hiddenInput(run, given);
  };

  const ofOperation = (operation: Operation): Operation => {
    switch (operation.type) {
      case 'effect.put':
        return { ...operation, input: mask(operation.input) };
      case 'effect.fail':
        return { ...operation, error: scrubAny(operation.error), saved: maskAny(operation.saved) };
      case 'effect.save':
        return { ...operation, saved: mask(operation.saved) };
      case 'timer.put':
        return { ...operation, event: maskEvent(operation.event) };
      case 'child.start':
      case 'run.continue':
        return { ...operation, run: ofRun(operation.run) };
      case 'event.keep':
        return {
          ...operation,
          event: operation.child === null ? maskEvent(operation.event) : whole(operation.event),
        };
      case 'event.toChild': {
        const given = secrets.handOver([]);
        const event = maskedEvent(JSON.parse(operation.event) as { [key: string]: Json }, given);
        return { ...operation, event, secrets: given.takeFresh() };
      }
      case 'event.out':
        return { ...operation, event: scrub(operation.event) };
      default:
        return operation;
    }
  };

  /** A result that waits to be taken: the machine has not said yet what of it is secret. */
  const whole = (text: string): string => {
    const { output, error, ...event } = JSON.parse(text) as { [key: string]: Json };
    if (output !== undefined) event.output = secrets.maskWhole(output);
    if (error !== undefined) event.error = secrets.scrub(error);
    return JSON.stringify(event);
  };

  const { row } = write;
  const hidden: RunWrite = {
    ...write,
    history: write.history.map(ofHistory),
    operations: write.operations.map(ofOperation),
    row: {
      ...row,
      snapshot: maskAny(row.snapshot),
      output: scrubAny(row.output),
      error: scrubAny(row.error),
      rest: { ...row.rest, parked: scrubAny(row.rest.parked) },
    },
  };
  for (const secret of secrets.takeFresh()) hidden.operations.push({ type: 'secret.put', ...secret });
  return hidden;
}

/** An event to a run, with references. The machine's marks for events of its type are heeded. */
export function hiddenEvent(text: string, secrets: RunSecrets): string {
  const event = JSON.parse(text) as { type: string } & { [key: string]: Json };
  secrets.learn(`event.${event.type}`, event);
  return maskedEvent(event, secrets);
}

/** The type stays: it is a name of the machine's, and what is read without the run, such as a history, goes by it. */
const maskedEvent = ({ type, ...rest }: { [key: string]: Json }, secrets: RunSecrets): string =>
  JSON.stringify({ type, ...(secrets.mask(rest) as object) });

/** A run to be inserted, with references in its input, and what they stand for beside it. */
export function hiddenInput(run: NewRun, secrets: RunSecrets): NewRun {
  const input = JSON.parse(run.input) as Json;
  secrets.learn('input', input);
  const masked = JSON.stringify(secrets.mask(input));
  return { ...run, input: masked, secrets: secrets.takeFresh() };
}
