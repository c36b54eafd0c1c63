import assert from 'node:assert/strict';
import { chmodSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { type BuiltLayout, buildLayout } from '../support/oci/build.ts';
import { serveRegistry } from '../support/oci/registry.ts';
import { openScene, type Scene } from './scene.ts';
import { type Pull, pull as pullShape } from './shapes.ts';

let scene: Scene;
let layout: BuiltLayout;
before(async () => {
  scene = await openScene();
  layout = buildLayout(join(scene.folder, 'buckets/images/layouts/app'));
});
after(() => scene.close());

const base = {
  entries: [{ name: 'etc/' }, { name: 'etc/motd', data: 'hello\n' }, { name: 'etc/old', data: 'old' }],
};
const upper = {
  entries: [{ name: 'etc/.wh.old' }, { name: 'etc/new', data: 'new\n' }],
  packing: 'zstd' as const,
};
const config = { Cmd: ['/bin/app'], Env: ['A=1'] };
const s3 = () => ['--endpoint', scene.endpoint, '--anonymous'];
const pull = (name: string, ...more: string[]) => ['pull', name, '--driver', 'copy', ...more];

interface Shown {
  family: string;
  source: string;
  manifest: { digest: string; platform: string } | null;
  config: { config: Record<string, unknown> } | null;
}

test('an image is the same from a folder, a bucket and a registry, and its layers are fetched once', async (t) => {
  const image = layout.image({ layers: [base, upper], config });
  layout.tag(image.descriptor, 'v1');
  const registry = await serveRegistry(t, layout);
  const places: [string[], string, string][] = [
    [pull(`oci:${layout.dir}:v1`), 'app:v1', `oci:${layout.dir}`],
    [pull('s3://images/layouts/app:v1', ...s3()), 'app', 's3://images/layouts/'],
    [
      pull(`${registry.host}/tools/app:v1@${image.descriptor.digest}`),
      'app:v1',
      `${registry.host}/tools/app`,
    ],
  ];
  const chains = new Set<string>();
  for (const [position, [args, family, source]] of places.entries()) {
    const document: Pull = pullShape.parse(await scene.json(args));
    const root = document.activation?.rootfs ?? '';
    assert.equal(readFileSync(join(root, 'etc/new'), 'utf8'), 'new\n');
    assert.equal(existsSync(join(root, 'etc/old')), false);
    assert.equal(document.bytes.fetched > 0, position === 0);
    assert.equal(document.pinned, args[1]?.includes('@') === true);
    chains.add(document.image?.chain ?? '');
    const shown = await scene.json<Shown>(['images', 'show', document.image?.id ?? '']);
    assert.deepEqual([shown.family, shown.source], [family, source]);
    assert.deepEqual(
      [shown.manifest?.digest, shown.manifest?.platform],
      [image.descriptor.digest, 'linux/amd64'],
    );
    assert.deepEqual(shown.config?.config, config);
  }
  assert.equal(chains.size, 1);
  const text = (await scene.flyd(['images', 'show', 'app:v1'])).stdout;
  assert.match(text, /manifest sha256:.*\n.*linux\/amd64\n.*cmd.*\/bin\/app/);
});

test('a layer that is in an image twice is fetched once and applied twice', async () => {
  const image = layout.image({ layers: [base, upper, base] });
  const args = pull(`oci:${layout.dir}@${image.descriptor.digest}`);
  const { activation, image: made } = await scene.json<Pull>(args);
  assert.equal(made?.layers.length, 3);
  assert.equal(readFileSync(join(activation?.rootfs ?? '', 'etc/old'), 'utf8'), 'old');
});

test('an image whose config lies about its layers is not published', async () => {
  const honest = layout.image({ layers: [base, upper] });
  const lie = `sha256:${'0'.repeat(64)}`;
  const { descriptor } = layout.image({
    layers: [base, upper],
    diffIds: [honest.layers[0]?.diffId ?? '', lie],
  });
  const images = async () => (await scene.json<{ id: string }[]>(['images'])).length;
  const before = await images();
  const failed = await scene.json<Pull>(pull(`oci:${layout.dir}@${descriptor.digest}`), 1);
  assert.equal(failed.status, 'failed');
  assert.equal(failed.error?.code, 'diff_id_mismatch');
  assert.match(failed.error?.subject ?? '', /^blobs\/sha256\//);
  assert.ok(failed.error?.hint);
  assert.equal(await images(), before);
});

test('a lock file pins an image of a layout too', async () => {
  const [first, second] = [base, upper].map((layer) => layout.image({ layers: [layer] }));
  assert.ok(first !== undefined && second !== undefined);
  const lock = join(scene.folder, 'app.lock');
  const moving = buildLayout(join(scene.folder, 'moving'));
  const put = (which: typeof first) => {
    const again = moving.image({ layers: [which === first ? base : upper] });
    moving.tags().splice(0);
    moving.tag(again.descriptor, 'v1');
  };
  put(first);
  const args = pull(`oci:${moving.dir}:v1`, '--lock', lock, '--no-activate');
  assert.equal((await scene.json<Pull>(args)).pinned, false);
  assert.equal((await scene.json<Pull>(args)).pinned, true);
  put(second);
  assert.equal((await scene.json<Pull>(args, 1)).error?.code, 'lock_mismatch');
});

test('a family of plain layers has no tag to choose', async () => {
  await scene.putLayers('plain', [{ name: '0.tar.gz', entries: [{ type: 'folder', path: 'etc' }] }]);
  const failed = await scene.json<Pull>(pull('s3://images/plain:v1', ...s3()), 1);
  assert.equal(failed.error?.code, 'reference_not_found');
  const pulled = await scene.json<Pull>(pull('s3://images/plain', '--no-activate', ...s3()));
  assert.equal(pulled.image?.family, 'plain');
});

/** A verifier that writes down what it was asked, and judges as its exit code says. */
function verifier(name: string, end: string): { command: string; asked: () => string } {
  const command = join(scene.folder, name);
  const log = `${command}.log`;
  writeFileSync(command, `#!/bin/sh\n{ echo "$@"; cat; } >>${log}\n${end}\n`);
  chmodSync(command, 0o755);
  return { command, asked: () => readFileSync(log, 'utf8') };
}

test("the operator's verifier is asked before anything is fetched, and its word is final", async (t) => {
  const image = layout.image({ layers: [{ entries: [{ name: 'judged', data: 'x' }] }] });
  layout.tag(image.descriptor, 'judged');
  const registry = await serveRegistry(t, layout);
  const name = `${registry.host}/tools/app:judged`;
  const no = verifier('no', 'echo "not signed by us" >&2; exit 1');
  const refused = await scene.json<Pull>(pull(name, '--verifier', no.command), 1);
  assert.equal(refused.error?.code, 'image_refused');
  assert.match(refused.error?.message ?? '', /not signed by us/);
  assert.ok(registry.requests.every(({ url }) => !url?.includes(image.layers[0]?.descriptor.digest ?? '-')));
  const { digest, size, mediaType } = image.descriptor;
  const type = 'application/vnd.oci.descriptor.v1+json';
  assert.equal(
    no.asked(),
    `-name ${name} -digest ${digest} -stdin-media-type ${type}\n${JSON.stringify({ mediaType, digest, size })}`,
  );
  const yes = verifier('yes', 'exit 0');
  assert.equal((await scene.json<Pull>(pull(name, '--verifier', yes.command))).status, 'done');
});

test('a verifier that takes too long or is not there allows nothing', async () => {
  const slow = verifier('slow', 'exec sleep 60');
  const name = `oci:${layout.dir}:judged`;
  const timed = pull(name, '--verifier', slow.command, '--timeout', 'verifierMs=300', '--retries', '2');
  const parked = await scene.json<Pull>(timed, 1);
  assert.deepEqual([parked.status, parked.error?.code], ['parked', 'command_timeout']);
  const gone = await scene.json<Pull>(pull(name, '--verifier', join(scene.folder, 'gone')), 1);
  assert.equal(gone.error?.code, 'command_missing');
});

test('a family is judged by its digests, and refused when there are none beforehand', async () => {
  await scene.putLayers('judged', [{ name: '0.tar.gz', entries: [{ type: 'folder', path: 'etc' }] }]);
  const yes = verifier('family-yes', 'exit 0');
  const lock = join(scene.folder, 'judged.lock');
  const args = scene.pullArgs('judged', '--lock', lock, '--no-activate');
  const refused = await scene.json<Pull>([...args, '--verifier', yes.command], 1);
  assert.equal(refused.error?.code, 'image_refused');
  await scene.json<Pull>(args);
  await scene.json<Pull>([...args, '--verifier', yes.command]);
  assert.match(
    yes.asked(),
    /-name s3:\/\/images\/judged -digest sha256:[0-9a-f]{64} .*\n\[\{"key":"judged\/0\.tar\.gz"/,
  );
});
