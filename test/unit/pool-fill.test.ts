import assert from 'node:assert/strict';
import { test } from 'node:test';
import { judgeFill, nearlyFull } from '#core/pool-fill';
import { resolveSettings } from '#infra/config';

const row = (what: string, used: number, total = 1000) => ({ what, free: total - used, total });
const warnAt = { data: 80, metadata: 60 };

test('a fill is judged by its own threshold, from exactly there on', () => {
  const levels = [799, 800, 949, 950, 999, 1000].map(
    (used) => judgeFill(row('pool data', used), warnAt).level,
  );
  assert.deepEqual(levels, ['low', 'warn', 'warn', 'urgent', 'urgent', 'full']);
  assert.equal(judgeFill(row('pool metadata', 600), warnAt).level, 'warn');
  assert.equal(judgeFill(row('pool data', 999), warnAt).percent, 99, '100 means full');
  assert.equal(judgeFill(row('pool data', 0, 0), warnAt).level, 'full');
});

test('only what a pool runs out of is warned of, with figures and what to do', () => {
  const rows = [row('pool data', 900), row('pool metadata', 100), row('bytes of /var/lib/flyd', 990)];
  const [only, ...more] = nearlyFull(rows, warnAt);
  assert.deepEqual([only?.what, only?.percent, only?.freeBytes, more.length], ['pool data', 90, 100, 0]);
  assert.match(only?.fix ?? '', /flyd gc/);
});

test('thresholds are a setting, in percent', async () => {
  const warnAtOf = async (text: string) =>
    (await resolveSettings({ flags: { warnAt: text }, configFile: undefined, uid: 0, environment: {} }))
      .settings.warnAt;
  assert.deepEqual(await warnAtOf('data=70'), { data: 70, metadata: 80 });
  await assert.rejects(warnAtOf('data=101'), /more than 100 percent/);
  await assert.rejects(warnAtOf('space=10'), /space is none of data, metadata/);
});
