import assert from 'node:assert/strict';
import { existsSync, readdirSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import test, { type TestContext } from 'node:test';
import { whyNot } from '../support/needs.ts';
import { diffRootfs, readRootfs } from '../support/rootfs.ts';
import { type FamilyOptions, makeFamily } from './family.ts';
import { leftovers, type PullDocument, rows, settledRequests } from './judge.ts';
import {
  documentOf,
  labFolder,
  openSandbox,
  processState,
  type Running,
  runPull,
  type Sandbox,
  startPull,
  until,
} from './sandbox.ts';

const crowd = 8;

async function sandboxFor(t: TestContext, options: FamilyOptions): Promise<Sandbox> {
  const lab = labFolder(t);
  const driver = whyNot(['root', 'overlay', 'setfattr']) === null ? 'overlay' : 'copy';
  const sandbox = await openSandbox(lab, makeFamily(lab, options), driver);
  t.after(() => sandbox.close());
  return sandbox;
}

/**
 * One download for each blob, one image, one base for each chain, so many activations, and nothing else. What a
 * process was fetching when it was killed may be asked for twice: what came since the last sync.
 */
async function assertShared(sandbox: Sandbox, activations: number, fetches = 1): Promise<void> {
  await settledRequests(sandbox);
  for (const { key, size } of sandbox.family.layers) {
    const gets = sandbox.answered.filter((request) => request.method === 'GET' && request.key === key);
    const bytes = gets.reduce((sum, request) => sum + request.bytes, 0);
    assert.ok(
      bytes >= size && bytes <= size * fetches,
      `${key} was fetched ${gets.length} times: ${bytes} of ${size} bytes`,
    );
  }
  const count = (sql: string): number =>
    rows<{ n: number }>(sandbox, `SELECT count(*) AS n FROM ${sql}`)[0]?.n ?? -1;
  assert.equal(count("images WHERE state = 'complete'"), 1);
  assert.equal(count('(SELECT chain FROM volumes GROUP BY driver, chain HAVING count(*) > 1)'), 0);
  assert.equal(count("activations WHERE state = 'active'"), activations);
  assert.deepEqual(leftovers(sandbox), []);
}

test('eight processes that pull one family share everything but their activations', async (t) => {
  const missing = whyNot(['zstd', 'getfattr']);
  if (missing !== null) return t.skip(missing);
  const sandbox = await sandboxFor(t, {});
  const pulls = Array.from({ length: crowd }, () => startPull(sandbox));
  const documents = await Promise.all(pulls.map(async ({ ended }) => documentOf<PullDocument>(await ended)));
  assert.equal(new Set(documents.map(({ image }) => image.id)).size, 1);
  assert.equal(new Set(documents.map(({ base }) => base.id)).size, 1);
  assert.equal(new Set(documents.map(({ activation }) => activation.id)).size, crowd);
  await assertShared(sandbox, crowd);
});

/** Whether a process has something open inside a tree that it makes: of a layer that comes, or of a volume. */
function isUnpacking(pid: number, { state }: Sandbox): boolean {
  const trees = [join(state, 'parts/'), join(state, 'volumes/')];
  return openFiles(pid).some(
    (path) => path.includes('/rootfs/') && trees.some((folder) => path.startsWith(folder)),
  );
}

function openFiles(pid: number): string[] {
  const folder = `/proc/${pid}/fd`;
  const fds = existsSync(folder) ? readdirSync(folder) : [];
  return fds.flatMap((fd) => {
    try {
      return [readlinkSync(join(folder, fd))];
    } catch {
      return []; // it was closed in between
    }
  });
}

test('a process that is stopped in the middle of unpacking holds nobody up, and never writes again', async (t) => {
  const missing = whyNot(['zstd', 'getfattr']);
  if (missing !== null) return t.skip(missing);
  const sandbox = await sandboxFor(t, { files: 6_000, bytes: 20_000_000 });
  const volumes = join(sandbox.state, 'volumes');
  const options = { env: { FLYD_STUCK_AFTER_MS: '2000' } };
  const pulls = Array.from({ length: crowd }, () => startPull(sandbox, options));
  const stopped = await until('one of them unpacks', () => {
    const found = pulls.find(({ pid }) => isUnpacking(pid, sandbox));
    found?.kill('SIGSTOP');
    return found ?? null;
  });
  await until('it is stopped', () => (processState(stopped.pid) === 'T' ? true : null));
  assert.deepEqual(rows(sandbox, "SELECT id FROM volumes WHERE state = 'sealed' AND layers = 3"), []);

  const others = pulls.filter((pull): pull is Running => pull !== stopped);
  const documents = await Promise.all(others.map(async ({ ended }) => documentOf<PullDocument>(await ended)));
  const before = readRootfs(volumes);
  stopped.kill('SIGCONT');
  const { code, signal, stderr } = await stopped.ended;
  // The others have to kill it: merely passing over it would leave a writer behind.
  assert.deepEqual({ code, signal }, { code: null, signal: 'SIGKILL' }, stderr);
  assert.deepEqual(diffRootfs(before, readRootfs(volumes)), [], 'it wrote after it was continued');

  const [first] = documents;
  const eighth = documentOf<PullDocument>(await runPull(sandbox));
  const all = [...documents, eighth];
  assert.equal(new Set(all.map(({ activation }) => activation.id)).size, crowd);
  assert.equal(new Set(all.map(({ image }) => image.id)).size, 1);
  const trees = [first, eighth].map((document) => readRootfs(document?.activation.rootfs ?? ''));
  assert.deepEqual(diffRootfs(trees[0] ?? new Map(), trees[1] ?? new Map()), []);
  await assertShared(sandbox, crowd, 2);
});

test('a pull whose image another began belongs to nobody else, though that other is dead', async (t) => {
  const missing = whyNot(['zstd', 'getfattr']);
  if (missing !== null) return t.skip(missing);
  const sandbox = await sandboxFor(t, {});
  const first = startPull(sandbox, { fault: 'effect:volume.unpack:before:stop' }, ['--no-activate']);
  await until('the first makes the image', () => (processState(first.pid) === 'T' ? true : null));
  const second = startPull(sandbox);
  const waits = "SELECT id FROM runs WHERE machine = 'pull' AND state = 'imaging'";
  await until('the second waits for it', () => (rows(sandbox, waits).length === 2 ? true : null));
  second.kill('SIGSTOP');
  first.kill('SIGKILL');
  await first.ended;

  const third = documentOf<PullDocument>(await runPull(sandbox));
  second.kill('SIGCONT');
  const document = documentOf<PullDocument>(await second.ended);
  assert.notEqual(third.run, document.run);
  assert.notEqual(third.activation.id, document.activation.id);
});
