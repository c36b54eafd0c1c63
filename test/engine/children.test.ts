import assert from 'node:assert/strict';
import { test } from 'node:test';
import { pending, recoverable, unrecoverable } from '#core/errors';
import type { DiffId, Digest } from '#core/ids';
import type { LayerBlob, LayerRef, Source } from '#core/image';
import { defineMachine } from '#engine/index';
import { activateMachine } from '#machines/activate';
import { blobMachine } from '#machines/blob';
import { imageMachine } from '#machines/image';
import { type PullInput, type PullResult, pullMachine } from '#machines/pull';
import { volumeMachine } from '#machines/volume';
import { engineIn, tempFolder } from '../support/engine.ts';

// The real statecharts of a pull, over effects that only keep count: what is tested is the engine.

const source: Source = {
  endpoint: 'http://127.0.0.1:1',
  region: 'us-east-1',
  bucket: 'b',
  prefix: 'images/',
  anonymous: true,
  insecure: false,
};
const layer = (n: number): LayerRef => ({
  key: `images/go/${n}.tar`,
  etag: `e${n}`,
  size: 10 + n,
  digest: null,
});
const hex = (n: number): string => n.toString(16).padStart(64, '0');
const fetched = ({ key, etag, size }: LayerRef): Omit<LayerBlob, 'reused'> => ({
  key,
  etag,
  size,
  digest: `sha256:${hex(size)}` as Digest,
  diffId: `sha256:${hex(size + 1000)}` as DiffId,
  rawSize: size * 2,
  mediaType: 'application/vnd.oci.image.layer.v1.tar',
  fetched: size,
});

interface Hooks {
  fetch?: (layer: LayerRef, signal: AbortSignal) => Promise<void>;
  unpack?: (signal: AbortSignal) => Promise<void>;
  calls: string[];
}

function machines({ fetch, unpack, calls }: Hooks, layers = [layer(0), layer(1), layer(2)]) {
  const count =
    <T>(name: string, value: T) =>
    async (): Promise<T> => {
      calls.push(name);
      return value;
    };
  const blob = defineMachine({
    name: 'blob',
    version: 1,
    machine: blobMachine,
    key: ({ layer: { key, etag } }) => `${key} ${etag}`,
    queue: 'blob',
    actors: {
      'blob.find': async () => null,
      'blob.fetch': async ({ input: { layer }, signal }) => {
        calls.push(`fetch ${layer.key}`);
        await fetch?.(layer, signal);
        return fetched(layer);
      },
      'blob.record': async ({ input }) => ({ ...input.blob, reused: false }),
    },
  });
  const volume = defineMachine({
    name: 'volume',
    version: 1,
    machine: volumeMachine,
    key: ({ chains }) => chains.at(-1) ?? null,
    actors: {
      'volume.choose': async ({ input }) => ({
        id: `vol-${input.layers.length}`,
        sealed: false,
        inherited: input.layers.length - 1,
      }),
      'volume.create': count('create', null),
      'volume.unpack': async ({ input, signal }) => {
        calls.push(`unpack ${input.id} ${input.layers.map(({ key }) => key).join()}`);
        await unpack?.(signal);
        return { entries: 1, bytes: 2, warnings: [] };
      },
      'volume.seal': count('seal', null),
      'volume.discard': count('discard', null),
    },
  });
  const image = defineMachine({
    name: 'image',
    version: 1,
    machine: imageMachine,
    key: ({ layers }) => layers.map(({ key, etag }) => `${key} ${etag}`).join(),
    actors: {
      'image.reserve': async () => ({ id: 'img-1', granularity: 'layer' as const }),
      'image.register': async ({ input }) => {
        calls.push('register');
        return { id: input.id, base: input.base.id };
      },
      'image.release': count('release', null),
      blob,
      volume,
    },
  });
  const activate = defineMachine({
    name: 'activate',
    version: 1,
    machine: activateMachine,
    actors: {
      'activation.choose': async ({ effectId }) => ({ id: `act-${effectId}` }),
      'activation.snapshot': count('snapshot', null),
      'activation.mount': async ({ input: { id } }) => ({
        id,
        path: '/m',
        rootfs: '/m/rootfs',
        device: null,
        driver: 'copy' as const,
      }),
      'activation.record': count('record', null),
      'activation.remove': count('remove', null),
    },
  });
  return defineMachine({
    name: 'pull',
    version: 1,
    machine: pullMachine,
    actors: {
      'family.resolve': async () => ({ layers, pinned: false, manifest: null }),
      'image.verify': count('verify', null),
      'family.pin': count('pin', null),
      image,
      activate,
    },
  });
}

const input: PullInput = {
  source,
  family: 'go',
  choice: null,
  driver: 'copy',
  lockFile: null,
  activation: {
    name: null,
    sizeBytes: null,
    readOnly: false,
    suid: false,
    dev: false,
    owner: null,
    attach: 'mount',
  },
};

const gate = () => {
  let open = (): void => {};
  const opened = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { open: () => open(), opened };
};
const until = async (condition: () => boolean): Promise<void> => {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 2));
};
const onAbort = (signal: AbortSignal): Promise<void> =>
  new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)));

test('a pull fetches each layer once, unpacks in order, registers and activates', async (t) => {
  const calls: string[] = [];
  const pull = machines({ calls });
  const engine = engineIn(t, tempFolder(t), [pull], { queues: { blob: 2 } });
  const { id } = await engine.start(pull, { input });
  const run = await engine.wait(id);
  assert.equal(run.status, 'done', JSON.stringify(run.error));
  const output = run.output as unknown as PullResult;
  assert.deepEqual(
    output.image.layers.map(({ key }) => key),
    ['images/go/0.tar', 'images/go/1.tar', 'images/go/2.tar'],
  );
  assert.deepEqual(
    calls.filter((call) => call.startsWith('unpack')),
    ['unpack vol-1 images/go/0.tar', 'unpack vol-2 images/go/1.tar', 'unpack vol-3 images/go/2.tar'],
  );
  assert.equal(calls.filter((call) => call.startsWith('fetch')).length, 3);
  assert.equal(output.image.base.id, 'vol-3');
  assert.equal(engine.runs({ live: true }).length, 0);
});

test('a queue lets only so many runs move at once', async (t) => {
  let now = 0;
  let most = 0;
  const pull = machines(
    {
      calls: [],
      fetch: async () => {
        now += 1;
        most = Math.max(most, now);
        await new Promise((resolve) => setTimeout(resolve, 10));
        now -= 1;
      },
    },
    [0, 1, 2, 3, 4, 5].map(layer),
  );
  const engine = engineIn(t, tempFolder(t), [pull], { queues: { blob: 2 } });
  const { id } = await engine.start(pull, { input });
  assert.equal((await engine.wait(id)).status, 'done');
  assert.equal(most, 2);
});

test('two pulls of one family share the image run and every blob', async (t) => {
  const calls: string[] = [];
  const pull = machines({ calls });
  const engine = engineIn(t, tempFolder(t), [pull], { queues: { blob: 4 } });
  const [first, second] = await Promise.all([engine.start(pull, { input }), engine.start(pull, { input })]);
  const runs = await Promise.all([engine.wait(first.id), engine.wait(second.id)]);
  assert.deepEqual(
    runs.map(({ status }) => status),
    ['done', 'done'],
  );
  assert.equal(calls.filter((call) => call.startsWith('fetch')).length, 3);
  assert.equal(engine.runs({ machine: 'image' }).length, 1);
  const ids = runs.map(({ output }) => (output as unknown as PullResult).activation?.id);
  assert.notEqual(ids[0], ids[1]);
});

test('cancelling a pull takes down the children that nobody else wants, with compensation', async (t) => {
  const calls: string[] = [];
  const pull = machines({ calls, unpack: onAbort });
  const engine = engineIn(t, tempFolder(t), [pull], { queues: { blob: 4 } });
  const { id } = await engine.start(pull, { input });
  await until(() => calls.some((call) => call.startsWith('unpack')));
  await engine.cancel(id);
  assert.equal((await engine.wait(id)).status, 'cancelled');
  await until(() => engine.runs({ live: true }).length === 0);
  assert.deepEqual(
    engine.runs({ machine: 'volume' }).map(({ status }) => status),
    ['cancelled'],
  );
  assert.ok(calls.includes('discard') && calls.includes('release'));
});

test('cancelling one of two pulls leaves what the other still needs', async (t) => {
  const calls: string[] = [];
  const { open, opened } = gate();
  const pull = machines({ calls, unpack: () => opened });
  const engine = engineIn(t, tempFolder(t), [pull], { queues: { blob: 4 } });
  const first = await engine.start(pull, { input });
  const second = await engine.start(pull, { input });
  await until(() => calls.some((call) => call.startsWith('unpack')));
  await until(() => engine.children(second.id).length === 1);
  await engine.cancel(first.id);
  assert.equal((await engine.wait(first.id)).status, 'cancelled');
  open();
  assert.equal((await engine.wait(second.id)).status, 'done');
  assert.ok(!calls.includes('discard'));
});

test('an unrecoverable failure of a blob fails the image and the pull, with its code', async (t) => {
  const calls: string[] = [];
  const pull = machines({
    calls,
    fetch: async ({ key }) => {
      if (key.endsWith('1.tar')) throw unrecoverable('digest_mismatch', 'not what it says');
    },
  });
  const engine = engineIn(t, tempFolder(t), [pull], { queues: { blob: 4 } });
  const { id } = await engine.start(pull, { input });
  const run = await engine.wait(id);
  assert.equal(run.status, 'failed');
  assert.equal(run.error?.code, 'digest_mismatch');
  assert.ok(calls.includes('release'));
  await until(() => engine.runs({ live: true }).length === 0);
});

test('a bucket that changes under the pull is listed again', async (t) => {
  let changes = 1;
  const pull = machines({
    calls: [],
    fetch: async () => {
      if (changes-- > 0) throw unrecoverable('object_changed', 'another etag');
    },
  });
  const engine = engineIn(t, tempFolder(t), [pull], { queues: { blob: 4 } });
  const { id } = await engine.start(pull, { input });
  assert.equal((await engine.wait(id)).status, 'done');
  assert.equal(engine.history(id).filter(({ to }) => to === 'resolving').length, 2);
});

test('the trouble of a child shows in its parents, and a retry of the top wakes it', async (t) => {
  let broken = true;
  const pull = machines({
    calls: [],
    fetch: async ({ key }) => {
      if (broken && key.endsWith('2.tar')) throw recoverable('source_unavailable', 'down');
    },
  });
  const engine = engineIn(t, tempFolder(t), [pull], { queues: { blob: 4 } });
  const { id } = await engine.start(pull, { input });
  const parked = await engine.wait(id, { until: 'settled' });
  assert.equal(parked.status, 'parked');
  assert.equal(parked.error?.code, 'source_unavailable');
  assert.equal(engine.runs({ machine: 'image' })[0]?.status, 'parked');
  broken = false;
  await engine.retry(id);
  assert.equal((await engine.wait(id)).status, 'done');
});

test('a new pull joins the parked image and wakes it', async (t) => {
  let broken = true;
  const pull = machines({
    calls: [],
    fetch: async () => {
      if (broken) throw recoverable('source_unavailable', 'down');
    },
  });
  const engine = engineIn(t, tempFolder(t), [pull], { queues: { blob: 4 } });
  const first = await engine.start(pull, { input });
  assert.equal((await engine.wait(first.id, { until: 'settled' })).status, 'parked');
  broken = false;
  const second = await engine.start(pull, { input });
  assert.equal((await engine.wait(second.id)).status, 'done');
  assert.equal((await engine.wait(first.id)).status, 'done');
});

test('a missing object makes the pull pending only when nothing of it moves any more', async (t) => {
  let missing = true;
  const pull = machines({
    calls: [],
    fetch: async ({ key }) => {
      if (missing && key.endsWith('0.tar')) throw pending('object_missing', 'not there');
    },
  });
  const engine = engineIn(t, tempFolder(t), [pull], { queues: { blob: 4 } });
  const { id } = await engine.start(pull, { input });
  const settled = await engine.wait(id, { until: 'settled' });
  assert.equal(settled.status, 'pending');
  assert.equal(settled.error?.code, 'object_missing');
  missing = false;
  assert.equal((await engine.wait(id)).status, 'done');
});
