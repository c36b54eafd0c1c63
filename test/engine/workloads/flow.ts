import assert from 'node:assert/strict';
import { enqueueActions, setup } from 'xstate';
import { defineMachine, effect, handoff, type StartOptions } from '#engine/index';
import {
  type ClientCall,
  cancelCall,
  type EndedRun,
  killCall,
  purgeCall,
  type Random,
  retryCall,
  startCall,
  type Workload,
  waitCall,
} from '#engine/testing/index';

interface Task {
  name: string;
}

/** Work that is undone when it is cancelled. */
const taskMachine = setup({
  types: { input: {} as Task, context: {} as Task, events: {} as { type: 'flyd.cancel' } },
  actors: { work: effect<Task, null>(), undo: effect<Task, null>() },
}).createMachine({
  id: 'task',
  context: ({ input }) => input,
  initial: 'working',
  states: {
    working: {
      on: { 'flyd.cancel': 'undoing' },
      invoke: {
        id: 'work',
        src: 'work',
        input: ({ context }) => context,
        onDone: 'worked',
        onError: 'failed',
      },
    },
    undoing: { invoke: { id: 'undo', src: 'undo', input: ({ context }) => context, onDone: 'cancelled' } },
    worked: { type: 'final' },
    failed: { type: 'final', tags: ['failed'] },
    cancelled: { type: 'final', tags: ['cancelled'] },
  },
});

interface Relay {
  name: string;
  leg: number;
  legs: number;
}

/** One leg of a relay; the next run runs the next one. */
const relayMachine = setup({
  types: { input: {} as Relay, context: {} as Relay, output: {} as { legs: number } },
  actors: { leg: effect<Relay, null>() },
}).createMachine({
  id: 'relay',
  context: ({ input }) => input,
  initial: 'running',
  states: {
    running: { invoke: { id: 'leg', src: 'leg', input: ({ context }) => context, onDone: 'arrived' } },
    arrived: { type: 'final' },
  },
  output: ({ context: { name, leg, legs } }) =>
    leg === legs
      ? { legs }
      : handoff('relay', { name, leg: leg + 1, legs }, leg % 2 === 0 ? {} : { delayMs: 50, priority: leg }),
});

/** Waits for a relay; the task that it hires goes on without it. */
const crewMachine = setup({
  types: { input: {} as Task, context: {} as Task, events: {} as { type: 'flyd.cancel' } },
  actors: { helper: effect<Task, unknown>(), relay: effect<Relay, { legs: number }>() },
  actions: {
    hire: enqueueActions(({ context, enqueue }) =>
      enqueue.spawnChild('helper', { id: 'helper', input: { name: `${context.name}-helper` } }),
    ),
  },
}).createMachine({
  id: 'crew',
  context: ({ input }) => input,
  initial: 'racing',
  states: {
    racing: {
      entry: 'hire',
      on: { 'flyd.cancel': 'cancelled', 'xstate.done.actor.helper': {}, 'xstate.error.actor.helper': {} },
      invoke: {
        id: 'relay',
        src: 'relay',
        input: ({ context }) => ({ name: context.name, leg: 1, legs: 2 }),
        onDone: 'raced',
        onError: 'failed',
      },
    },
    raced: { type: 'final' },
    failed: { type: 'final', tags: ['failed'] },
    cancelled: { type: 'final', tags: ['cancelled'] },
  },
});

const mendable = ['recoverable', 'pending', 'unclassified'] as const;
const lasting = ['recoverable', 'pending', 'unrecoverable', 'unclassified'] as const;
type After = NonNullable<StartOptions['after']>;

/** Runs that are started every second while `until` has not come; whoever asks to end it is heard for good. */
function scheduled(random: Random): ClientCall[] {
  const overlap = random.pick(['skip', 'queue', 'allow'] as const);
  const catchUp = random.pick(['none', 'last', 'all'] as const);
  let over = false;
  return [
    {
      name: 'schedule ticks',
      at: random.int(300),
      async call(engine, machine) {
        const options = { cron: '* * * * * *', overlap, catchUp, catchUpMax: 3 };
        if (!over)
          await engine.schedules.put('tick', {
            machine: machine('task'),
            input: { name: 'tick' } as never,
            ...options,
          });
      },
    },
    {
      name: 'schedule no more ticks',
      at: 1500 + random.int(1500),
      async call(engine) {
        over = true;
        await engine.schedules.remove('tick');
      },
    },
  ];
}

/** Delays, priorities, runs that follow others, replacements, handoffs, kills, schedules. */
export const flowWorkload: Workload = {
  name: 'flow',
  queues: { lane: { places: 1, keepNewest: 1 }, road: { places: 2 } },
  create(random: Random) {
    const worked = new Set<string>();
    const ids: string[] = [];
    const follows = new Map<string, After>();
    const options = (id: string): Omit<StartOptions, 'input' | 'id'> => {
      const chosen: Omit<StartOptions, 'input' | 'id'> = {
        priority: random.int(3),
        queue: random.pick([null, 'lane', 'lane', 'road']),
        ...(random.chance(0.4) ? { delayMs: random.int(400) } : {}),
      };
      if (ids.length === 0 || random.chance(0.5)) return chosen;
      const after: After = {
        run: random.pick(ids),
        when: random.pick(['done', 'ended', 'failed']),
        otherwise: random.pick(['cancel', 'park']),
      };
      follows.set(id, after);
      return { ...chosen, after };
    };
    const start = (machine: string, id: string, input: Record<string, string | number>): ClientCall => {
      const call = startCall(machine, id, input, random.int(300), options(id));
      ids.push(id);
      return call;
    };
    const calls: ClientCall[] = [];
    if (random.chance(0.6)) calls.push(start('relay', 'relay-0', { name: 'relay-0', leg: 1, legs: 3 }));
    if (random.chance(0.5)) calls.push(start('crew', 'crew-0', { name: 'crew-0' }));
    for (let n = 0; n <= random.int(5); n++) calls.push(start('task', `task-${n}`, { name: `task-${n}` }));
    for (let n = 0; n < random.int(4); n++)
      calls.push({
        name: `replace the keyed run (${n})`,
        at: random.int(600),
        call: (engine, machine) =>
          engine.start(machine('task'), {
            input: { name: `keyed-${n}` } as never,
            key: 'keyed',
            conflict: random.pick(['replace', 'replace', 'join']),
          }),
      });
    for (const id of ids) {
      calls.push(waitCall(id, random.int(300)));
      if (random.chance(0.2)) calls.push(killCall(id, random.int(700)));
      if (random.chance(0.15)) calls.push(cancelCall(id, random.int(700)));
      if (random.chance(0.2)) calls.push(retryCall(id, random.int(900)));
    }
    const purged = random.chance(0.3) && !follows.has(ids[0] ?? '') ? ids[0] : undefined;
    const isAwaited = [...follows.values()].some(({ run }) => run === purged);
    // What somebody is still to wait for must be there.
    if (purged !== undefined && !isAwaited) {
      const kept = calls.filter(({ name }) => name === `start ${purged}` || !name.endsWith(` ${purged}`));
      calls.splice(0, calls.length, ...kept, purgeCall(purged, 600 + random.int(1500)));
    }
    if (random.chance(0.5)) calls.push(...scheduled(random));
    return {
      machines: (simulate) => {
        const act = ({ input }: { input: Task }) => {
          worked.add(input.name);
          return null;
        };
        const task = defineMachine({
          name: 'task',
          version: 1,
          machine: taskMachine,
          actors: {
            work: simulate<Task, null>('work', { act, fails: lasting }),
            undo: simulate<Task, null>('undo', { act: () => null, fails: mendable }),
          },
        });
        const relay = defineMachine({
          name: 'relay',
          version: 1,
          machine: relayMachine,
          queue: 'road',
          actors: { leg: simulate<Relay, null>('leg', { act, fails: mendable }) },
        });
        const crew = defineMachine({
          name: 'crew',
          version: 1,
          machine: crewMachine,
          actors: { helper: task, relay },
          children: { helper: { onParentClose: 'abandon' } },
        });
        return [task, relay, crew];
      },
      calls,
      atEnd({ runs }) {
        const byId = new Map(runs.map((run) => [run.id, run]));
        const lastOf = (run: EndedRun | undefined): EndedRun | undefined =>
          run?.continuedAs == null ? run : lastOf(byId.get(run.continuedAs));
        for (const [id, { run, when, otherwise }] of follows) {
          const follower = byId.get(id);
          const followed = lastOf(byId.get(run));
          if (follower === undefined || followed === undefined) continue;
          const met = when === 'ended' || when === followed.status;
          const begun = follower.events.length > 0;
          assert.ok(
            !begun || met || otherwise === 'park',
            `${id} has begun, and was to follow ${run} when ${when}: it is ${followed.status}`,
          );
        }
        for (const run of runs)
          if (run.machine === 'relay') {
            const last = lastOf(run);
            assert.ok(last !== undefined, `${run.id} has handed on to nobody`);
            if (last.status !== 'done') continue;
            assert.deepEqual(last.output, { legs: (run.input as unknown as Relay).legs });
          }
        for (const { id, machine, status, input } of runs)
          if (machine === 'task' && status === 'done')
            assert.ok(worked.has((input as unknown as Task).name), `${id} is done without its work`);
      },
    };
  },
};
