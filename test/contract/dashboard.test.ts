import assert from 'node:assert/strict';
import { request } from 'node:http';
import { test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { recoverable } from '#core/errors';
import type { AuditEntry } from '#db/dashboard/index';
import { defineMachine, type Implementations } from '#engine/index';
import type { MomentDocument, RunDocument } from '#services/dashboard/run-documents';
import type { RunSummary } from '#services/dashboard/summary';
import { orderMachine } from '../engine/order.ts';
import { openStage, type Stage, token } from '../support/dashboard.ts';

type Deps = Implementations<typeof orderMachine>;

const orders = (actors: Partial<Deps> = {}) =>
  defineMachine({
    name: 'order',
    version: 1,
    machine: orderMachine,
    key: ({ order }) => order,
    actors: {
      charge: async () => ({ charge: 'ch-1' }),
      ship: async () => null,
      refund: async () => null,
      ...actors,
    },
  });
const input = { order: 'o-1', amount: 5 };

/** An effect that only a cancel ends. */
const endless: Deps['ship'] = ({ signal }) =>
  new Promise((_, fail) => {
    signal.addEventListener('abort', () => fail(signal.reason), { once: true });
  });
/** The machine hears of a cancel in this state. */
const untilShipping = async (stage: Stage, id: string): Promise<void> => {
  while (stage.engine.run(id).state !== 'shipping') await setImmediate();
};

/** A request as somebody sends it who chooses every header. */
function ask(
  { dashboard }: Stage,
  path: string,
  headers: Record<string, string>,
  method = 'GET',
): Promise<{ status: number; headers: Record<string, unknown>; body: string }> {
  return new Promise((give, fail) => {
    const sent = request({ host: '127.0.0.1', port: dashboard.port, path, method, headers }, (answer) => {
      let body = '';
      answer.on('data', (part) => {
        body += part;
      });
      answer.on('end', () => give({ status: answer.statusCode ?? 0, headers: answer.headers, body }));
    });
    sent.on('error', fail);
    sent.end();
  });
}

const bearer = { authorization: `Bearer ${token}` };

test('nothing but the empty page is given without the token', async (t) => {
  const stage = await openStage(t, [orders()]);
  const { id } = await stage.engine.start(orders(), { input });
  for (const path of [
    '/api/about',
    '/api/runs',
    '/api/stream',
    `/api/runs/${id}`,
    `/api/runs/${id}/history`,
    `/api/runs/${id}/stream`,
    `/api/runs/${id}/at/1`,
    `/api/runs/${id}/export`,
    '/api/store',
    '/api/space',
    '/api/audit',
    '/inspect/runs/x',
  ]) {
    assert.equal((await ask(stage, path, {})).status, 401, path);
    assert.equal((await ask(stage, path, { authorization: 'Bearer wrong' })).status, 401, path);
    assert.equal(
      (await ask(stage, path, { cookie: `flyd_${stage.dashboard.port}=wrong` })).status,
      401,
      path,
    );
  }
  assert.equal((await ask(stage, '/api/session', {}, 'POST')).status, 401);
  assert.equal((await ask(stage, `/api/runs/${id}/actions`, {}, 'POST')).status, 401);
  const page = await ask(stage, '/', {});
  assert.equal(page.status, 200);
  assert.ok(!page.body.includes(token));
  assert.match(String(page.headers['content-security-policy']), /default-src 'none'/);
});

test('the token is traded for a cookie that no script and no other site has', async (t) => {
  const stage = await openStage(t, [orders()]);
  assert.ok(stage.dashboard.address.endsWith(`/#token=${token}`));
  const answer = await ask(stage, '/api/session', bearer, 'POST');
  const cookie = String(answer.headers['set-cookie']);
  assert.match(cookie, /HttpOnly; SameSite=Strict; Path=\//);
  const [pair = ''] = cookie.split(';');
  assert.equal((await ask(stage, '/api/runs', { cookie: pair })).status, 200);
});

test('pages of other sites and rebound names are refused, also with the token', async (t) => {
  const stage = await openStage(t, [orders()]);
  const own = `127.0.0.1:${stage.dashboard.port}`;
  assert.equal((await ask(stage, '/api/runs', { ...bearer, host: 'evil.example' })).status, 403);
  assert.equal((await ask(stage, '/', { host: `evil.example:${stage.dashboard.port}` })).status, 403);
  assert.equal((await ask(stage, '/api/runs', { ...bearer, origin: 'http://evil.example' })).status, 403);
  assert.equal((await ask(stage, '/api/runs', { ...bearer, origin: 'null' })).status, 403);
  assert.equal((await ask(stage, '/api/runs', { ...bearer, 'sec-fetch-site': 'cross-site' })).status, 403);
  assert.equal(
    (await ask(stage, '/api/runs', { ...bearer, host: own, origin: `http://${own}` })).status,
    200,
  );
  // A tunnel ends at another port: the name decides.
  assert.equal((await ask(stage, '/api/runs', { ...bearer, host: 'localhost:1234' })).status, 200);
});

test('the table finds runs by words, machine, status and trouble', async (t) => {
  const failing = orders({
    charge: async ({ input: { order } }) => {
      if (order === 'o-bad') throw recoverable('source_unavailable', 'the bank sleeps');
      return { charge: `ch-${order}` };
    },
  });
  const stage = await openStage(t, [failing]);
  const good = await stage.engine.start(failing, { input });
  const bad = await stage.engine.start(failing, { input: { order: 'o-bad', amount: 7 } });
  await stage.engine.wait(good.id);
  assert.equal((await stage.engine.wait(bad.id, { until: 'settled' })).status, 'parked');
  const found = async (filter: string): Promise<string[]> =>
    (await stage.json<{ runs: RunSummary[] }>(`/api/runs?${filter}`)).runs.map((run) => run.id);
  assert.deepEqual(await found(''), [bad.id, good.id]);
  assert.deepEqual(await found('status=done'), [good.id]);
  assert.deepEqual(await found('status=done,parked'), [bad.id, good.id]);
  assert.deepEqual(await found('machine=other'), []);
  assert.deepEqual(await found('trouble=1'), [bad.id]);
  assert.deepEqual(await found('q=SLEEPS'), [bad.id]);
  assert.deepEqual(await found('q=ch-o-1'), [good.id]);
  assert.deepEqual(await found('q=sleeps+nowhere'), []);
  const { runs } = await stage.json<{ runs: RunSummary[] }>('/api/runs?trouble=1');
  assert.equal(runs[0]?.error?.message, 'the bank sleeps');
  assert.equal((await stage.fetch('/api/runs?status=odd')).status, 400);
});

test('any step shows the snapshot before and after, its event, and what was in flight', async (t) => {
  const stage = await openStage(t, [orders()]);
  const { id } = await stage.engine.start(orders(), { input });
  await stage.engine.wait(id);
  const moment = (seq: number) => stage.json<MomentDocument>(`/api/runs/${id}/at/${seq}`);
  const first = await moment(1);
  assert.equal(first.before, null);
  assert.deepEqual(first.inFlight, [{ id: 'charge', src: 'charge', sinceSeq: 1 }]);
  const second = await moment(2);
  assert.deepEqual(second.before, first.after);
  assert.deepEqual(second.event, {
    type: 'xstate.done.actor.charge',
    output: { charge: 'ch-1' },
    actorId: 'charge',
  });
  assert.deepEqual(
    second.inFlight.map((each) => each.id),
    ['ship'],
  );
  const last = await moment(3);
  assert.deepEqual(last.after, stage.engine.snapshotAt(id, 3));
  assert.deepEqual(last.inFlight, []);
  assert.equal((await stage.fetch(`/api/runs/${id}/at/99`)).status, 404);
  assert.equal((await stage.fetch('/api/runs/nobody')).status, 404);
});

test('a definition is drawn from what is stored, and its states stay where they are', async (t) => {
  const stage = await openStage(t, [orders()]);
  const { id } = await stage.engine.start(orders(), { input });
  const { definition } = await stage.json<RunDocument>(`/api/runs/${id}`);
  const path = `/api/definitions/${definition}`;
  const before = await stage.json<{ chart: { nodes: { id: string }[] }; layout: { nodes: object } }>(path);
  await stage.engine.wait(id);
  assert.deepEqual(await stage.json(path), before);
  assert.deepEqual(before.chart.nodes.map((node) => node.id).sort(), Object.keys(before.layout.nodes).sort());
  assert.ok(before.chart.nodes.some((node) => node.id.endsWith('.charging')));
  assert.equal((await stage.fetch(`/api/definitions/${'0'.repeat(64)}`)).status, 404);
});

test('buttons move runs, and each press is written down, with what came of it', async (t) => {
  const definition = orders({
    ship: endless,
  });
  const stage = await openStage(t, [definition]);
  const { id } = await stage.engine.start(definition, { input });
  await untilShipping(stage, id);
  const act = async (body: unknown, run = id) => (await stage.post(`/api/runs/${run}/actions`, body)).status;
  assert.equal(await act({ action: 'explode' }), 400);
  assert.equal(await act({ action: 'cancel' }, 'nobody'), 404);
  assert.equal(await act({ action: 'send', event: { type: 'flyd.cancel' } }), 400);
  assert.equal(await act({ action: 'cancel', reason: 'the customer left' }), 200);
  assert.equal((await stage.engine.wait(id)).status, 'cancelled');
  assert.equal(await act({ action: 'cancel' }), 409);
  const log = await stage.json<AuditEntry[]>(`/api/audit?run=${id}`);
  assert.deepEqual(
    log.map(({ action, outcome, detail, actor }) => ({ action, outcome, detail, actor })),
    [
      { action: 'cancel', outcome: 'run_not_active', detail: {}, actor: 'tester from 127.0.0.1' },
      {
        action: 'cancel',
        outcome: 'ok',
        detail: { reason: 'the customer left' },
        actor: 'tester from 127.0.0.1',
      },
      {
        action: 'send',
        outcome: 'usage',
        detail: { event: 'flyd.cancel', fields: [] },
        actor: 'tester from 127.0.0.1',
      },
    ],
  );
  const form = {
    method: 'POST',
    body: '{"action":"cancel"}',
    headers: { ...bearer, 'content-type': 'text/plain' },
  };
  assert.equal((await stage.fetch(`/api/runs/${id}/actions`, form)).status, 400);
});

test('a run is set back to a step, copied at one, and killed', async (t) => {
  const definition = orders({ ship: endless });
  const stage = await openStage(t, [definition]);
  const { id } = await stage.engine.start(definition, { input });
  await untilShipping(stage, id);
  const act = async (body: unknown, run = id) => {
    const answer = await stage.post(`/api/runs/${run}/actions`, body);
    return { status: answer.status, ...((await answer.json()) as { started?: string | null }) };
  };
  assert.equal((await act({ action: 'retry', seq: 99 })).status, 404);
  // The charge would be made twice.
  assert.equal((await act({ action: 'retry', seq: 1 })).status, 409);
  const before = stage.engine.history(id).length;
  assert.equal((await act({ action: 'retry', seq: 2 })).status, 200);
  while (stage.engine.history(id).length === before) await setImmediate();
  await untilShipping(stage, id);
  assert.equal((await act({ action: 'kill', reason: 'enough' })).status, 200);
  const killed = await stage.engine.wait(id);
  assert.deepEqual([killed.status, killed.error?.code], ['cancelled', 'killed']);
  const { started } = await act({ action: 'fork', seq: 1 });
  assert.ok(started != null && started !== id);
  await untilShipping(stage, started);
  assert.deepEqual(stage.engine.run(started).forkedFrom, { run: id, seq: 1 });
  assert.equal((await act({ action: 'kill' }, started)).status, 200);
  await stage.engine.wait(started);
});

test('what a filter shows is moved at once, and not when it shows something else by then', async (t) => {
  const definition = orders({
    ship: endless,
  });
  const stage = await openStage(t, [definition]);
  const start = (order: string) => stage.engine.start(definition, { input: { order, amount: 1 } });
  const ids = [(await start('eu-1')).id, (await start('eu-2')).id];
  const other = (await start('us-1')).id;
  const filter = 'q=eu-';
  assert.deepEqual(await stage.json(`/api/bulk?filter=${encodeURIComponent(filter)}`), { count: 2 });
  assert.equal((await stage.post('/api/bulk', { action: 'cancel', filter, count: 3 })).status, 400);
  const answer = await stage.post('/api/bulk', { action: 'cancel', filter, count: 2 });
  assert.deepEqual(((await answer.json()) as { done: string[] }).done.sort(), ids.sort());
  for (const id of ids) assert.equal((await stage.engine.wait(id)).status, 'cancelled');
  assert.equal(stage.engine.run(other).endedAt, null);
  await stage.engine.cancel(other);
  await stage.engine.wait(other);
});
