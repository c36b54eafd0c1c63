import assert from 'node:assert/strict';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { engineSet } from '#db/engine/set';
import { listBlobs } from '#db/images/blob-list';
import { createImageViews } from '#db/images/image-views';
import { imageSet } from '#db/images/set';
import { openDatabase } from '#db/open';
import {
  blob,
  chain,
  completeImage,
  digest,
  layer,
  openTestStore,
  sealedVolume,
  source,
  type TestStore,
} from '../support/image-store.ts';

let store: TestStore;
beforeEach(() => {
  store = openTestStore();
});
afterEach(() => store.close());

/** An image of these layers, registered in this order; a key that JSON has to quote. */
function imageOf(id: string, seeds: readonly number[]): void {
  for (const seed of seeds) store.blobs.record(source, layer(seed, seed), blob(seed, seed), 1);
  store.images.register(
    {
      ...{ id, family: id, source, driver: 'copy', chain: chain('0'), manifest: null, effect: id },
      layers: seeds.map((seed) => ({ digest: digest(seed), key: `"${seed}"\n`, etag: `\\${seed}` })),
    },
    1,
  );
}

describe('lists of images', () => {
  it('have their layers as JSON in the very form and order of the objects', () => {
    sealedVolume(store, { id: 'vol-1' });
    imageOf('img-1', [9, 3, 7, 12, 1]);
    imageOf('img-2', [3, 9]);
    const views = createImageViews(store.db);
    const images = views.list();
    assert.equal(images.length, 2);
    for (const { id, layers } of images) assert.deepEqual(JSON.parse(views.layersAsJson(id)), layers);
    assert.equal(views.layersAsJson('img-3'), '[]');
  });

  it('have what the layers of the last registration sum up to', () => {
    sealedVolume(store, { id: 'vol-1' });
    imageOf('img-1', [9, 3, 3]);
    const sums = () => {
      const [image] = createImageViews(store.db).summaries();
      return [image?.layerCount, image?.size, image?.rawSize];
    };
    assert.deepEqual(sums(), [3, 15, 45]);
    imageOf('img-1', [9]);
    assert.deepEqual(sums(), [1, 9, 27]);
  });

  it('have them, and the layers, of images that an older flyd has registered', () => {
    sealedVolume(store, { id: 'vol-1' });
    const id = completeImage(store, { id: 'img-1' });
    const path = join(store.folder, 'old.db');
    const before = imageSet.migrations.filter(({ version }) => version < 5);
    const old = openDatabase(path, [engineSet, { ...imageSet, migrations: before }]);
    old.pragma('foreign_keys = OFF');
    old.prepare('ATTACH ? AS new').run(store.path);
    for (const table of ['blobs', 'volumes', 'images', 'image_blobs']) {
      const columns = (old.pragma(`main.table_info(${table})`) as { name: string }[]).map(({ name }) => name);
      old.exec(`INSERT INTO main.${table} (${columns}) SELECT ${columns} FROM new.${table}`);
    }
    old.close();
    const db = openDatabase(path, [engineSet, imageSet]);
    const [image] = createImageViews(db).list();
    db.close();
    assert.deepEqual(image?.layers, createImageViews(store.db).list()[0]?.layers);
    assert.deepEqual([image?.id, image?.layerCount, image?.size, image?.rawSize], [id, 1, 100, 300]);
  });
});

describe('lists of blobs', () => {
  it('count the layers that each is, of all images together', () => {
    sealedVolume(store, { id: 'vol-1' });
    imageOf('img-1', [1, 2, 2]);
    imageOf('img-2', [2, 3]);
    store.blobs.record(source, layer(4), blob(4), 1);
    const counts = [...listBlobs(store.db)].map((row) => [row.digest, row.references]);
    assert.deepEqual(counts, [
      [digest(1), 1],
      [digest(2), 3],
      [digest(3), 1],
      [digest(4), 0],
    ]);
  });
});
