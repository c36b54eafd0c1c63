import assert from 'node:assert/strict';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { bytesText, timeText } from '#cli/output';
import { engineSet } from '#db/engine/set';
import { listBlobLines, listBlobs, listBlobsAsJson } from '#db/images/blob-list';
import { createImageViews } from '#db/images/image-views';
import { imageSet } from '#db/images/set';
import { openDatabase } from '#db/open';
import {
  blob,
  chain,
  completeImage,
  diffId,
  digest,
  layer,
  openTestStore,
  sealedVolume,
  source,
  type TestStore,
} from '../support/image-store.ts';
import { randomOf } from '../support/random.ts';

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

function linkBlob(id: string, position: number, one: string): void {
  store.db
    .prepare(`INSERT OR IGNORE INTO images (id, family, source, driver, state, effect, created_at, used_at)
      VALUES (@id, 'f', '{}', 'copy', 'incomplete', @id, 1, 1)`)
    .run({ id });
  store.db
    .prepare('INSERT INTO image_blobs (image, position, digest, key, etag) VALUES (?, ?, ?, ?, ?)')
    .run(id, position, one, 'k', 'e');
}

const textsOf = (pieces: Iterable<Uint8Array>): string[] =>
  [...pieces].map((piece) => Buffer.from(piece).toString());

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

  it('say the same as text, in the words of the command line', () => {
    const random = randomOf(3);
    const types = ['tar', 'tar+gzip', 'tar+zstd'].map((end) => `application/vnd.oci.image.layer.v1.${end}`);
    // Where a unit ends, half of a last digit, and anything between.
    const edges = [0, 1, 999, 1000, 1023, 1024].flatMap((n) => [n, n * 1024, n * 1024 ** 2, n * 1024 ** 3]);
    const halves = [1.25, 9.95, 99.95, 100.5, 999.5, 1.35].flatMap((n) => [n * 1024, n * 1024 ** 2]);
    const sizes = [...edges, ...halves.map(Math.round), ...halves.map((n) => Math.round(n) - 1)];
    while (sizes.length < 1000) sizes.push(random.below(2 ** (1 + random.below(45))));
    const insert = store.db.prepare('INSERT INTO blobs VALUES (?, ?, ?, ?, ?, ?, ?, ?)');
    sizes.forEach((size, n) => {
      const times = [random.below(2e12), random.below(2e12)];
      const state = random.chance(0.1) ? 'removing' : 'whole';
      insert.run(digest(n), size, diffId(n), random.below(2 ** 40), random.pick(types), state, ...times);
    });
    store.db.exec('DELETE FROM blobs WHERE rowid % 97 = 5'); // as a sweep leaves them
    const known = [...listBlobs(store.db)];
    const images = known.slice(0, 40);
    sealedVolume(store, { id: 'vol-1' });
    for (const [n, { digest: one }] of images.entries()) linkBlob(`img-${n % 7}`, n, one);
    for (const { digest: one } of images.slice(0, 9)) linkBlob('img-9', 100 + random.below(1e9), one);

    const blobs = listBlobs(store.db);
    assert.deepEqual([...new Set(blobs.map(({ references }) => references))].sort(), [0, 1, 2]);
    const lines = blobs.map((blob) =>
      [
        blob.digest,
        bytesText(blob.size).padEnd(8),
        bytesText(blob.rawSize).padEnd(8),
        (blob.mediaType.split('.').at(-1) ?? '').padEnd(8),
        String(blob.references).padEnd(6),
        timeText(blob.usedAt),
      ].join('  '),
    );
    assert.deepEqual(textsOf(listBlobLines(store.db)).join('\n').split('\n'), lines);
    const objects = blobs.map((blob) => ({
      ...blob,
      createdAt: timeText(blob.createdAt),
      usedAt: timeText(blob.usedAt),
    }));
    const json = `[${textsOf(listBlobsAsJson(store.db)).join(',')}]`;
    assert.deepEqual(JSON.parse(json), objects);
    assert.equal(json.replaceAll(',\n  ', ','), JSON.stringify(objects));
  });

  it('are of one moment, and leave nothing behind', () => {
    for (let n = 0; n < 600; n++) store.blobs.record(source, layer(n), blob(n), n);
    const other = store.reopen();
    const texts = listBlobLines(store.db)[Symbol.iterator]();
    const first: Uint8Array = texts.next().value;
    other.db.exec('DELETE FROM blob_sources; DELETE FROM blobs');
    const rest: Uint8Array[] = [];
    for (let text = texts.next(); text.done !== true; text = texts.next()) rest.push(text.value);
    assert.equal(
      textsOf([first, ...rest])
        .join('\n')
        .split('\n').length,
      600,
    );
    for (const _ of listBlobLines(store.db)) assert.fail('there is none any more');
    assert.equal(store.db.inTransaction, false);
    assert.equal(store.db.prepare('SELECT count(*) FROM temp.sqlite_schema').pluck().get(), 0);
  });
});
