import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type AnyStateMachine, assign, enqueueActions, initialTransition, setup, transition } from 'xstate';
import { effect } from '#engine/index';
import { persist, type Snapshot } from '#engine/statechart';

// `persist` gives what XState's getPersistedSnapshot does, for less. It reads one thing of a child that XState does
// not promise (`_syncSnapshot`), and leaves out what XState might add one day: so the two are compared here. If this
// fails after XState was changed, look at its getPersistedSnapshot and mend `persist` in engine/statechart.ts.

const work = effect<{ n: number }, string>();

const shapes = setup({
  types: { context: {} as { n: number; deep: { list: (number | null)[] } }, output: {} as { n: number } },
  actors: { work },
  actions: {
    more: assign({ n: ({ context }) => context.n + 1 }),
    spawn: enqueueActions(({ enqueue }) => {
      enqueue.spawnChild('work', { id: 'watched', input: { n: 7 }, syncSnapshot: true });
      enqueue.spawnChild('work', { id: 'plain', input: { n: 8 }, systemId: 'known' });
    }),
    drop: enqueueActions(({ enqueue }) => enqueue.stopChild('plain')),
  },
}).createMachine({
  context: { n: 0, deep: { list: [1, null, 3] } },
  initial: 'one',
  states: {
    one: {
      tags: ['early'],
      invoke: { id: 'work', src: 'work', input: { n: 1 } },
      on: { spawn: { actions: ['more', 'spawn'] }, drop: { actions: 'drop' }, split: 'both', end: 'over' },
    },
    both: {
      type: 'parallel',
      states: {
        left: { initial: 'a', states: { a: { on: { step: 'b' } }, b: {} } },
        right: {
          invoke: { id: 'right', src: 'work', input: ({ context }) => ({ n: context.n }) },
          initial: 'c',
          states: { c: {}, memory: { type: 'history' } },
        },
      },
      on: { back: 'one' },
    },
    over: { type: 'final' },
  },
  output: ({ context }) => ({ n: context.n }),
});

const paths: Record<string, string[]> = {
  'the first snapshot': [],
  'spawned children, one of which is watched': ['spawn'],
  'a child stopped': ['spawn', 'drop'],
  'parallel states': ['spawn', 'split', 'step'],
  'a history that is remembered': ['split', 'step', 'back'],
  'a run that is done': ['spawn', 'end'],
  'a run that has failed': ['spawn', 'xstate.error.actor.watched'],
};

for (const [name, path] of Object.entries(paths))
  test(`a snapshot is stored as XState would: ${name}`, () => {
    const machine = shapes as AnyStateMachine;
    let [snapshot] = initialTransition(machine) as [Snapshot, unknown];
    for (const type of path) [snapshot] = transition(machine, snapshot, { type }) as [Snapshot, unknown];
    assert.deepEqual(
      JSON.parse(JSON.stringify(persist(machine, snapshot))),
      JSON.parse(JSON.stringify(machine.getPersistedSnapshot(snapshot))),
    );
  });

test('the child that is watched is told from the others, so that the comparison means something', () => {
  const [first] = initialTransition(shapes);
  const [snapshot] = transition(shapes, first, { type: 'spawn' } as never);
  const { children } = persist(shapes, snapshot) as { children: Record<string, { syncSnapshot: boolean }> };
  assert.deepEqual(
    Object.entries(children).map(([id, { syncSnapshot }]) => [id, syncSnapshot]),
    [
      ['work', false],
      ['watched', true],
      ['plain', false],
    ],
  );
});
