import { mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { assign, setup } from 'xstate';
import { engineSet } from '#db/engine/index';
import { openDatabase } from '#db/open';
import { defineMachine, effect, openEngine } from '#engine/index';

/**
 * The engine's CPU a step: `node bench/engine/hops.ts RUNS STEPS [FOLDER] [HOPS]`. So many runs at once, of so
 * many hops each, go to and fro between two states, each with an effect that does nothing and a context that
 * changes. Prints one line of JSON: steps a second, and microseconds of CPU of this process for each, and of this
 * thread, which is what a rate is made of when other cores are free.
 */
const [runs = 64, steps = 50_000] = process.argv.slice(2, 4).map(Number);
const hops = Number(process.argv[5] ?? 10);
const folder = mkdtempSync(join(process.argv[4] ?? process.cwd(), '.steps-'));

interface Context {
  left: number;
  done: number;
  last: string;
}
const counted = assign(({ context, event }: { context: Context; event: { type: string } }) => ({
  left: context.left - 1,
  done: context.done + 1,
  last: (event as unknown as { output: string }).output,
}));
const machine = setup({
  types: { input: {} as { hops: number }, context: {} as Context, output: {} as number },
  actors: { hop: effect<{ n: number }, string>() },
  actions: { counted: counted as never },
  guards: { more: ({ context }) => context.left > 1 },
}).createMachine({
  context: ({ input }) => ({ left: input.hops, done: 0, last: '' }),
  initial: 'to',
  states: {
    to: {
      invoke: {
        id: 'hop',
        src: 'hop',
        input: ({ context }) => ({ n: context.done }),
        onDone: [
          { guard: 'more', target: 'fro', actions: 'counted' },
          { target: 'over', actions: 'counted' },
        ],
      },
    },
    fro: {
      invoke: {
        id: 'hop',
        src: 'hop',
        input: ({ context }) => ({ n: context.done }),
        onDone: [
          { guard: 'more', target: 'to', actions: 'counted' },
          { target: 'over', actions: 'counted' },
        ],
      },
    },
    over: { type: 'final' },
  },
  output: ({ context }) => context.done,
});
const hopper = defineMachine({
  name: 'hopper',
  version: 1,
  machine,
  actors: { hop: async ({ input }) => `hop ${input.n}` },
});

try {
  const db = openDatabase(join(folder, 'steps.db'), [engineSet]);
  const engine = openEngine({ db, machines: [hopper] });
  const round = async (count: number): Promise<void> => {
    let left = Math.round(count / hops);
    const lane = async (): Promise<void> => {
      while (left-- > 0) await engine.wait((await engine.start(hopper, { input: { hops } })).id);
    };
    await Promise.all(Array.from({ length: runs }, lane));
  };
  await round(Math.min(steps, 20_000));
  const [cpu, own, at] = [process.cpuUsage(), process.threadCpuUsage(), performance.now()];
  await round(steps);
  const { user, system } = process.cpuUsage(cpu);
  const thread = process.threadCpuUsage(own);
  const seconds = (performance.now() - at) / 1000;
  console.log(
    JSON.stringify({
      runs,
      perSecond: Math.round(steps / seconds),
      cpuUs: Number(((user + system) / steps).toFixed(1)),
      userUs: Number((user / steps).toFixed(1)),
      threadUs: Number(((thread.user + thread.system) / steps).toFixed(1)),
    }),
  );
  await engine.close();
  db.close();
} finally {
  rmSync(folder, { recursive: true, force: true });
}
