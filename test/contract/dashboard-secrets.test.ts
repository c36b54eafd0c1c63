import assert from 'node:assert/strict';
import { test } from 'node:test';
import WebSocket from 'ws';
import { assign, setup } from 'xstate';
import { z } from 'zod';
import { defineMachine } from '#engine/index';
import { openStage, readStream, token } from '../support/dashboard.ts';

const secret = 'hunter2-and-nobody-else';
const other = 'a-password-that-was-sent';

const login = defineMachine({
  name: 'login',
  version: 1,
  key: () => null,
  actors: {},
  secrets: ['input.token', 'context.token', 'context.password', 'event.password.value'],
  events: { password: z.object({ type: z.literal('password'), value: z.string().min(4), times: z.int() }) },
  machine: setup({
    types: {
      input: {} as { token: string },
      context: {} as { token: string; password: string | null },
      events: {} as { type: 'password'; value: string; times: number },
    },
    actions: { keep: assign({ password: ({ event }) => event.value }) },
  }).createMachine({
    id: 'login',
    context: ({ input }) => ({ token: input.token, password: null }),
    initial: 'asking',
    states: { asking: { on: { password: { target: 'asked', actions: 'keep' } } }, asked: {} },
  }),
});

test('what a machine marks as secret is in no answer, stream, export, message or note of the dashboard', async (t) => {
  const stage = await openStage(t, [login]);
  const { id } = await stage.engine.start(login, { input: { token: secret } });
  const send = (event: object) => stage.post(`/api/runs/${id}/actions`, { action: 'send', event });
  while (stage.engine.run(id).state !== 'asking') await new Promise(setImmediate);
  assert.equal((await send({ type: 'password', value: other, times: 2 })).status, 200);
  while (stage.engine.run(id).state !== 'asked') await new Promise(setImmediate);

  const seen: string[] = [];
  for (const path of [
    '',
    `/${id}`,
    `/${id}/history`,
    `/${id}/at/1`,
    `/${id}/at/2`,
    `/${id}/export`,
    '?q=login',
  ])
    seen.push(await (await stage.fetch(`/api/runs${path}`)).text());
  seen.push(await (await stage.fetch('/api/audit')).text());
  const stream = await stage.fetch(`/api/runs/${id}/stream?after=0`);
  seen.push(JSON.stringify(await readStream(stream, (all) => all.some(({ event }) => event === 'progress'))));
  const socket = new WebSocket(`ws://127.0.0.1:${stage.dashboard.port}/inspect/runs/${id}?token=${token}`);
  await new Promise<void>((give) => {
    let count = 0;
    socket.on('message', (data) => {
      seen.push(String(data));
      if (++count === 5) give();
    });
  });
  socket.close();
  assert.ok(seen.some((text) => text.includes('asked')));
  for (const [index, text] of seen.entries())
    for (const word of [secret, other]) assert.ok(!text.includes(word), `${word} in answer ${index}`);
  const { runs } = (await (await stage.fetch(`/api/runs?q=${secret}`)).json()) as { runs: unknown[] };
  assert.deepEqual(runs, [], 'nor can it be guessed by searching');
});

test('an event is checked by its schema, and one that the machine does not know is refused', async (t) => {
  const stage = await openStage(t, [login]);
  const { id } = await stage.engine.start(login, { input: { token: secret } });
  const send = async (event: object): Promise<string> => {
    const answer = await stage.post(`/api/runs/${id}/actions`, { action: 'send', event });
    const { error } = (await answer.json()) as { error?: { message: string } };
    return `${answer.status} ${error?.message ?? ''}`;
  };
  assert.match(await send({ type: 'password', value: 'abc', times: 'twice' }), /^400 .*value: .*; times: /);
  assert.match(
    await send({ type: 'pasword', value: 'abcd', times: 1 }),
    /^400 login has no event 'pasword', only password$/,
  );
  await assert.rejects(stage.engine.send(id, { type: 'password', value: 'abc', times: 1 }), {
    code: 'usage',
  });
  assert.equal(stage.engine.run(id).endedAt, null);
});
