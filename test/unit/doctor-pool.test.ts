import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parsePoolStatus } from '#infra/volumes/dm-status';
import type { PoolLook } from '#infra/volumes/pool-look';
import { judgePool } from '../../cli/doctor/pool.ts';

/** What doctor says of a pool, from the very lines that the kernel writes. */
const warnAt = { data: 80, metadata: 80 };
const record = {
  kind: 'devices',
  dmName: 'flyd-p1',
  meta: { path: '/dev/m', bytes: 1, serial: null },
} as PoolLook['record'];
const look = (line: string | null): PoolLook => ({
  record,
  status: line === null ? null : parsePoolStatus(line.split(' ')),
  mapped: [],
  records: [],
  devices: [],
  shared: false,
  needsCheck: false,
  lost: [],
  damaged: [],
});
const said = (line: string | null): string[] =>
  judgePool(look(line), warnAt).map(({ check, verdict, says }) => `${verdict} ${check}: ${says}`);
const status = (meta: string, data: string, mode: string, flag = '-') =>
  `7 ${meta} ${data} - ${mode} discard_passdown error_if_no_space ${flag} 1024`;

test('each bad day of a pool has its words and its fix', () => {
  const days: [string, RegExp][] = [
    [status('10/4096', '500/1000', 'rw'), /^ok pool: flyd-p1 takes changes$/],
    [status('10/4096', '850/1000', 'rw'), /^warn pool data: 85 % of 1000 blocks used$/],
    [status('10/4096', '960/1000', 'rw'), /^warn pool data: nearly full: 96 % /],
    [status('10/4096', '1000/1000', 'out_of_data_space'), /^broken pool data: flyd-p1 is full/],
    [status('3500/4096', '5/1000', 'rw'), /^warn pool metadata: 85 % of 4096/],
    [status('4096/4096', '5/1000', 'ro', 'needs_check'), /^broken pool: .* needs a check: it is full$/],
    [
      status('10/4096', '5/1000', 'ro', 'needs_check'),
      /^broken pool: flyd-p1 is read-only and its metadata needs a check$/,
    ],
    [status('4096/4096', '5/1000', 'ro'), /^broken pool: flyd-p1 is read-only: its metadata is full$/],
    [status('10/4096', '5/1000', 'ro'), /^broken pool: flyd-p1 is read-only$/],
    ['Fail', /^broken pool: flyd-p1 has failed/],
  ];
  for (const [line, words] of days) {
    assert.ok(
      said(line).some((text) => words.test(text)),
      `${line}: ${said(line).join('; ')}`,
    );
    for (const { verdict, fix } of judgePool(look(line), warnAt))
      if (verdict === 'broken') assert.match(fix ?? '', /\bflyd /, line);
  }
  assert.match(said(null)[0] ?? '', /^note pool: flyd-p1 is not mapped now/);
});

test('a damaged record beside the pool is told', () => {
  const [first] = judgePool({ ...look(null), damaged: [{ id: 'vol-1', why: 'it is damaged' }] }, warnAt);
  assert.deepEqual(
    [first?.verdict, first?.says],
    ['broken', 'the record of vol-1 is damaged: it is damaged'],
  );
});
