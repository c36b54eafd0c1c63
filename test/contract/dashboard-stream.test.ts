import assert from 'node:assert/strict';
import { test } from 'node:test';
import { defineMachine } from '#engine/index';
import type { Commit } from '#engine/watch';
import type { RunSummary } from '#services/dashboard/summary';
import { orderMachine } from '../engine/order.ts';
import { openStage, readStream, type Stage, type StreamMessage, token } from '../support/dashboard.ts';

const order = defineMachine({
  name: 'order',
  version: 1,
  machine: orderMachine,
  key: ({ order: number }) => number,
  actors: { charge: async () => ({ charge: 'ch-1' }), ship: async () => null, refund: async () => null },
});

const commitsOf = (messages: StreamMessage[]): Commit[] =>
  messages.flatMap(({ event, data }) => (event === 'commits' ? (data as Commit[]) : []));

const open = (stage: Stage, path: string, lastEventId?: string): Promise<Response> =>
  stage.fetch(path, {
    headers: {
      authorization: `Bearer ${token}`,
      ...(lastEventId === undefined ? {} : { 'last-event-id': lastEventId }),
    },
  });

async function runOrders(stage: Stage, from: number, to: number): Promise<void> {
  for (let n = from; n < to; n++) {
    const { id } = await stage.engine.start(order, { input: { order: `o-${n}`, amount: n } });
    await stage.engine.wait(id);
  }
}

test('a stream that breaks off again and again, also by restarts, misses nothing and tells nothing twice', async (t) => {
  const stage = await openStage(t, [order]);
  const seen: Commit[] = [];
  let last = '0';
  const rounds = 12;
  const readOn = async (enough: (commits: Commit[]) => boolean): Promise<void> => {
    const part = await readStream(await open(stage, '/api/stream', last), (messages) =>
      enough(commitsOf(messages)),
    );
    seen.push(...commitsOf(part));
    last = part.filter(({ id }) => id !== null).at(-1)?.id ?? last;
  };
  for (let round = 0; round < rounds; round++) {
    const work = runOrders(stage, round * 3, round * 3 + 3);
    await readOn((commits) => commits.length > 0);
    if (round % 3 === 0) await stage.restart();
    await work;
  }
  const all = stage.parts.watch.after(0, 10_000).map(({ id }) => id);
  assert.equal(all.length, rounds * 3 * 3);
  await readOn((commits) => seen.length + commits.length >= all.length);
  assert.deepEqual(
    seen.map(({ id }) => id),
    all,
  );
});

test('the stream of a run tells its commits only, from where one says', async (t) => {
  const stage = await openStage(t, [order]);
  await runOrders(stage, 0, 3);
  const run = stage.engine.runs()[1]?.id ?? '';
  const response = await open(stage, `/api/runs/${run}/stream?after=0`);
  const commits = commitsOf(await readStream(response, (messages) => commitsOf(messages).length >= 3));
  assert.deepEqual(
    commits.map(({ run: of, seq }) => [of, seq]),
    [
      [run, 1],
      [run, 2],
      [run, 3],
    ],
  );
});

test('rows come as they change, and go when the filter shows them no more', async (t) => {
  const stage = await openStage(t, [order]);
  const response = await open(stage, '/api/stream?status=done');
  const reading = readStream(response, (messages) =>
    messages.some(
      ({ event, data }) =>
        event === 'runs' && (data as { shown: RunSummary[] }).shown.some((run) => run.key === 'o-1'),
    ),
  );
  await runOrders(stage, 0, 2);
  const rows = (await reading).flatMap(({ event, data }) =>
    event === 'runs' ? (data as { shown: RunSummary[] }).shown : [],
  );
  assert.ok(rows.every(({ status }) => status === 'done'));
  assert.deepEqual([...new Set(rows.map(({ key }) => key))], ['o-0', 'o-1']);
});

test('a browser that comes back after thousands of commits gets them all', async (t) => {
  const stage = await openStage(t, [order]);
  const work: Promise<void>[] = [];
  for (let lane = 0; lane < 20; lane++) work.push(runOrders(stage, lane * 40, lane * 40 + 40));
  await Promise.all(work);
  const total = 20 * 40 * 3;
  const response = await open(stage, '/api/stream', '0');
  const commits = commitsOf(await readStream(response, (messages) => commitsOf(messages).length >= total));
  assert.equal(new Set(commits.map(({ id }) => id)).size, total);
  assert.equal(commits.length, total);
});
