import assert from 'node:assert/strict';
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, truncateSync } from 'node:fs';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseJournal } from '#infra/blob/journal';
import type { FetchedBlob } from '#infra/blob-store';
import { whyNot } from '../support/needs.ts';
import type { FetchJob } from '../support/s3/fetch-child.ts';
import { liar } from '../support/s3/liar.ts';
import { layerAt, type SampleLayer, sampleLayer, tempFolder } from '../support/s3/served.ts';

const KiB = 1024;
const checkpointBytes = 256 * KiB;
const program = fileURLToPath(new URL('../support/s3/fetch-child.ts', import.meta.url));

interface World {
  dir: string;
  layer: SampleLayer;
  /** First byte asked for, of each GET. */
  starts: number[];
  /** How many bytes the next answer gives before it falls silent; null for all. */
  give: { bytes: number | null };
  job: FetchJob;
}

async function world(t: TestContext, rawBytes = 3_000_000): Promise<World> {
  const layer = sampleLayer(rawBytes);
  const starts: number[] = [];
  const give: World['give'] = { bytes: null };
  const { source } = await liar(t, (request: IncomingMessage, response: ServerResponse) => {
    const start = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? '')?.[1] ?? 0);
    starts.push(start);
    const body = layer.stored.subarray(start);
    const range = start > 0 ? { 'content-range': `bytes ${start}-${layer.size - 1}/${layer.size}` } : {};
    response.writeHead(start > 0 ? 206 : 200, {
      etag: `"${layer.etag}"`,
      'content-length': body.length,
      ...range,
    });
    if (give.bytes === null) response.end(body);
    else response.write(body.subarray(0, give.bytes));
  });
  const dir = tempFolder(t);
  return {
    dir,
    layer,
    starts,
    give,
    job: { dir, checkpointBytes, request: { source, layer: layerAt('k', layer), partialId: 'p' } },
  };
}

function start(t: TestContext, job: FetchJob, wrapper: string[] = []): ChildProcess {
  const [command = '', ...args] = [...wrapper, process.execPath, program, JSON.stringify(job)];
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  t.after(() => child.kill('SIGKILL'));
  return child;
}

async function kill(child: ChildProcess): Promise<void> {
  const ended = once(child, 'exit');
  child.kill('SIGKILL');
  assert.deepEqual(await ended, [null, 'SIGKILL']);
}

async function result(child: ChildProcess): Promise<FetchedBlob> {
  const [output, [code]] = await Promise.all([text(child.stdout ?? Readable.from([])), once(child, 'exit')]);
  assert.equal(code, 0);
  return JSON.parse(output) as FetchedBlob;
}

const journalPath = ({ dir }: World) => join(dir, 'partial', 'p.journal');
const journalOf = (world: World) =>
  parseJournal(existsSync(journalPath(world)) ? readFileSync(journalPath(world)) : Buffer.alloc(0)).state;

/** Waits until at least so many bytes are fsynced and written down. */
async function synced(world: World, bytes: number, child: ChildProcess): Promise<void> {
  while (journalOf(world).synced < bytes) {
    assert.equal(child.exitCode ?? child.signalCode, null, 'the child lives');
    await sleep(5);
  }
}

function assertWhole({ dir, layer }: World, blob: FetchedBlob): void {
  const { digest, diffId, size, rawSize } = layer;
  assert.deepEqual([blob.digest, blob.diffId, blob.size, blob.rawSize], [digest, diffId, size, rawSize]);
  assert.deepEqual(readdirSync(join(dir, 'blobs', 'sha256')), [digest.slice('sha256:'.length)]);
  assert.deepEqual(readFileSync(join(dir, 'blobs', 'sha256', digest.slice('sha256:'.length))), layer.stored);
}

test('bytes that were fsynced before a kill -9 are not asked for again', async (t) => {
  const w = await world(t);
  w.give.bytes = 2_200_000;
  const child = start(t, w.job);
  await synced(w, 1024 * KiB, child);
  await kill(child);
  const had = journalOf(w).synced;
  w.give.bytes = null;
  const blob = await result(start(t, w.job));
  assert.deepEqual(w.starts, [0, had]);
  assertWhole(w, blob);
  assert.ok(blob.fetched >= w.layer.size);
});

test('however often it is killed, it gets there, and never asks for what it has', async (t) => {
  const w = await world(t);
  w.give.bytes = 1100 * KiB;
  for (;;) {
    const before = journalOf(w).synced;
    const child = start(t, w.job);
    const goal = before + 1024 * KiB;
    if (goal > w.layer.size) {
      assertWhole(w, await result(child));
      break;
    }
    await synced(w, goal, child);
    await kill(child);
    assert.equal(w.starts.at(-1), before);
  }
  assert.ok(w.starts.length >= 3, 'it was killed at least twice');
});

test('a crash on either side of the rename costs no request', async (t) => {
  const w = await world(t, 300_000);
  const blob = await result(start(t, w.job));
  const name = w.layer.digest.slice('sha256:'.length);
  const again = await result(start(t, w.job));
  assert.deepEqual(again, blob);
  renameSync(join(w.dir, 'blobs', 'sha256', name), join(w.dir, 'partial', 'p'));
  assert.deepEqual(await result(start(t, w.job)), blob);
  assertWhole(w, blob);
  assert.deepEqual(w.starts, [0]);
  assert.deepEqual(readdirSync(join(w.dir, 'partial')), ['p.journal']);
});

test('a partial that was tampered with is begun anew', async (t) => {
  const w = await world(t);
  w.give.bytes = 2_200_000;
  const child = start(t, w.job);
  await synced(w, 1024 * KiB, child);
  await kill(child);
  truncateSync(join(w.dir, 'partial', 'p'), 1000);
  w.give.bytes = null;
  assertWhole(w, await result(start(t, w.job)));
  assert.deepEqual(w.starts, [0, 0]);
});

test('killed at any of its writes to the disk, it goes on from what the journal says', async (t) => {
  const problem = whyNot(['strace']);
  if (problem !== null) return t.skip(problem);
  if (spawnSync('strace', ['-f', '-e', 'trace=none', 'true']).status !== 0)
    return t.skip('strace may not trace here: allow ptrace (a container needs CAP_SYS_PTRACE)');
  for (const call of ['fdatasync', 'fsync', 'ftruncate', '/^rename', '/^pwritev']) {
    for (let when = 1; ; when++) {
      const w = await world(t, 1_400_000);
      mkdirSync(w.dir, { recursive: true });
      const inject = [
        'strace',
        '-f',
        '-qq',
        '-o',
        '/dev/null',
        '-e',
        `trace=${call}`,
        '-e',
        `inject=${call}:signal=KILL:when=${when}`,
      ];
      const child = start(t, w.job, inject);
      child.stdout?.resume();
      const [code, signal] = await once(child, 'exit');
      if (code === 0) {
        assert.ok(when > 1, `${call} is made at all`);
        break;
      }
      assert.ok(signal === 'SIGKILL' || code === 137, `${call} ${when}: ended with ${code} ${signal}`);
      const { synced, whole } = journalOf(w);
      const before = w.starts.length;
      assertWhole(w, await result(start(t, w.job)));
      const asked = w.starts.slice(before);
      assert.ok(
        asked.every((start) => start >= synced),
        `${call} ${when}: asked for ${asked}, had ${synced}`,
      );
      if (whole !== null) assert.deepEqual(asked, [], `${call} ${when}: all was there`);
      assert.deepEqual(readdirSync(join(w.dir, 'partial')), ['p.journal']);
    }
  }
});
