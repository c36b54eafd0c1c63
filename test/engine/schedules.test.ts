import assert from 'node:assert/strict';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { instantsOf } from '#engine/cron';
import type { Json, ScheduleOptions } from '#engine/index';
import { createClock, memoryLocks, SimulatedProcess } from '#engine/testing/index';
import { tempFolder } from '../support/engine.ts';
import { one } from './laboratory.ts';

const iso = (times: (number | null)[]): string[] =>
  times.map((at) => (at === null ? 'never' : new Date(at).toISOString().replace(':00.000Z', 'Z')));

function nextOnes(cron: string, zone: string, from: string, many: number): string[] {
  const instants = instantsOf(cron, zone);
  const times: (number | null)[] = [];
  for (let at: number | null = Date.parse(from); times.length < many; times.push(at))
    at = instants.next(at ?? 0);
  return iso(times);
}

test('where the clock is put forward, a time of day that does not exist comes right after the gap', () => {
  assert.deepEqual(nextOnes('30 2 * * *', 'Europe/Berlin', '2026-03-28T12:00Z', 3), [
    '2026-03-29T01:00Z',
    '2026-03-30T00:30Z',
    '2026-03-31T00:30Z',
  ]);
  assert.deepEqual(nextOnes('30 2,14 * * *', 'America/New_York', '2026-03-08T00:00Z', 3), [
    '2026-03-08T07:00Z',
    '2026-03-08T18:30Z',
    '2026-03-09T06:30Z',
  ]);
  // Here the gap is at midnight.
  assert.deepEqual(nextOnes('0 0 * * *', 'America/Havana', '2026-03-07T12:00Z', 2), [
    '2026-03-08T05:00Z',
    '2026-03-09T04:00Z',
  ]);
});

test('where the clock is put back, a time of day comes once, and what comes each half hour does so', () => {
  assert.deepEqual(nextOnes('30 2 * * *', 'Europe/Berlin', '2026-10-24T12:00Z', 2), [
    '2026-10-25T00:30Z',
    '2026-10-26T01:30Z',
  ]);
  assert.deepEqual(nextOnes('*/30 * * * *', 'Europe/Berlin', '2026-10-25T00:00Z', 4), [
    '2026-10-25T00:30Z',
    '2026-10-25T01:00Z',
    '2026-10-25T01:30Z',
    '2026-10-25T02:00Z',
  ]);
  const { between } = instantsOf('30 2 * * *', 'Europe/Berlin');
  const all = between(Date.parse('2026-10-24T00:30Z'), Date.parse('2026-10-26T01:30Z'), 10);
  assert.deepEqual(iso(all), ['2026-10-24T00:30Z', '2026-10-25T00:30Z', '2026-10-26T01:30Z']);
});

/** Some processes on one database, from 2026-03-28 23:59:30 UTC on, and a machine whose runs end when told. */
function scene(t: TestContext, holds = false) {
  const path = join(tempFolder(t), 'engine.db');
  const clock = createClock({ startAt: Date.parse('2026-03-28T23:59:30Z') });
  const locks = memoryLocks({ now: () => clock.now() });
  const finish: (() => void)[] = [];
  const machine = one(() =>
    holds ? new Promise<Json>((done) => finish.push(() => done(null))) : Promise.resolve(null),
  );
  return {
    clock,
    machine,
    /** Ends the oldest run. */
    endOne: () => finish.shift()?.(),
    boot(name: string) {
      const process = new SimulatedProcess({
        name,
        path,
        locks,
        clock: clock.process(name),
        machines: () => [machine],
      });
      t.after(() => process.die());
      return process;
    },
    schedule: (options: Partial<ScheduleOptions> = {}): ScheduleOptions<typeof machine> =>
      ({ machine, input: {}, cron: '* * * * *', ...options }) as never,
  };
}
const runsOf = ({ engine }: SimulatedProcess): string[] =>
  engine.runs().map(({ id, status }) => `${id.slice('tick.20260329T00'.length)} ${status}`);

test('each instant is started once by two processes, and its run is named after it', async (t) => {
  const { boot, clock, schedule } = scene(t);
  const [a, b] = [boot('a'), boot('b')];
  for (const { engine } of [a, b]) await engine.schedules.put('tick', schedule());
  await clock.advance(2 * 60_000);
  assert.deepEqual(
    a.engine.runs().map(({ id, status }) => [id, status]),
    [
      ['tick.20260329T000000Z', 'done'],
      ['tick.20260329T000100Z', 'done'],
    ],
  );
  const [view] = b.engine.schedules.list();
  assert.deepEqual(view, {
    ...{ name: 'tick', machine: 'one', input: {}, cron: '* * * * *', timeZone: 'UTC' },
    ...{ catchUp: 'last', catchUpMax: 100, overlap: 'skip', paused: false },
    nextAt: Date.parse('2026-03-29T00:02Z'),
    lastAt: Date.parse('2026-03-29T00:01Z'),
  });
});

test('the process that has put it dies: another one, which resumed, goes on', async (t) => {
  const { boot, clock, schedule } = scene(t);
  const a = boot('a');
  await a.engine.schedules.put('tick', schedule());
  const b = boot('b');
  await b.engine.resume();
  a.die();
  await clock.advance(60_000);
  assert.deepEqual(runsOf(b), ['0000Z done']);
});

for (const [catchUp, expected] of [
  ['none', []],
  ['last', ['0400Z done']],
  ['all', ['0200Z done', '0300Z done', '0400Z done']],
] as const)
  test(`instants that passed while nobody was there: ${catchUp}`, async (t) => {
    const { boot, clock, schedule } = scene(t);
    const a = boot('a');
    const options = schedule({ catchUp, catchUpMax: 3, overlap: 'allow', cron: '0-4 * * * *' });
    await a.engine.schedules.put('tick', options);
    a.die();
    clock.moveTo(Date.parse('2026-03-29T00:05:30Z'));
    const b = boot('b');
    // What has not changed goes on as it was.
    await b.engine.schedules.put('tick', options);
    await clock.advance(60_000);
    assert.deepEqual(runsOf(b), expected);
    assert.equal(b.engine.schedules.list()[0]?.nextAt, Date.parse('2026-03-29T01:00Z'));
  });

test('overlap: an instant at which the last run is live is skipped, waits, or not', async (t) => {
  for (const [overlap, expected] of [
    ['skip', ['0000Z done', '0300Z running']],
    ['queue', ['0000Z done', '0100Z running', '0200Z waiting', '0300Z waiting']],
    ['allow', ['0000Z done', '0100Z running', '0200Z running', '0300Z running']],
  ] as const) {
    const { boot, clock, schedule, endOne } = scene(t, true);
    const a = boot('a');
    await a.engine.schedules.put('tick', schedule({ overlap }));
    await clock.advance(160_000);
    endOne();
    await clock.advance(60_000);
    assert.deepEqual(runsOf(a), expected, overlap);
  }
});

test('a run that a dead process has left does not stand in the way', async (t) => {
  const { boot, clock, schedule, endOne } = scene(t, true);
  const [a, b] = [boot('a'), boot('b')];
  await a.engine.schedules.put('tick', schedule());
  await clock.advance(45_000);
  assert.deepEqual(runsOf(a), ['0000Z running']);
  await b.engine.schedules.put('tick', schedule());
  a.die();
  endOne();
  await clock.advance(60_000);
  assert.equal(b.engine.run('tick.20260329T000000Z').owner, b.token);
  endOne();
  await clock.advance(60_000);
  assert.deepEqual(runsOf(b), ['0000Z done', '0200Z running']);
});

test('a paused schedule starts nothing, and makes up for nothing afterwards', async (t) => {
  const { boot, clock, schedule } = scene(t);
  const { engine } = boot('a');
  await engine.schedules.put('tick', schedule({ catchUp: 'all', overlap: 'allow' }));
  await engine.schedules.pause('tick');
  // A restart of the program, which puts it again, does not undo what somebody has paused.
  await engine.schedules.put('tick', schedule({ catchUp: 'all', overlap: 'allow' }));
  await clock.advance(180_000);
  assert.deepEqual([engine.runs(), engine.schedules.list()[0]?.paused], [[], true]);
  await engine.schedules.unpause('tick');
  await clock.advance(60_000);
  assert.deepEqual(
    engine.runs().map(({ id }) => id),
    ['tick.20260329T000300Z'],
  );
  assert.equal(await engine.schedules.remove('tick'), true);
  assert.equal(await engine.schedules.remove('tick'), false);
  await clock.advance(180_000);
  assert.equal(engine.runs().length, 1);
  await assert.rejects(engine.schedules.pause('tick'), { code: 'schedule_not_found' });
});

test('a schedule that is wrong is refused, and says what to write', async (t) => {
  const { boot, schedule } = scene(t);
  const { engine } = boot('a');
  const wrong: [string, Partial<ScheduleOptions>][] = [
    ['tick', { cron: '61 * * * *' }],
    ['tick', { cron: 'each monday' }],
    ['tick', { cron: '0 0 30 2 *' }],
    ['tick', { timeZone: 'Mars/Phobos' }],
    ['tick', { catchUp: 'all', catchUpMax: 0 }],
    ['two words', {}],
  ];
  for (const [name, options] of wrong)
    await assert.rejects(engine.schedules.put(name, schedule(options)), { code: 'usage', hint: /./ });
  const stranger = one(undefined, 'stranger');
  await assert.rejects(engine.schedules.put('tick', schedule({ machine: stranger })), {
    code: 'machine_unknown',
  });
  assert.deepEqual(engine.schedules.list(), []);
});
