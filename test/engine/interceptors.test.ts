import assert from 'node:assert/strict';
import { AsyncLocalStorage } from 'node:async_hooks';
import { test } from 'node:test';
import { recoverable, unrecoverable } from '#core/errors';
import { type Interceptor, loggingInterceptor, metricsInterceptor } from '#engine/index';
import { laboratory } from './laboratory.ts';
import { journey, trip } from './trip.ts';

const input = { who: 'kim' };
const hang = (signal: AbortSignal): Promise<null> =>
  new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)));

/** Writes down what it is called around, and what came of that. */
function recorder(): { interceptor: Interceptor; told: string[] } {
  const told: string[] = [];
  const around =
    <Scope>(about: (scope: Scope) => string) =>
    async (scope: Scope, next: () => Promise<unknown>) => {
      told.push(about(scope));
      const end = (what: string): void => void told.push(`${about(scope)} ${what}`);
      await next().then(
        () => end('ok'),
        (thrown: { code?: string }) => {
          end(thrown.code ?? 'threw');
          throw thrown;
        },
      );
    };
  return {
    told,
    interceptor: {
      run: around(({ machine }) => machine),
      effect: around(({ src }) => src),
      attempt: around(({ src, attempt }) => `${src}#${attempt}`),
    },
  };
}

test('interceptors are called around runs, effects and attempts', async (t) => {
  const { boot, clock } = laboratory(t);
  const { interceptor, told } = recorder();
  const definition = trip({
    book: async ({ attempt }) => {
      if (attempt === 1) throw recoverable('source_unavailable', 'busy');
      return null;
    },
    pack: ({ signal }) => hang(signal),
    travel: async () => {
      throw unrecoverable('no_space', 'full');
    },
  });
  const patient = { ...definition, effects: { book: { retry: { recoverable: { attemptsMax: 3 } } } } };
  const { engine } = boot('A', [patient], {}, {}, { interceptors: [interceptor] });
  const { id } = await engine.start(patient, { input });
  await clock.advance(100);
  assert.deepEqual(told.splice(0), [
    'trip',
    ...['book', 'book#1', 'book#1 source_unavailable', 'book#2', 'book#2 ok', 'book ok'],
  ]);
  await engine.send(id, { type: 'yes' });
  await clock.advance(10);
  await engine.retry(id, { from: 3 });
  await clock.advance(100);
  assert.deepEqual(told.splice(0), ['pack', 'pack#1', 'pack superseded', 'pack#1 superseded']);
  await engine.cancel(id);
  await clock.advance(100);
  assert.deepEqual(told, ['unbook', 'unbook#1', 'unbook#1 ok', 'unbook ok', 'trip unclassified']);
});

test('the first interceptor is outermost, and what it sets up is around the actor’s own code', async (t) => {
  const { boot, clock } = laboratory(t);
  const storage = new AsyncLocalStorage<string>();
  const seen: (string | undefined)[] = [];
  const definition = trip({
    book: async () => {
      await Promise.resolve();
      seen.push(storage.getStore());
      return null;
    },
  });
  const around: Interceptor = {
    attempt: ({ effectId }, next) => storage.run(effectId, next),
  };
  const order: string[] = [];
  const say = (name: string): Interceptor => ({
    async attempt(_, next) {
      order.push(`${name} in`);
      await next();
      order.push(`${name} out`);
    },
  });
  const { engine } = boot('A', [definition], {}, {}, { interceptors: [say('a'), around, say('b')] });
  const { id } = await engine.start(definition, { input });
  await clock.advance(100);
  assert.deepEqual(order, ['a in', 'b in', 'b out', 'a out']);
  assert.match(seen[0] ?? '', new RegExp(`^${id}/book/`));
});

test('an interceptor can neither break a run, nor change what it gives, nor keep it from being done', async (t) => {
  const { boot, clock } = laboratory(t);
  const faults: string[] = [];
  let booked = 0;
  const definition = trip({
    book: async () => {
      booked += 1;
      return null;
    },
  });
  const wicked: Interceptor[] = [
    { attempt: () => Promise.reject(new Error('before')) },
    {
      async attempt(_, next) {
        await next();
        throw new Error('after');
      },
    },
    {
      attempt() {
        throw new Error('at once');
      },
    },
    { attempt: async () => 'never calls next' },
    { attempt: (_, next) => Promise.all([next(), next()]) },
    { run: () => Promise.reject(new Error('run')), effect: async (_, next) => void (await next()) },
  ];
  const { engine } = boot(
    'A',
    [definition],
    {},
    {},
    {
      interceptors: wicked,
      onFault: (_, fault) => {
        const { code, cause } = fault as { code: string; cause: Error };
        faults.push(`${code}: ${cause.message}`);
      },
    },
  );
  const { id } = await engine.start(definition, { input });
  await clock.advance(100);
  assert.deepEqual([engine.run(id).state, booked], ['asking', 1]);
  assert.deepEqual(
    faults.sort(),
    ['after', 'at once', 'before', 'run'].map((what) => `interceptor_failed: ${what}`),
  );
});

test('a run that goes to another process is left here and taken up there, and goes on in the same trace', async (t) => {
  const { boot, clock } = laboratory(t);
  const spans: string[] = [];
  const tracing: Interceptor = {
    async attempt({ trace, src }, next) {
      spans.push(`${src} ${trace?.traceparent} below ${trace?.parentSpanId}`);
      await next();
    },
  };
  const { interceptor, told } = recorder();
  const child = trip({ book: ({ signal }) => hang(signal) });
  const definition = journey(child);
  const interceptors = [interceptor, tracing];
  const first = boot('A', [definition], {}, {}, { interceptors });
  const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
  const { id } = await first.engine.start(definition, {
    input: {} as never,
    trace: { traceparent, tracestate: 'a=b' },
  });
  await clock.advance(100);
  await first.close();
  assert.deepEqual(told, [
    'journey',
    ...['trip', 'book', 'book#1'],
    ...['book#1 interrupted', 'journey interrupted', 'book interrupted', 'trip interrupted'],
  ]);
  const second = boot('B', [definition], {}, {}, { interceptors });
  await second.engine.resume();
  await clock.advance(100);
  assert.deepEqual(told.slice(8), ['journey', 'trip', 'book', 'book#1']);
  assert.equal(spans.length, 2);
  assert.equal(spans[0], spans[1], 'the same attempt is the same span, in any process');
  assert.match(
    spans[0] ?? '',
    /^book 00-0af7651916cd43dd8448eb211c80319c-[0-9a-f]{16}-01 below [0-9a-f]{16}$/,
  );
  await assert.rejects(
    second.engine.start(definition, { input: {} as never, trace: { traceparent: 'nonsense' } }),
    { code: 'usage' },
  );
  assert.equal(second.engine.run(id).endedAt, null);
});

test('ready-made: a log without inputs, and counters and durations', async (t) => {
  const { boot, clock } = laboratory(t);
  const lines: string[] = [];
  const log = {
    info: (fields: object, message: string) => void lines.push(`info ${message} ${JSON.stringify(fields)}`),
    warn: (fields: object, message: string) => void lines.push(`warn ${message} ${JSON.stringify(fields)}`),
  };
  const counted = new Map<string, number>();
  const observed: string[] = [];
  const meters = {
    count(name: string, labels: Record<string, string>) {
      const series = `${name} ${Object.values(labels).join(' ')}`;
      counted.set(series, (counted.get(series) ?? 0) + 1);
    },
    observe(name: string, seconds: number, labels: Record<string, string>) {
      observed.push(`${name} ${seconds} ${Object.values(labels).join(' ')}`);
    },
  };
  const definition = trip({
    book: async () => {
      throw unrecoverable('no_space', 'no room');
    },
  });
  const now = () => clock.now();
  const interceptors = [loggingInterceptor(log, now), metricsInterceptor(meters, now)];
  const { engine } = boot('A', [definition], {}, {}, { interceptors });
  const { id } = await engine.start(definition, { input, labels: { team: 'red' } });
  await clock.advance(100);
  assert.equal(engine.run(id).status, 'failed');
  assert.deepEqual(
    lines.map((line) => line.split(' {')[0]),
    ['warn attempt failed', 'warn run failed'],
  );
  const { code, attempt, team, src } = JSON.parse(lines[0]?.slice('warn attempt failed '.length) ?? '');
  assert.deepEqual([code, attempt, team, src], ['no_space', 1, 'red', 'book']);
  assert.ok(!lines.join('').includes('kim'), 'no input is logged');
  assert.deepEqual(
    [...counted],
    [
      ['flyd_attempts_total trip book unrecoverable', 1],
      ['flyd_effects_total trip book unrecoverable', 1],
      ['flyd_runs_total trip unrecoverable', 1],
    ],
  );
  assert.equal(observed.length, 3);
});
