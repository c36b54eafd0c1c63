import assert from 'node:assert/strict';
import { assign, enqueueActions, setup } from 'xstate';
import { defineMachine, effect } from '#engine/index';
import {
  cancelCall,
  type Random,
  retryCall,
  startCall,
  type Workload,
  waitCall,
} from '#engine/testing/index';

interface Job {
  job: string;
}

/** A child that several batches may share; it is moved only when its queue has a place. */
const jobMachine = setup({
  types: {
    input: {} as Job,
    context: {} as Job & { by: string | null },
    output: {} as { job: string; by: string | null },
    events: {} as { type: 'flyd.cancel' },
  },
  actors: {
    prepare: effect<Job, { by: string }>(),
    work: effect<Job, null>(),
    undo: effect<Job, null>(),
  },
  actions: { keepBy: assign({ by: (_, params: { by: string }) => params.by }) },
}).createMachine({
  id: 'job',
  context: ({ input }) => ({ ...input, by: null }),
  initial: 'preparing',
  states: {
    preparing: {
      on: { 'flyd.cancel': 'cancelled' },
      invoke: {
        id: 'prepare',
        src: 'prepare',
        input: ({ context }) => ({ job: context.job }),
        onDone: { target: 'working', actions: { type: 'keepBy', params: ({ event }) => event.output } },
      },
    },
    working: {
      on: { 'flyd.cancel': 'undoing' },
      invoke: { id: 'work', src: 'work', input: ({ context }) => ({ job: context.job }), onDone: 'worked' },
    },
    undoing: {
      invoke: {
        id: 'undo',
        src: 'undo',
        input: ({ context }) => ({ job: context.job }),
        onDone: 'cancelled',
      },
    },
    worked: { type: 'final' },
    cancelled: { type: 'final', tags: ['cancelled'] },
  },
  output: ({ context: { job, by } }) => ({ job, by }),
});

interface Batch {
  jobs: string[];
}

/** Starts a child for each job, keeps their results by child id, and stops the rest when one fails. */
const batchMachine = setup({
  types: {
    input: {} as Batch,
    context: {} as Batch & { results: Record<string, string>; error: unknown },
    output: {} as { results: Record<string, string>; error?: unknown },
    events: {} as
      | { type: 'flyd.cancel' }
      | { type: `xstate.done.actor.job.${string}`; output: { job: string }; actorId: string }
      | { type: `xstate.error.actor.job.${string}`; error: unknown; actorId: string },
    children: {} as { [id: `job.${string}`]: 'job' },
  },
  actors: { job: effect<Job, { job: string; by: string | null }>(), report: effect<Batch, null>() },
  actions: {
    startJobs: enqueueActions(({ context, enqueue }) => {
      for (const job of context.jobs)
        enqueue.spawnChild('job', { id: `job.${job}` as never, input: { job } });
    }),
    stopJobs: enqueueActions(({ context, enqueue }) => {
      for (const job of context.jobs) enqueue.stopChild(`job.${job}`);
    }),
    keepResult: assign({
      results: ({ context }, params: { id: string; job: string }) => ({
        ...context.results,
        [params.id]: params.job,
      }),
    }),
    keepError: assign({ error: (_, params: { error: unknown }) => params.error }),
  },
  guards: {
    allDone: ({ context }) => Object.keys(context.results).length === context.jobs.length,
    failed: ({ context }) => context.error !== null,
  },
}).createMachine({
  id: 'batch',
  context: ({ input }) => ({ ...input, results: {}, error: null }),
  initial: 'running',
  states: {
    running: {
      entry: 'startJobs',
      exit: 'stopJobs',
      always: { target: 'reporting', guard: 'allDone' },
      on: {
        'flyd.cancel': 'cancelled',
        'xstate.done.actor.job.*': {
          actions: {
            type: 'keepResult',
            params: ({ event }) => ({ id: event.actorId, job: event.output.job }),
          },
        },
        'xstate.error.actor.job.*': {
          target: 'reporting',
          actions: { type: 'keepError', params: ({ event }) => ({ error: event.error }) },
        },
      },
    },
    reporting: {
      invoke: {
        id: 'report',
        src: 'report',
        input: ({ context }) => ({ jobs: context.jobs }),
        onDone: [{ guard: 'failed', target: 'failed' }, { target: 'complete' }],
      },
    },
    complete: { type: 'final' },
    failed: { type: 'final', tags: ['failed'] },
    cancelled: { type: 'final', tags: ['cancelled'] },
  },
  output: ({ context: { results, error } }) => ({ results, ...(error === null ? {} : { error }) }),
});

const mendable = ['recoverable', 'pending', 'unclassified'] as const;

/** Parents that share children by key, through a queue. */
export const batchWorkload: Workload = {
  name: 'batch',
  queues: { jobs: 2 },
  create(random: Random) {
    const worked = new Map<string, number>();
    const undone = new Set<string>();
    const names = ['a', 'b', 'c', 'd', 'e'].slice(0, 1 + random.int(5));
    const some = (): string[] => names.filter(() => random.chance(0.6));
    const batches = Array.from({ length: 1 + random.int(3) }, (_, n) => ({ id: `batch-${n}`, jobs: some() }));
    return {
      machines: (simulate) => {
        const job = defineMachine({
          name: 'job',
          version: 1,
          machine: jobMachine,
          key: (input) => input.job,
          queue: 'jobs',
          actors: {
            prepare: simulate<Job, { by: string }>('prepare', { act: ({ effectId }) => ({ by: effectId }) }),
            work: simulate<Job, null>('work', {
              act: ({ input }) => {
                worked.set(input.job, (worked.get(input.job) ?? 0) + 1);
                undone.delete(input.job);
                return null;
              },
            }),
            undo: simulate<Job, null>('undo', {
              act: ({ input }) => {
                undone.add(input.job);
                return null;
              },
              fails: mendable,
            }),
          },
        });
        const report = simulate<Batch, null>('report', { act: () => null, fails: mendable });
        return [defineMachine({ name: 'batch', version: 1, machine: batchMachine, actors: { job, report } })];
      },
      calls: [
        ...batches.flatMap(({ id, jobs }) => [
          startCall('batch', id, { jobs }, random.int(200)),
          ...(random.chance(0.3) ? [cancelCall(id, random.int(500))] : []),
          ...(random.chance(0.4) ? [retryCall(id, random.int(900))] : []),
          waitCall(id, random.int(300)),
        ]),
        ...(random.chance(0.3) ? [startCall('job', 'job-alone', { job: 'a' }, random.int(300))] : []),
      ],
      atEnd({ runs }) {
        for (const { id, machine, status, input, output } of runs) {
          if (machine !== 'batch' || status !== 'done') continue;
          const { jobs } = input as unknown as Batch;
          const { results } = output as unknown as { results: Record<string, string> };
          assert.deepEqual(
            results,
            Object.fromEntries(jobs.map((job) => [`job.${job}`, job])),
            `${id} has a result of each of its jobs`,
          );
          for (const job of jobs) assert.ok(worked.has(job), `${id} is done and '${job}' was never worked`);
        }
      },
    };
  },
};
