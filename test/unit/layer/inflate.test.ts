import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { constants, gzipSync, zstdCompressSync } from 'node:zlib';
import { FlydError } from '#core/errors';
import { createInflater, type InflateLimits } from '#infra/layer/inflate';

const limits: InflateLimits = { inflationRatioMax: 200, inflationGraceBytes: 64 << 20, zstdWindowLogMax: 27 };

async function inflate(stored: Buffer, step: number, with_: Partial<InflateLimits> = {}) {
  const raw: Buffer[] = [];
  const inflater = createInflater({ ...limits, ...with_ }, (bytes) => raw.push(Buffer.from(bytes)));
  try {
    for (let at = 0; at < stored.length; at += step) await inflater.write(stored.subarray(at, at + step));
    const result = await inflater.end();
    return { ...result, raw: Buffer.concat(raw) };
  } finally {
    inflater.destroy();
  }
}

/** Every case must come out the same however the network cuts it. */
const steps = [1, 7, 64, 65_536];

async function gives(stored: Buffer, raw: Buffer, compression: string) {
  for (const step of steps) {
    const got = await inflate(stored, step);
    assert.ok(got.raw.equals(raw), `step ${step}: ${got.raw.length} bytes instead of ${raw.length}`);
    assert.deepEqual(
      [got.compression, got.storedBytes, got.rawBytes],
      [compression, stored.length, raw.length],
    );
  }
}

async function fails(stored: Buffer, code: string, with_: Partial<InflateLimits> = {}) {
  for (const step of steps)
    await assert.rejects(inflate(stored, step, with_), (error: unknown) => {
      assert.ok(error instanceof FlydError, String(error));
      assert.deepEqual([error.code, error.kind], [code, 'unrecoverable'], `step ${step}: ${error.message}`);
      return true;
    });
}

const text = Buffer.concat(Array.from({ length: 400 }, (_, i) => Buffer.from(`line ${i * 7919}\n`)));
const other = Buffer.from('second part');
const gz = gzipSync(text);
const zst = zstdCompressSync(text);
const zstChecked = zstdCompressSync(text, { params: { [constants.ZSTD_c_checksumFlag]: 1 } });
const zeros = Buffer.alloc(40);

function skippable(bytes: number, nibble = 0): Buffer {
  const frame = Buffer.alloc(8 + bytes, 0xee);
  frame.writeUInt32LE(0x184d2a50 + nibble, 0);
  frame.writeUInt32LE(bytes, 4);
  return frame;
}

describe('inflate', () => {
  it('passes plain bytes through, also none and very few', async () => {
    await gives(text, text, 'none');
    await gives(Buffer.alloc(0), Buffer.alloc(0), 'none');
    await gives(Buffer.from('abc'), Buffer.from('abc'), 'none');
  });

  it('gzip: one member, several, an empty one (case 63)', async () => {
    await gives(gz, text, 'gzip');
    await gives(Buffer.concat([gz, gzipSync(other), gz]), Buffer.concat([text, other, text]), 'gzip');
    await gives(Buffer.concat([gzipSync(''), gz]), text, 'gzip');
    await gives(gzipSync(''), Buffer.alloc(0), 'gzip');
  });

  it('gzip: zeros behind the end are padding, anything else is refused (case 63)', async () => {
    await gives(Buffer.concat([gz, zeros]), text, 'gzip');
    await fails(Buffer.concat([gz, Buffer.from('garbage')]), 'layer_corrupt');
    await fails(Buffer.concat([gz, zeros, Buffer.from('x')]), 'layer_corrupt');
    await fails(Buffer.concat([gz, zeros, gz]), 'layer_corrupt');
  });

  it('gzip: cut short anywhere, or damaged (case 60)', async () => {
    for (const cut of [11, gz.length - 9, gz.length - 8, gz.length - 1])
      await fails(gz.subarray(0, cut), 'layer_corrupt');
    await fails(Buffer.concat([gz, gz.subarray(0, 1)]), 'layer_corrupt');
    const flipped = Buffer.from(gz);
    flipped.writeUInt8(flipped.readUInt8(gz.length - 6) ^ 1, gz.length - 6);
    await fails(flipped, 'layer_corrupt');
  });

  it('zstd: one frame, several, with and without checksum (case 64)', async () => {
    await gives(zst, text, 'zstd');
    await gives(zstChecked, text, 'zstd');
    await gives(
      Buffer.concat([zst, zstdCompressSync(other), zstChecked]),
      Buffer.concat([text, other, text]),
      'zstd',
    );
    await gives(zstdCompressSync(''), Buffer.alloc(0), 'zstd');
  });

  it('zstd: skippable frames anywhere, of any kind and size (case 64)', async () => {
    await gives(Buffer.concat([skippable(9), zst]), text, 'zstd');
    await gives(
      Buffer.concat([zst, skippable(70_000, 15), zst, skippable(0)]),
      Buffer.concat([text, text]),
      'zstd',
    );
    await gives(skippable(3), Buffer.alloc(0), 'zstd');
  });

  it('zstd: zeros behind the end, garbage, cuts, damage', async () => {
    await gives(Buffer.concat([zst, zeros]), text, 'zstd');
    await gives(Buffer.concat([zst, Buffer.alloc(2)]), text, 'zstd');
    await fails(Buffer.concat([zst, Buffer.from('garbage')]), 'layer_corrupt');
    await fails(Buffer.concat([zst, zeros, Buffer.from('x')]), 'layer_corrupt');
    await fails(Buffer.concat([zst, Buffer.from('x')]), 'layer_corrupt');
    for (const cut of [10, 20, zst.length - 1]) await fails(zst.subarray(0, cut), 'layer_corrupt');
    await fails(Buffer.concat([zst, zst.subarray(0, 4)]), 'layer_corrupt');
    await fails(Buffer.concat([zst, skippable(100).subarray(0, 50)]), 'layer_corrupt');
    const flipped = Buffer.from(zstChecked);
    flipped.writeUInt8(flipped.readUInt8(zstChecked.length - 1) ^ 1, zstChecked.length - 1);
    await fails(flipped, 'layer_corrupt');
  });

  it('zstd: a window above the limit is refused before it is allocated', async () => {
    const big = zstdCompressSync(Buffer.alloc(3 << 20, 'x'), {
      params: { [constants.ZSTD_c_windowLog]: 22, [constants.ZSTD_c_contentSizeFlag]: 0 },
    });
    await fails(big, 'limit_exceeded', { zstdWindowLogMax: 20 });
    const claims = Buffer.from([
      0x28,
      0xb5,
      0x2f,
      0xfd,
      0xe0,
      ...Array.from({ length: 8 }, () => 0xff),
      1,
      0,
      0,
    ]);
    await fails(claims, 'limit_exceeded');
  });

  it('zstd: a dictionary and reserved bits', async () => {
    await fails(Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0x21, 1, 5, 1, 0, 0, 0, 0]), 'layer_unsupported');
    await fails(Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0x28, 5, 1, 0, 0, 0, 0, 0]), 'layer_corrupt');
    await fails(Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0x20, 5, 7, 0, 0, 0, 0, 0]), 'layer_corrupt');
  });

  it('names compressions that it does not read', async () => {
    await fails(Buffer.from('fd377a585a000004e6d6b446', 'hex'), 'layer_unsupported');
    await fails(Buffer.from('BZh91AY&SYabc'), 'layer_unsupported');
    await fails(Buffer.from('04224d186440a70000000000', 'hex'), 'layer_unsupported');
  });

  it('stops at the inflation ratio, but not within the grace', async () => {
    const bomb = Buffer.alloc(4 << 20);
    for (const stored of [gzipSync(bomb), zstdCompressSync(bomb)]) {
      await gives(stored, bomb, stored[0] === 0x1f ? 'gzip' : 'zstd');
      await fails(stored, 'limit_exceeded', { inflationGraceBytes: 1 << 20 });
    }
  });

  it('an error of the receiver comes out of write or end, and destroy ends a pending write', async () => {
    const inflater = createInflater(limits, () => {
      throw new RangeError('full');
    });
    await assert.rejects(async () => {
      await inflater.write(gz);
      await inflater.end();
    }, RangeError);
    const stopped = createInflater(limits, () => {});
    const pending = stopped.write(gzipSync(Buffer.alloc(64 << 20)));
    stopped.destroy();
    await assert.rejects(pending, { code: 'layer_corrupt' });
  });
});
