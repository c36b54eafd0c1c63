import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import SqliteDatabase from 'better-sqlite3';
import { assign, setup } from 'xstate';
import { recoverable } from '#core/errors';
import { defineMachine, type Engine, type EngineEvent, effect, loggingInterceptor } from '#engine/index';
import { createProbe } from '#infra/fault';
import { engineIn, tempFolder } from '../support/engine.ts';
import { type Login, type SecretiveActors, secretive } from './secretive.ts';

const token = 'tok-4f1e9a77c2';
const session = 'ses-b81d05e3aa';
const password = 'pw-99c0ffee11';
const pin = 730164;
const secrets = [token, session, password, String(pin)];

const input = { user: 'kim', token };
const sees = (text: string): string[] => secrets.filter((secret) => text.includes(secret));
/** Until the run has come to the state; a run that never will is a failure. */
async function reach(engine: Engine, id: string, state: string): Promise<void> {
  for (;;) {
    const run = engine.run(id);
    if (run.state === state) return;
    if (run.endedAt !== null || run.status === 'parked') assert.fail(JSON.stringify(run));
    await settle();
  }
}
/** From using on: the helper is told, and the run waits to be finished. */
async function goOn(engine: Engine, id: string): Promise<void> {
  await reach(engine, id, 'helping');
  await engine.send(id, { type: 'tell' });
  await reach(engine, id, 'idle');
}
const settle = () => new Promise((resolve) => setTimeout(resolve, 20));

/** What the actors were given, and errors, progress and saved positions that tell all of it. */
function telling() {
  const given: unknown[] = [];
  const actors: SecretiveActors = {
    login: async ({ input, attempt, progress, heartbeat, saved }) => {
      given.push(input.header, saved);
      progress({ done: 1, total: 2, unit: 'bytes', note: `as ${input.header}` });
      heartbeat({ as: input.header });
      if (attempt === 1)
        throw recoverable('source_denied', `${input.header} was refused`, { subject: token });
      return { session, pin, greeting: `hello ${session}` };
    },
    use: async ({ input }) => {
      given.push(input);
      return null;
    },
    help: async ({ input }) => {
      given.push(input);
      return null;
    },
  };
  return { actors, given };
}

/** Every table but the one of secrets, as text. */
function dump(path: string): string {
  const db = new SqliteDatabase(path, { readonly: true });
  try {
    const tables = db
      .prepare(`SELECT name FROM sqlite_schema WHERE type = 'table' AND name <> 'secrets'`)
      .pluck();
    return (tables.all() as string[])
      .map((name) => `${name}: ${JSON.stringify(db.prepare(`SELECT * FROM ${name}`).all())}`)
      .join('\n');
  } finally {
    db.close();
  }
}

test('a secret reaches the actors, and nothing else that is stored, told or shown', async (t) => {
  const folder = tempFolder(t);
  const path = join(folder, 'engine.db');
  const points = join(folder, 'points');
  const { actors, given } = telling();
  const sink: string[] = [];
  const events: EngineEvent[] = [];
  const log = {
    info: (...line: unknown[]) => void sink.push(JSON.stringify(line)),
    warn: (...line: unknown[]) => void sink.push(JSON.stringify(line)),
  };
  const spying = {
    attempt: async (scope: object, next: () => Promise<unknown>) => {
      sink.push(JSON.stringify(scope));
      sink.push(JSON.stringify(await next().catch((error: Error) => String(error.stack))) ?? '');
    },
  };
  const options = {
    interceptors: [loggingInterceptor(log), spying],
    probe: createProbe(`record:${points}`),
  };
  const definition = secretive(actors);
  const first = engineIn(t, folder, [definition], options);
  first.subscribe((event) => events.push(event));
  const { id } = await first.start(definition, { input });
  await reach(first, id, 'confirming');
  assert.deepEqual(given.splice(0), [`Bearer ${token}`, null, `Bearer ${token}`, { as: `Bearer ${token}` }]);
  const look = (engine: typeof first): void => {
    for (const run of engine.runs()) {
      sink.push(JSON.stringify(run), JSON.stringify(engine.history(run.id)));
      for (const { seq } of engine.history(run.id)) sink.push(JSON.stringify(engine.snapshotAt(run.id, seq)));
    }
    sink.push(dump(path));
  };
  look(first);
  assert.ok(JSON.stringify(first.run(id).input).includes('[secret]'));
  assert.ok(first.history(id).some(({ error }) => error?.message === 'Bearer [secret] was refused'));
  await first.close();

  // Another process: it finds the secrets in their table, and nowhere else.
  const second = engineIn(t, folder, [definition], options);
  second.subscribe((event) => events.push(event));
  await second.resume();
  await second.send(id, { type: 'confirm', password });
  await goOn(second, id);
  assert.deepEqual(given, [
    { user: 'kim', session, pin, password },
    { header: `Bearer ${token}`, told: token },
  ]);
  look(second);
  const stored = () => {
    const db = new SqliteDatabase(path, { readonly: true });
    const rows = JSON.stringify(db.prepare('SELECT value FROM secrets').all());
    db.close();
    return rows;
  };
  assert.deepEqual(sees(stored()), secrets);
  await second.send(id, { type: 'finish' });
  assert.deepEqual((await second.wait(id)).output, { user: 'kim', session: '[secret]' });
  look(second);
  sink.push(...events.map((event) => JSON.stringify(event)), readFileSync(points, 'utf8'));
  assert.ok(events.some(({ type }) => type === 'emitted') && events.some(({ type }) => type === 'progress'));
  for (const line of sink) assert.deepEqual(sees(line), [], line);

  // The run has ended: no byte of any secret is left, once the log has been written back.
  assert.equal(stored(), '[]');
  const db = new SqliteDatabase(path);
  db.pragma('wal_checkpoint(TRUNCATE)');
  db.close();
  for (const suffix of ['', '-wal', '-shm'])
    if (existsSync(path + suffix)) assert.deepEqual(sees(readFileSync(path + suffix, 'latin1')), [], suffix);
});

let isBroken = true;
const brittleMachine = setup({
  types: {
    context: {} as { session: string | null },
    events: {} as { type: 'break' },
  },
  actors: { login: effect<object, string>() },
  actions: {
    explode: assign(() => {
      if (isBroken) throw new Error('a bug');
      return {};
    }),
    keep: assign({ session: (_, { session }: { session: string }) => session }),
  },
}).createMachine({
  id: 'brittle',
  context: { session: null },
  initial: 'loggingIn',
  states: {
    loggingIn: {
      on: { break: { actions: 'explode' } },
      invoke: {
        id: 'login',
        src: 'login',
        input: {},
        onDone: {
          target: 'loggedIn',
          actions: { type: 'keep', params: ({ event }) => ({ session: event.output }) },
        },
      },
    },
    loggedIn: {},
  },
});

test('a result that comes while its run is parked is kept without what may be secret in it', async (t) => {
  const folder = tempFolder(t);
  let finish = (_: string): void => {};
  const definition = defineMachine({
    name: 'brittle',
    version: 1,
    machine: brittleMachine,
    secrets: ['context.session'],
    actors: {
      login: () =>
        new Promise<string>((resolve) => {
          finish = resolve;
        }),
    },
  });
  const engine = engineIn(t, folder, [definition]);
  const { id } = await engine.start(definition, { input: {} as never });
  await reach(engine, id, 'loggingIn');
  await engine.send(id, { type: 'break' });
  while (engine.run(id).status !== 'parked') await settle();
  finish(session);
  const path = join(folder, 'engine.db');
  while (!dump(path).includes('xstate.done.actor.login')) await settle();
  assert.deepEqual(sees(dump(path)), []);
  await engine.close();
  const again = engineIn(t, folder, [definition]);
  await again.resume();
  isBroken = false;
  await again.retry(id);
  while (again.run(id).state !== 'loggedIn') await settle();
  assert.deepEqual(sees(dump(path)), []);
  const { context } = again.snapshotAt(id, again.history(id).length) as { context: unknown };
  assert.deepEqual(context, { session: '[secret]' });
});

test('a run with secrets can be set back and forked while it lives, and not when they are gone', async (t) => {
  const folder = tempFolder(t);
  const { actors, given } = telling();
  const definition = secretive(actors);
  const engine = engineIn(t, folder, [definition]);
  const { id } = await engine.start(definition, { input });
  await reach(engine, id, 'confirming');
  const { seq } = engine.history(id).at(-1) ?? assert.fail();
  await engine.send(id, { type: 'confirm', password });
  await goOn(engine, id);
  const fork = await engine.fork(id, { seq });
  await engine.retry(id, { from: seq });
  given.length = 0;
  for (const run of [id, fork.id]) {
    await reach(engine, run, 'confirming');
    await engine.send(run, { type: 'confirm', password: 'another-5e6f' });
    await goOn(engine, run);
  }
  assert.equal(given.filter((each) => (each as { session?: string }).session === session).length, 2);
  assert.deepEqual(sees(dump(join(folder, 'engine.db'))), []);
  await engine.send(id, { type: 'finish' });
  await engine.wait(id);
  await assert.rejects(engine.fork(id, { seq }), { code: 'secret_gone' });
});

test('secrets are refused where everybody would see them', async (t) => {
  const { actors } = telling();
  const definition = secretive(actors);
  const engine = engineIn(t, tempFolder(t), [definition]);
  for (const wrong of [{ key: `for ${token}` }, { labels: { as: token } }, { id: token }])
    await assert.rejects(engine.start(definition, { input, ...wrong }), { code: 'secret_misplaced' });
  assert.deepEqual(engine.runs(), []);
  await assert.rejects(engine.schedules.put('daily', { machine: definition, input, cron: '0 3 * * *' }), {
    code: 'secret_misplaced',
  });
  await engine.start(definition, { input, key: 'kim' });
});

test('data that looks like a reference stays data', async (t) => {
  const { actors, given } = telling();
  const definition = secretive(actors);
  const folder = tempFolder(t);
  const first = engineIn(t, folder, [definition]);
  const user = { $secret: 'x' } as never;
  const { id } = await first.start(definition, { input: { user, token } });
  await reach(first, id, 'confirming');
  await first.close();
  given.length = 0;
  const second = engineIn(t, folder, [definition]);
  await second.resume();
  await second.send(id, { type: 'confirm', password });
  await goOn(second, id);
  const [used] = given as [Login];
  assert.deepEqual(used.user, { $secret: 'x' });
});

test('marks that begin nowhere are refused when the machine is defined', () => {
  const machine = setup({ actors: { work: effect<object, null>() } }).createMachine({ id: 'm' });
  assert.throws(
    () =>
      defineMachine({
        name: 'm',
        version: 1,
        machine,
        actors: { work: async () => null },
        secrets: ['token'],
      }),
    { code: 'machine_refused', message: /'token'/ },
  );
});
