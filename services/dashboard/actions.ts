import { z } from 'zod';
import { toErrorRecord, unrecoverable } from '#core/errors';
import type { Engine } from '#engine/api';
import { chartOf } from './chart.ts';
import type { DashboardParts } from './parts.ts';
import { runQueryOf } from './query.ts';
import type { Summaries } from './summary.ts';

const reason = z.string().max(500).optional();
const seq = z.int().positive();
const id = z.string().min(1).max(64);

/** What a button asks for. */
export const actionSchema = z.discriminatedUnion('action', [
  z.strictObject({ action: z.literal('cancel'), reason }),
  z.strictObject({ action: z.literal('kill'), reason }),
  /** With `seq` the run is first set back to that commit. */
  z.strictObject({ action: z.literal('retry'), seq: seq.optional() }),
  z.strictObject({ action: z.literal('fork'), seq }),
  z.strictObject({ action: z.literal('resume') }),
  z.strictObject({
    action: z.literal('send'),
    event: z.looseObject({ type: z.string().min(1).max(200) }),
    /** The same key sends the event once, however often the button is pressed. */
    dedupe: z.string().max(200).optional(),
  }),
]);
export type Action = z.output<typeof actionSchema>;

/** The same for every run that a filter shows and that has not ended. */
export const bulkSchema = z.strictObject({
  action: z.enum(['cancel', 'kill', 'retry', 'resume']),
  reason,
  /** The filter, as in the address of the page. */
  filter: z.string().max(2000),
  /** How many runs the person was told of: when it is another number by now, nothing is done. */
  count: z.int().positive(),
});
export type Bulk = z.output<typeof bulkSchema>;

export const runIdSchema = id;

export interface BulkOutcome {
  done: string[];
  failed: { run: string; code: string; message: string }[];
}

/** For the audit log: what an event carries may be secret, so only the names of its fields are kept. */
function detailOf(wanted: Action): unknown {
  if (wanted.action !== 'send') {
    const { action: _, ...detail } = wanted;
    return detail;
  }
  const { type, ...fields } = wanted.event;
  return { event: type, fields: Object.keys(fields) };
}

/** More at once are refused: narrow the filter. */
export const bulkMax = 2000;

/** Carries out what buttons ask for, and writes down who asked for what, whatever came of it. */
export function createActions(parts: DashboardParts, summaries: Summaries) {
  const { store, now, actor } = parts;

  /** The note comes before its outcome is told, and also when the work fails. */
  async function audited<T>(
    entry: { action: string; run: string | null; detail: unknown; from: string },
    work: () => Promise<T>,
  ): Promise<T> {
    const { from, ...rest } = entry;
    const note = (outcome: string): void =>
      store.audit.add({ ...rest, at: now(), actor: `${actor} from ${from}`, outcome });
    try {
      const result = await work();
      note('ok');
      return result;
    } catch (error) {
      note(toErrorRecord(error).code);
      throw error;
    }
  }

  /** Gives the id of the run that this made, if it made one. */
  async function perform(engine: Engine, run: string, wanted: Action): Promise<string | null> {
    const { action } = wanted;
    if (action === 'cancel' || action === 'kill')
      await engine[action](run, { reason: wanted.reason ?? 'asked for in the dashboard' });
    else if (action === 'retry')
      await engine.retry(run, wanted.seq === undefined ? {} : { from: wanted.seq });
    else if (action === 'fork') return (await engine.fork(run, { seq: wanted.seq })).id;
    else if (action === 'send') await send(engine, run, wanted);
    else await resume(engine, run);
    return null;
  }

  async function send(engine: Engine, run: string, wanted: Action & { action: 'send' }): Promise<void> {
    const { event, dedupe } = wanted;
    const problems = unknownEvent(run, event.type);
    if (problems.length > 0)
      throw unrecoverable('usage', problems.join('; '), { subject: run, hint: 'mend the event' });
    await engine.send(run, event, dedupe === undefined ? {} : { dedupe });
  }

  /** An event that no state of the machine does anything about would be lost without a word. */
  function unknownEvent(run: string, type: string): string[] {
    const definition = parts.watch.definition(parts.watch.definitionOf(run));
    if (definition === undefined) return [];
    const known = [...new Set(chartOf(definition.config).nodes.flatMap(({ events }) => events))];
    const taken = known.some(
      (name) => name === type || (name.endsWith('*') && type.startsWith(name.slice(0, -1))),
    );
    const own = known.filter((name) => !/^(xstate|flyd)\./.test(name));
    return taken
      ? []
      : [
          `${definition.machine} has no event '${type}', only ${own.length === 0 ? 'its own' : own.join(', ')}`,
        ];
  }

  async function resume(engine: Engine, run: string): Promise<void> {
    const taken = await engine.resume({ id: run });
    if (taken.length > 0) return;
    const { endedAt, owner } = engine.run(run);
    if (endedAt !== null || owner !== engine.token)
      throw unrecoverable('run_not_active', 'there is nothing to resume: it has ended, or its owner lives', {
        subject: run,
      });
  }

  return {
    async one(run: string, wanted: Action, from: string): Promise<{ started: string | null }> {
      const { action } = wanted;
      return audited({ action, run, detail: detailOf(wanted), from }, async () => {
        parts.engine.run(run); // a run that there is not is said before anything is opened
        return { started: await perform(await parts.act(), run, wanted) };
      });
    },

    /** The runs that a filter shows and that have not ended. */
    targets(filter: string): string[] {
      const { runs, more } = summaries.list(runQueryOf(new URLSearchParams(filter)), bulkMax);
      if (more)
        throw unrecoverable('limit_exceeded', `the filter shows more than ${bulkMax} runs`, {
          hint: 'narrow it',
        });
      return runs.flatMap((run) => (run.endedAt === null ? [run.id] : []));
    },

    async bulk(wanted: Bulk, from: string): Promise<BulkOutcome> {
      const { action, ...detail } = wanted;
      return audited({ action: `bulk ${action}`, run: null, detail, from }, async () => {
        const targets = this.targets(wanted.filter);
        if (targets.length !== wanted.count)
          throw unrecoverable('usage', `the filter shows ${targets.length} runs now, not ${wanted.count}`, {
            hint: 'look again, then confirm',
          });
        const outcome: BulkOutcome = { done: [], failed: [] };
        const engine = await parts.act();
        for (const run of targets) {
          const each: Action =
            action === 'cancel' || action === 'kill'
              ? { action, ...(wanted.reason === undefined ? {} : { reason: wanted.reason }) }
              : { action };
          try {
            await perform(engine, run, each);
            outcome.done.push(run);
          } catch (error) {
            const { code, message } = toErrorRecord(error);
            outcome.failed.push({ run, code, message });
          }
        }
        return outcome;
      });
    },
  };
}
