import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { foreignServer } from '../support/s3/foreign.ts';
import { openScene, smallFamily } from './scene.ts';
import * as shapes from './shapes.ts';

test('a pull from a server that we did not write is the pull from ours', async (t) => {
  const scene = await openScene();
  t.after(() => scene.close());
  await scene.putLayers('small', smallFamily);
  const layers = join(scene.folder, 'buckets/images/small');
  const objects = Object.fromEntries(
    readdirSync(layers).map((name) => [`images/small/${name}`, readFileSync(join(layers, name))]),
  );
  const { endpoint } = await foreignServer(t, objects);
  const ours = shapes.pull.parse(await scene.json(scene.pullArgs('small', '--no-activate')));
  const theirs = shapes.pull.parse(
    await scene.json([
      ...['pull', 'small', '--source', 's3://bucket/images', '--endpoint', endpoint, '--anonymous'],
      ...['--driver', 'copy'],
    ]),
  );
  assert.equal(theirs.status, 'done');
  assert.equal(theirs.image?.chain, ours.image?.chain);
  assert.deepEqual(
    theirs.image?.layers.map(({ digest, diffId, size }) => [digest, diffId, size]),
    ours.image?.layers.map(({ digest, diffId, size }) => [digest, diffId, size]),
  );
  const rootfs = theirs.activation?.rootfs ?? '';
  assert.equal(readFileSync(join(rootfs, 'etc/new'), 'utf8'), 'new\n');
  assert.equal(existsSync(join(rootfs, 'etc/old')), false);
});
