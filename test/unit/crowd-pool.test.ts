import assert from 'node:assert/strict';
import { test } from 'node:test';
import { judgePoolView, type PoolView, type ThinRow } from '../crash/crowd-pool.ts';

const volume: ThinRow = { id: 'vol-1', device: 1, state: 'sealed', path: null };
const active: ThinRow = { id: 'act-1', device: 2, state: 'active', path: '/m/act-1' };
const whole: PoolView = {
  mapped: { 'act-1': '254:2' },
  thin: [1, 2],
  loops: ['/s/pool/meta', '/s/pool/data'],
  mounts: { '/': '8:1', '/m/act-1': '254:2' },
};
const both = [volume, active];

test('the judge of a pool in a crowd finds what is not so, and lets pass what moves', () => {
  assert.deepEqual(judgePoolView(both, whole, both), []);
  const wrong: [PoolView, string][] = [
    [{ ...whole, thin: [2] }, 'the pool has not vol-1'],
    [{ ...whole, mapped: {} }, 'act-1 is not mapped'],
    [{ ...whole, mounts: {} }, 'act-1 is 254:2, and undefined is mounted for it'],
    [{ ...whole, mounts: { '/m/act-1': '254:9' } }, 'act-1 is 254:2, and 254:9 is mounted for it'],
    [{ ...whole, mapped: { ...whole.mapped, 'act-9': '254:9' } }, 'nobody knows mapped act-9'],
    [{ ...whole, thin: [1, 2, 9] }, 'nobody knows device 9'],
    [{ ...whole, loops: ['/s/pool/data', ...whole.loops] }, 'loop devices over data and data and meta'],
    [{ ...whole, loops: ['/s/pool/data'] }, 'loop devices over data'],
  ];
  for (const [view, says] of wrong) assert.deepEqual(judgePoolView(both, view, both), [says]);
  const gone = { ...whole, mapped: {}, thin: [1], mounts: {} };
  assert.deepEqual(judgePoolView(both, gone, [volume]), [], 'it was removed meanwhile');
  assert.deepEqual(judgePoolView([volume], whole, both), [], 'it came meanwhile');
  assert.deepEqual(judgePoolView([volume, { ...active, state: 'leaving' }], gone, both), []);
});
