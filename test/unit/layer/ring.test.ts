import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { Worker } from 'node:worker_threads';
import { takeRing } from '#infra/layer/ring-memory';
import type { Peer } from './ring-peer.ts';

const file = new URL('./ring-peer.ts', import.meta.url);

function ended(workerData: Peer): Promise<unknown> {
  return new Promise((resolve, reject) => {
    new Worker(file, { workerData }).once('message', resolve).once('error', reject);
  });
}

function expectedSum(bytes: number): string {
  const all = Buffer.alloc(bytes);
  for (let at = 0; at < bytes; at++) all[at] = (at * 31 + (at >> 9)) & 0xff;
  return createHash('sha256').update(all).digest('hex');
}

const MiB = 1024 * 1024;
const never = Number.MAX_SAFE_INTEGER;

const cases: { name: string; bytes: number; writer: number; reader: number; leaveAfter?: number }[] = [
  { name: 'two that are as fast', bytes: 40 * MiB + 17, writer: 0, reader: 0 },
  { name: 'a slow reader: the writer sums while it waits for room', bytes: 24 * MiB, writer: 0, reader: 300 },
  {
    name: 'a slow writer: the reader sums while it waits for bytes',
    bytes: 24 * MiB + 1,
    writer: 300,
    reader: 0,
  },
  { name: 'fewer bytes than a slot', bytes: 511, writer: 0, reader: 0 },
  { name: 'nothing at all', bytes: 0, writer: 0, reader: 0 },
  { name: 'a reader that goes away', bytes: 24 * MiB, writer: 0, reader: 100, leaveAfter: 5 * MiB },
  { name: 'a fast reader that goes away', bytes: 24 * MiB, writer: 200, reader: 0, leaveAfter: 9 * MiB + 5 },
];

for (const { name, bytes, writer, reader, leaveAfter = never } of cases)
  test(`what goes through a ring is what was written, and so is its sum: ${name}`, {
    timeout: 60_000,
  }, async () => {
    const ring = takeRing();
    const common = { ring, bytes, leaveAfter };
    const [sum, seen] = await Promise.all([
      ended({ ...common, role: 'writer', pauses: writer }),
      ended({ ...common, role: 'reader', pauses: reader }),
    ]);
    assert.equal(sum, expectedSum(bytes));
    if (leaveAfter === never) assert.equal(seen, bytes);
  });
