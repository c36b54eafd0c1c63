import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FlydError } from '#core/errors';
import { poolSize } from '#infra/volumes/pool-size';

const KiB = 1024;
const MiB = 1024 * KiB;
const GiB = 1024 * MiB;

test('the defaults follow thin-provisioning.rst, with room', () => {
  const size = poolSize({ dataBytes: 10 * GiB });
  assert.equal(size.blockBytes, 64 * KiB);
  assert.ok(size.metaBytes >= (2 * 48 * 10 * GiB) / (64 * KiB));
  assert.equal(size.metaBytes % (4 * MiB), 0);
  assert.equal(size.lowWaterBlocks, Math.floor((10 * GiB) / (64 * KiB) / 10));
  assert.deepEqual(size.warnings, []);
});

test('small pools get the 2 MiB of metadata and a mark above zero', () => {
  const size = poolSize({ dataBytes: 64 * KiB });
  assert.ok(size.metaBytes >= 2 * MiB);
  assert.equal(size.lowWaterBlocks, 1);
});

test('very large pools get larger blocks, so that the metadata fits in what the kernel uses', () => {
  const size = poolSize({ dataBytes: 100 * 1024 * GiB });
  assert.ok(size.blockBytes > 64 * KiB);
  assert.ok(size.metaBytes <= 255 * (1 << 14) * 4096);
  assert.deepEqual(size.warnings, []);
});

test("the seed's numbers are granted, with two warnings", () => {
  const size = poolSize({
    dataBytes: 2 * GiB,
    metaBytes: 1 * MiB,
    blockBytes: 2048 * 512,
    lowWaterBlocks: 32_768,
  });
  assert.deepEqual([size.metaBytes, size.blockBytes, size.lowWaterBlocks], [1 * MiB, 1 * MiB, 32_768]);
  assert.equal(size.warnings.length, 2);
});

test('data is a whole number of blocks', () => {
  assert.equal(poolSize({ dataBytes: GiB + 1000 }).dataBytes, GiB);
});

test('what the kernel would refuse is refused', () => {
  const refused = (error: unknown) => error instanceof FlydError && error.code === 'usage';
  for (const blockBytes of [32 * KiB, 65 * KiB, 2 * GiB])
    assert.throws(() => poolSize({ dataBytes: 10 * GiB, blockBytes }), refused);
  assert.throws(() => poolSize({ dataBytes: KiB }), refused);
  assert.throws(() => poolSize({ dataBytes: GiB, metaBytes: 4096 }), refused);
});
