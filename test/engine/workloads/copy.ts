import assert from 'node:assert/strict';
import { setup } from 'xstate';
import { recoverable } from '#core/errors';
import { defineMachine, effect } from '#engine/index';
import {
  type ClientCall,
  cancelCall,
  type Random,
  retryCall,
  sendCall,
  startCall,
  type Workload,
} from '#engine/testing/index';

interface Copy {
  name: string;
  files: number;
}

/** Copies some files, in as many attempts as it takes, asks whether that is all, and files it away. */
const copyMachine = setup({
  types: {
    input: {} as Copy,
    context: {} as Copy,
    events: {} as { type: 'flyd.cancel' } | { type: 'more'; mark: string } | { type: 'enough'; mark: string },
    tags: {} as 'asking' | 'failed',
  },
  actors: { copy: effect<Copy, number>(), file: effect<Copy, null>() },
}).createMachine({
  id: 'copy',
  context: ({ input }) => input,
  initial: 'copying',
  states: {
    copying: {
      on: { 'flyd.cancel': 'failed' },
      invoke: {
        id: 'copy',
        src: 'copy',
        input: ({ context }) => context,
        onDone: 'asking',
        onError: 'failed',
      },
    },
    asking: {
      tags: ['asking'],
      on: { more: 'copying', enough: 'filing', 'flyd.cancel': 'failed' },
      after: { 300: 'filing' },
    },
    filing: { invoke: { id: 'file', src: 'file', input: ({ context }) => context, onDone: 'filed' } },
    filed: { type: 'final' },
    failed: { type: 'final', tags: ['failed'] },
  },
});

/** Sets the run back to one of its commits, whatever is under way. What it refuses, it refuses. */
const resetCall = (run: string, nth: number, at: number): ClientCall => ({
  name: `set ${run} back to commit ${nth}`,
  at,
  async call(engine) {
    const rows = engine.history(run);
    const row = rows[Math.min(nth, rows.length - 1)];
    if (row !== undefined) await engine.retry(run, { from: row.seq });
  },
});

const forkCall = (run: string, id: string, nth: number, at: number): ClientCall => ({
  name: `fork ${run} at commit ${nth} as ${id}`,
  at,
  async call(engine) {
    const rows = engine.history(run);
    const row = rows[Math.min(nth, rows.length - 1)];
    if (row !== undefined) await engine.fork(run, { seq: row.seq, id, key: null });
  },
});

const tagCall = (run: string, at: number): ClientCall => ({
  name: `wait until ${run} asks`,
  at,
  call: (engine) => engine.waitFor(run, 'asking'),
});

/** Heartbeats, timeouts and saved progress; runs set back, brought back and forked; tags waited for. */
export const copyWorkload: Workload = {
  name: 'copy',
  create(random: Random) {
    /** By effect: how far it has really come. */
    const copied = new Map<string, number>();
    const ids = Array.from({ length: 1 + random.int(3) }, (_, n) => `copy-${n}`);
    return {
      machines: (simulate) => [
        defineMachine({
          name: 'copy',
          version: 1,
          machine: copyMachine,
          key: ({ name }) => name,
          effects: {
            copy: {
              heartbeatMs: 80,
              timeoutMs: 200,
              retry: { recoverable: { attemptsMax: 100, pauseMs: 5, pauseMsMax: 20 } },
            },
          },
          actors: {
            copy: simulate<Copy, number>('copy', {
              stalls: 0.2,
              fails: ['recoverable', 'pending', 'unrecoverable'],
              act({ input, effectId, attempt, saved, heartbeat }) {
                const real = copied.get(effectId);
                if (real === undefined) assert.equal(saved, null, `${effectId} begins with saved progress`);
                const from = Number(saved ?? 0);
                assert.ok(from <= (real ?? 0), `${effectId} has saved ${from}, and copied ${real}`);
                const to = Math.min(input.files, from + 1 + (attempt % 3));
                copied.set(effectId, Math.max(to, real ?? 0));
                heartbeat(to);
                if (to < input.files) throw recoverable('source_unavailable', `${to} of ${input.files}`);
                return to;
              },
            }),
            file: simulate<Copy, null>('file', { act: () => null, fails: ['recoverable', 'pending'] }),
          },
        }),
      ],
      calls: ids.flatMap((id, n) => [
        startCall('copy', id, { name: id, files: 1 + random.int(8) }, random.int(100)),
        tagCall(id, random.int(300)),
        ...(random.chance(0.5) ? [sendCall(id, { type: 'more', mark: `more-${n}` }, random.int(700))] : []),
        ...(random.chance(0.5)
          ? [sendCall(id, { type: 'enough', mark: `enough-${n}` }, random.int(900))]
          : []),
        ...(random.chance(0.6) ? [resetCall(id, random.int(5), random.int(1200))] : []),
        ...(random.chance(0.6) ? [forkCall(id, `fork-${n}`, random.int(4), random.int(1200))] : []),
        ...(random.chance(0.2) ? [cancelCall(id, random.int(900))] : []),
        ...(random.chance(0.4) ? [retryCall(id, random.int(1500))] : []),
      ]),
      atEnd({ runs, ledger }) {
        for (const { id, status, events } of runs) {
          const [first] = events;
          assert.equal(status === 'cancelled', first === undefined, `${id} fails, once it has begun`);
          if (first !== undefined)
            assert.equal(first, id.startsWith('fork-') ? 'flyd.fork' : 'xstate.init', `${id} begins`);
        }
        for (const { effectId, what } of ledger)
          if (what === 'done')
            assert.ok(effectId.includes('/file/') || copied.has(effectId), `${effectId} is done`);
      },
    };
  },
};
