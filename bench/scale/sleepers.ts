import { setup } from 'xstate';
import { FlydError } from '#core/errors';
import { engineSet } from '#db/engine/index';
import { openDatabase } from '#db/open';
import { defineMachine, effect, openEngine } from '#engine/index';

/**
 * One process of the bench: `make` leaves so many runs behind that nothing moves, `wake` takes them all
 * over and says what that took. With `stay` it does not end by itself, so that it can be killed.
 *
 *   sleepers.ts make|wake PATH waiting|parked COUNT [stay]
 */
const [act = '', path = '', kind = '', count = '', stay = ''] = process.argv.slice(2);

const machine = setup({
  types: { input: {} as { kind: string }, context: {} as { kind: string; note: string } },
  actors: { fail: effect<Record<string, never>, null>() },
}).createMachine({
  context: ({ input }) => ({ kind: input.kind, note: 'x'.repeat(400) }),
  initial: 'choosing',
  states: {
    choosing: {
      always: [
        { guard: ({ context }) => context.kind === 'waiting', target: 'waiting' },
        { target: 'failing' },
      ],
    },
    waiting: { after: { 86400000: 'over' } },
    failing: { invoke: { id: 'fail', src: 'fail', input: {}, onDone: 'over' } },
    over: { type: 'final' },
  },
});

const sleeper = defineMachine({
  name: 'sleeper',
  version: 1,
  machine,
  actors: {
    fail: async () => {
      throw new FlydError('recoverable', 'fault_injected', 'it never works');
    },
  },
});

const db = openDatabase(path, [engineSet]);
const engine = openEngine({
  db,
  machines: [sleeper],
  retry: { recoverable: { attemptsMax: 1, pauseMs: 1, pauseMsMax: 1 } },
});
const wanted = Number(count);

if (act === 'make') {
  for (let n = 0; n < wanted; n++) await engine.start(sleeper, { input: { kind } });
  while (engine.runs({ status: [kind === 'waiting' ? 'waiting' : 'parked'] }).length < wanted)
    await new Promise((done) => setTimeout(done, 100));
  console.log('made');
} else {
  const before = process.memoryUsage.rss();
  const started = performance.now();
  const taken = await engine.resume();
  const ms = performance.now() - started;
  const rss = process.memoryUsage.rss();
  if (taken.length !== wanted) throw new Error(`${taken.length} of ${wanted} runs were taken over`);
  console.log(JSON.stringify({ ms, rssMiB: rss / 2 ** 20, grownMiB: (rss - before) / 2 ** 20 }));
}
if (stay === 'stay') await new Promise(() => setInterval(() => {}, 60_000));
await engine.close();
db.close();
