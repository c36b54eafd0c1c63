import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Commit } from '#engine/watch';
import { chartOf } from '#services/dashboard/chart';
import { createLayouts } from '#services/dashboard/layout';
import { differences } from '../../web/run/differences.ts';
import { lanesOf, scaleOf } from '../../web/run/spans.ts';
import { acceptedEvents, takenBy } from '../../web/run/taken.ts';

const chart = chartOf({
  id: 'door',
  initial: 'closed',
  on: { 'flyd.cancel': '.gone' },
  states: {
    closed: { on: { open: 'opening', 'knock.*': { actions: 'listen' } } },
    opening: {
      invoke: {
        id: 'motor',
        src: 'motor.run',
        onDone: [{ guard: 'wide', target: 'open' }],
        onError: '#broken',
      },
    },
    open: {
      type: 'parallel',
      onDone: 'closed',
      states: {
        light: { initial: 'on', states: { on: { after: { 1000: 'off' } }, off: { type: 'final' } } },
        bell: {
          initial: 'ringing',
          states: { ringing: { always: { guard: 'late', target: 'quiet' } }, quiet: { type: 'final' } },
        },
      },
    },
    broken: { id: 'broken', type: 'final', tags: ['failed'] },
    gone: { type: 'final' },
  },
});

let id = 0;
const commit = (from: string | null, event: string, to: string, more: Partial<Commit> = {}): Commit => ({
  ...{ id: ++id, run: 'r', definition: 'd', seq: id, at: id * 10, event, from, to, effects: [], ms: null },
  ...{ error: null, src: null, attempt: null, timers: [], ...more },
});
const arrows = (ids: Iterable<string>): string[] =>
  [...ids].map((each) => {
    const { from, to } = chart.edges.find((edge) => edge.id === each) ?? { from: '?', to: '?' };
    return `${from.slice(5)}>${to.slice(5)}`;
  });

test('boxes and arrows come from the definition, with targets of every form', () => {
  assert.deepEqual(
    chart.edges.map(({ from, to, kind, label, guard }) => [from, to, kind, label, guard]),
    [
      ['door', 'door.gone', 'event', 'cancel', null],
      ['door.closed', 'door.opening', 'event', 'open', null],
      ['door.opening', 'door.open', 'done', 'done', 'wide'],
      ['door.opening', 'door.broken', 'error', 'failed', null],
      ['door.open', 'door.closed', 'done', 'done', null],
      ['door.open.light.on', 'door.open.light.off', 'after', 'after 1000', null],
      ['door.open.bell.ringing', 'door.open.bell.quiet', 'always', '', 'late'],
    ],
  );
  assert.deepEqual(chart.initial, ['door.closed']);
  assert.equal(chart.nodes.find((node) => node.id === 'door.open')?.type, 'parallel');
});

test('states do not lie over each other, and arrows have a way', async () => {
  const layout = await createLayouts()('a hash', chart);
  const boxes = ['closed', 'opening', 'broken', 'gone'].map((name) => layout.nodes[`door.${name}`]);
  for (const [index, a] of boxes.entries())
    for (const b of boxes.slice(index + 1)) {
      assert.ok(a !== undefined && b !== undefined);
      const apart =
        a.x + a.width <= b.x || b.x + b.width <= a.x || a.y + a.height <= b.y || b.y + b.height <= a.y;
      assert.ok(apart);
    }
  for (const edge of chart.edges) assert.ok((layout.edges[edge.id]?.points.length ?? 0) >= 2, edge.id);
});

test('the way between two stored states is found, through transitions without an event, too', () => {
  const commits = [
    commit(null, 'xstate.init', 'closed'),
    commit('closed', 'knock.twice', 'closed'),
    commit('closed', 'open', 'opening', { effects: ['motor.run#motor'] }),
    commit('opening', 'xstate.done.actor.motor', 'open.light.on+bell.ringing'),
    commit(
      'open.light.on+bell.ringing',
      'xstate.after.1000.door.open.light.on',
      'open.light.off+bell.ringing',
    ),
  ];
  const taken = takenBy(chart, commits, { open: { light: 'off', bell: 'ringing' } });
  assert.deepEqual(arrows(taken.edges.keys()), [
    'closed>opening',
    'opening>open',
    'open.light.on>open.light.off',
  ]);
  assert.deepEqual(arrows(taken.last), ['open.light.on>open.light.off']);
  assert.deepEqual([...taken.active].sort(), [
    'door',
    'door.open',
    'door.open.bell',
    'door.open.bell.ringing',
    'door.open.light',
    'door.open.light.off',
  ]);
  const byText = takenBy(chart, commits, null);
  assert.deepEqual([...byText.active].sort(), [...taken.active].sort());
  // The bell falls silent, which ends the parallel state, which closes the door.
  const closed = takenBy(chart, [...commits, commit('open.light.off+bell.ringing', 'quiet', 'closed')], null);
  assert.deepEqual(arrows(closed.last), ['open>closed']);
});

test('what errors led through is red, and the rest is not', () => {
  const taken = takenBy(
    chart,
    [
      commit(null, 'xstate.init', 'closed'),
      commit('closed', 'open', 'opening'),
      commit('opening', 'xstate.error.actor.motor', 'broken'),
    ],
    null,
  );
  assert.deepEqual(arrows(taken.failed), ['opening>broken']);
  assert.deepEqual(acceptedEvents(chart, new Set(['door', 'door.closed'])), ['knock.*', 'open']);
});

test('effects are bars: failed attempts, waits, and what was left with its state', () => {
  const error = { kind: 'recoverable', code: 'x', message: 'no' } as const;
  const lanes = lanesOf(
    [
      commit(null, 'xstate.init', 'a', { at: 0, effects: ['fetch#one', 'tick'] }),
      commit('a', 'flyd.retry', 'a', { at: 10, src: 'fetch', attempt: 1, error }),
      commit('a', 'xstate.done.actor.one', 'b', { at: 40 }),
      commit('b', 'end', 'c', { at: 50 }),
    ],
    50,
    1000,
  );
  const shape = Object.fromEntries(
    lanes.map(({ name, bars }) => [
      name,
      bars.map(({ from, to, kind, outcome }) => [from, to, kind, outcome]),
    ]),
  );
  assert.deepEqual(shape, {
    state: [
      [0, 40, 'state', 'done'],
      [40, 50, 'state', 'done'],
      [50, 50, 'state', 'done'],
    ],
    one: [
      [0, 10, 'run', 'failed'],
      [10, 40, 'wait', 'done'],
    ],
    tick: [[0, 50, 'run', 'left']],
  });
});

test('a long wait takes little room, and time still only goes forward', () => {
  const times = [0, 10, 20, 30, 1_000_000, 1_000_010];
  const short = scaleOf(times, 1000, true);
  const full = scaleOf(times, 1000, false);
  assert.ok(full.place(30) < 1);
  assert.ok(short.place(30) > full.place(30));
  assert.deepEqual(
    short.gaps.map(({ ms }) => ms),
    [999_970],
  );
  const places = [0, 5, 10, 30, 500_000, 1_000_000, 1_000_010].map(short.place);
  assert.deepEqual(
    places,
    [...places].sort((a, b) => a - b),
  );
  assert.equal(places.at(-1), 1000);
  assert.equal(scaleOf([5], 100, true).place(5), 0);
});

test('differences name the place, and what stood there before and after', () => {
  assert.deepEqual(differences({ a: 1 }, { a: 1 }), []);
  assert.deepEqual(
    differences({ a: [{ b: 1 }, 2], 'odd key': 1, same: null }, { a: [{ b: 3 }], new: {}, same: null }),
    [
      { path: 'a[0].b', kind: 'changed', before: 1, after: 3 },
      { path: 'a[1]', kind: 'removed', before: 2, after: undefined },
      { path: 'new', kind: 'added', before: undefined, after: {} },
      { path: '"odd key"', kind: 'removed', before: 1, after: undefined },
    ],
  );
  assert.deepEqual(differences([], {}), [{ path: '', kind: 'changed', before: [], after: {} }]);
});
