import assert from 'node:assert/strict';
import { rmSync } from 'node:fs';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { imageCheck } from '#actors/image-check';
import { imageDrop } from '#actors/image-drop';
import { imageRegister } from '#actors/image-register';
import { imageRelease } from '#actors/image-release';
import { imageReserve } from '#actors/image-reserve';
import type { DriverName } from '#core/image';
import type { Space } from '#infra/volumes/driver';
import {
  activate,
  chainsOf,
  fetchLayer,
  makeImage,
  openTestParts,
  run,
  type ServedLayer,
  stopsWhenAborted,
  type TestParts,
  twice,
} from '../../support/parts.ts';

let parts: TestParts;
let layers: [ServedLayer, ServedLayer];
beforeEach(async () => {
  parts = await openTestParts();
  layers = [
    parts.serve('go', '00.tar.gz', [{ name: 'a', data: 'a'.repeat(100_000) }]),
    parts.serve('go', '01.tar.gz', [{ name: 'b', data: 'b' }]),
  ];
});
afterEach(() => parts.close());

const wanted = (driver: DriverName = 'copy') => ({
  driver,
  source: parts.source,
  family: 'go',
  layers: layers.map(({ ref }) => ref),
  manifest: null,
});
const reserve = () => twice(imageReserve(parts), wanted());

describe('image.reserve', () => {
  it('commits one id for each effect', async () => {
    const reserved = await reserve();
    assert.equal(reserved.granularity, 'image');
    assert.deepEqual(
      parts.images.list().map(({ id, state }) => [id, state]),
      [[reserved.id, 'incomplete']],
    );
  });

  const GiB = 1024 ** 3;
  const space = (free: number, what = 'pool data', unit: Space['unit'] = 'bytes', total = GiB): Space => ({
    what,
    free,
    total,
    unit,
  });
  /** Reserves where only this is to be had. */
  const reserveWith = (
    rows: Space[],
    { keep = { fraction: 0.1, bytesMax: GiB }, store = [] as Space[] } = {},
  ) => {
    const drivers = () => ({
      ready: async () => {},
      granularity: () => 'image' as const,
      space: async () => rows,
    });
    return run(imageReserve({ ...parts, drivers, storeSpace: async () => store, reserve: keep }), wanted());
  };
  const noSpace = (subject: string) => ({ code: 'no_space', kind: 'unrecoverable', subject });
  /** Bytes that the layers become when nothing is known of them but their size. */
  const guess = () => layers.reduce((sum, { ref }) => sum + ref.size * 4, 0) * 1.1;

  it('refuses what would leave less than the reserve, with figures', async () => {
    const keep = Math.ceil(GiB * 0.1);
    await reserveWith([space(keep + Math.ceil(guess()))]);
    const tooLittle = reserveWith([space(keep + Math.ceil(guess()) - 1)]);
    await assert.rejects(tooLittle, {
      ...noSpace('pool data'),
      message: /needs about .* are free, .* must stay free/,
    });
    assert.equal(parts.images.list().length, 1, 'nothing was reserved');
  });

  it('looks at every resource', async () => {
    const plenty = space(GiB / 2);
    const host = space(0, 'bytes of /v');
    await reserveWith([plenty, space(GiB / 2, 'pool metadata'), host]);
    await assert.rejects(reserveWith([plenty, space(GiB * 0.1, 'pool metadata')]), noSpace('pool metadata'));
    const inodes = (free: number) => space(free, 'inodes of /v', 'inodes', 1000);
    const folder = space(GiB / 2, 'bytes of /v');
    await reserveWith([folder, inodes(101)]);
    await assert.rejects(reserveWith([folder, inodes(100)]), noSpace('inodes of /v'));
    await assert.rejects(reserveWith([host, inodes(500)]), noSpace('bytes of /v'));
    await assert.rejects(
      reserveWith([plenty], { store: [space(GiB * 0.1, 'bytes of /blobs')] }),
      noSpace('bytes of /blobs'),
    );
  });

  it('keeps no more bytes free than it was told to', async () => {
    await reserveWith([space(10_000)], { keep: { fraction: 0.5, bytesMax: 1_000 } });
  });

  it('adds up what blobs and volumes take of one file system', async () => {
    const download = layers.reduce((sum, { ref }) => sum + ref.size, 0);
    const free = Math.ceil(guess() + download / 2);
    const keep = { fraction: 0, bytesMax: 0 };
    const volumes = space(free, 'bytes of /state/volumes');
    await reserveWith([volumes], { keep, store: [space(free, 'bytes of /blobs', 'bytes', 2 * GiB)] });
    await assert.rejects(
      reserveWith([volumes], { keep, store: [space(free, 'bytes of /state/blobs')] }),
      noSpace('bytes of /state/blobs'),
    );
  });

  it('counts what is there already as needing nothing', async () => {
    await makeImage(parts, layers);
    await reserveWith([space(0)], { store: [space(0, 'bytes of /blobs')] });
    rmSync(parts.store.pathOf(layers[0].blob.digest));
    await assert.rejects(
      reserveWith([space(0)], { store: [space(0, 'bytes of /blobs')] }),
      noSpace('bytes of /blobs'),
    );
  });

  it('knows the size of layers that were fetched, and of those that a sealed volume holds', async () => {
    const keep = { fraction: 0, bytesMax: 0 };
    await fetchLayer(parts, layers[0]);
    const known = layers[0].blob.rawSize * 1.1;
    const unknown = layers[1].ref.size * 4 * 1.1;
    await reserveWith([space(Math.ceil(known + unknown))], { keep });
    await assert.rejects(
      reserveWith([space(Math.ceil(known + unknown) - 1)], { keep }),
      noSpace('pool data'),
    );
    await makeImage(parts, [layers[0]], 'base');
    await reserveWith([space(Math.ceil(unknown))], { keep });
    await assert.rejects(reserveWith([space(Math.ceil(unknown) - 1)], { keep }), noSpace('pool data'));
  });

  it('stops when told to', () => stopsWhenAborted(imageReserve(parts), wanted()));
});

describe('image.register', () => {
  const finished = async () => {
    const { base, layers: blobs } = await makeImage(parts, layers, 'other');
    const { id } = await run(imageReserve(parts), wanted(), { effectId: 'run-9/reserve/1' });
    const chain = chainsOf(layers)[1];
    assert.ok(chain !== undefined);
    const result = { id, family: 'go', source: parts.source, chain, layers: blobs, manifest: null };
    const unpacked = { entries: 0, bytes: 0, warnings: [] };
    return { ...result, base: { id: base, driver: 'copy' as const, reused: true }, unpacked };
  };

  it('completes the image that was reserved', async () => {
    const image = await finished();
    const registered = await twice(imageRegister(parts), image);
    assert.deepEqual(registered, { id: image.id, base: image.base.id });
    const [row] = parts.images.list().filter(({ id }) => id === image.id);
    assert.deepEqual([row?.state, row?.baseLvId, row?.layers.length], ['complete', image.base.id, 2]);
  });

  it('gives the id of the image that was there before, over and over', async () => {
    const image = await finished();
    await run(imageRegister(parts), image);
    const later = await run(imageReserve(parts), wanted(), { effectId: 'run-10/reserve/1' });
    const registered = await twice(
      imageRegister(parts),
      { ...image, id: later.id },
      { effectId: 'run-10/register/1' },
    );
    assert.deepEqual(registered, { id: image.id, base: image.base.id });
    assert.equal(parts.images.list().filter(({ family }) => family === 'go').length, 1);
  });

  it('takes the base that was sealed, when the one it was told of had lost', async () => {
    const image = await finished();
    const lost = { ...image, base: { ...image.base, id: 'vol-0000000000000000' } };
    assert.equal((await run(imageRegister(parts), lost)).base, image.base.id);
  });

  it('stops when told to', async () => stopsWhenAborted(imageRegister(parts), await finished()));
});

describe('image.release', () => {
  it('drops a reservation and nothing else', async () => {
    const { id } = await reserve();
    const whole = await makeImage(parts, layers);
    await stopsWhenAborted(imageRelease(parts), { id });
    assert.equal(parts.images.list().length, 2);
    await twice(imageRelease(parts), { id });
    await twice(imageRelease(parts), { id: whole.id });
    await twice(imageRelease(parts), { id: '' });
    assert.deepEqual(
      parts.images.list().map((row) => row.id),
      [whole.id],
    );
  });
});

describe('image.check and image.drop', () => {
  it('refuse an image that is not there, and drop one that is', async () => {
    await assert.rejects(run(imageCheck(parts), { image: 'img-none', force: true }), {
      code: 'image_not_found',
    });
    const { id } = await makeImage(parts, layers);
    assert.deepEqual(await twice(imageCheck(parts), { image: id, force: false }), { live: [] });
    await stopsWhenAborted(imageDrop(parts), { image: id });
    await twice(imageDrop(parts), { image: id });
    assert.deepEqual(parts.images.list(), []);
  });

  it('refuse an image with activations, and name them', async () => {
    const { id } = await makeImage(parts, layers);
    const one = await activate(parts, id, { name: 'web' });
    const two = await activate(parts, id);
    await assert.rejects(run(imageCheck(parts), { image: id, force: false }), (error: Error) => {
      assert.match(error.message, new RegExp(`${one.id} \\(web\\)`));
      assert.match(error.message, new RegExp(two.id));
      assert.equal((error as Error & { code?: string }).code, 'image_in_use');
      return true;
    });
    const { live } = await twice(imageCheck(parts), { image: id, force: true });
    assert.deepEqual(live.sort(), [one.id, two.id].sort());
    await assert.rejects(run(imageDrop(parts), { image: id }), {
      code: 'image_in_use',
      kind: 'unrecoverable',
    });
    assert.notEqual(parts.images.find(id), null);
  });
});
