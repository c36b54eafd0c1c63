import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { constants, gzipSync, zstdCompressSync } from 'node:zlib';
import { FlydError } from '#core/errors';
import { createInflater, type InflateLimits, toEnd } from '#infra/layer/inflate';

const limits: InflateLimits = { inflationRatioMax: 200, inflationGraceBytes: 64 << 20, zstdWindowLogMax: 27 };

function inflate(stored: Buffer, step: number, with_: Partial<InflateLimits> = {}) {
  const raw: Buffer[] = [];
  const room = Buffer.alloc(100_000);
  const inflater = createInflater(
    { ...limits, ...with_ },
    { room: () => room, filled: (bytes) => raw.push(Buffer.from(bytes)) },
  );
  try {
    for (let at = 0; at < stored.length; at += step) toEnd(inflater.write(stored.subarray(at, at + step)));
    return { ...toEnd(inflater.end()), raw: Buffer.concat(raw) };
  } finally {
    inflater.destroy();
  }
}

/** Every case must come out the same however the network cuts it. */
const steps = [1, 7, 64, 65_536];

function gives(stored: Buffer, raw: Buffer, compression: string) {
  for (const step of steps) {
    const got = inflate(stored, step);
    assert.ok(got.raw.equals(raw), `step ${step}: ${got.raw.length} bytes instead of ${raw.length}`);
    assert.deepEqual(
      [got.compression, got.storedBytes, got.rawBytes],
      [compression, stored.length, raw.length],
    );
  }
}

function fails(stored: Buffer, code: string, with_: Partial<InflateLimits> = {}) {
  for (const step of steps)
    assert.throws(
      () => inflate(stored, step, with_),
      (error: unknown) => {
        assert.ok(error instanceof FlydError, String(error));
        assert.deepEqual([error.code, error.kind], [code, 'unrecoverable'], `step ${step}: ${error.message}`);
        return true;
      },
    );
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
  it('passes plain bytes through, also none and very few', () => {
    gives(text, text, 'none');
    gives(Buffer.alloc(0), Buffer.alloc(0), 'none');
    gives(Buffer.from('abc'), Buffer.from('abc'), 'none');
  });

  it('gzip: one member, several, an empty one (case 63)', () => {
    gives(gz, text, 'gzip');
    gives(Buffer.concat([gz, gzipSync(other), gz]), Buffer.concat([text, other, text]), 'gzip');
    gives(Buffer.concat([gzipSync(''), gz]), text, 'gzip');
    gives(gzipSync(''), Buffer.alloc(0), 'gzip');
  });

  it('gzip: zeros behind the end are padding, anything else is refused (case 63)', () => {
    gives(Buffer.concat([gz, zeros]), text, 'gzip');
    fails(Buffer.concat([gz, Buffer.from('garbage')]), 'layer_corrupt');
    fails(Buffer.concat([gz, zeros, Buffer.from('x')]), 'layer_corrupt');
    fails(Buffer.concat([gz, zeros, gz]), 'layer_corrupt');
  });

  it('gzip: cut short anywhere, or damaged (case 60)', () => {
    for (const cut of [11, gz.length - 9, gz.length - 8, gz.length - 1])
      fails(gz.subarray(0, cut), 'layer_corrupt');
    fails(Buffer.concat([gz, gz.subarray(0, 1)]), 'layer_corrupt');
    const flipped = Buffer.from(gz);
    flipped.writeUInt8(flipped.readUInt8(gz.length - 6) ^ 1, gz.length - 6);
    fails(flipped, 'layer_corrupt');
  });

  it('zstd: one frame, several, with and without checksum (case 64)', () => {
    gives(zst, text, 'zstd');
    gives(zstChecked, text, 'zstd');
    gives(
      Buffer.concat([zst, zstdCompressSync(other), zstChecked]),
      Buffer.concat([text, other, text]),
      'zstd',
    );
    gives(zstdCompressSync(''), Buffer.alloc(0), 'zstd');
  });

  it('zstd: skippable frames anywhere, of any kind and size (case 64)', () => {
    gives(Buffer.concat([skippable(9), zst]), text, 'zstd');
    gives(
      Buffer.concat([zst, skippable(70_000, 15), zst, skippable(0)]),
      Buffer.concat([text, text]),
      'zstd',
    );
    gives(skippable(3), Buffer.alloc(0), 'zstd');
  });

  it('zstd: zeros behind the end, garbage, cuts, damage', () => {
    gives(Buffer.concat([zst, zeros]), text, 'zstd');
    gives(Buffer.concat([zst, Buffer.alloc(2)]), text, 'zstd');
    fails(Buffer.concat([zst, Buffer.from('garbage')]), 'layer_corrupt');
    fails(Buffer.concat([zst, zeros, Buffer.from('x')]), 'layer_corrupt');
    fails(Buffer.concat([zst, Buffer.from('x')]), 'layer_corrupt');
    for (const cut of [10, 20, zst.length - 1]) fails(zst.subarray(0, cut), 'layer_corrupt');
    fails(Buffer.concat([zst, zst.subarray(0, 4)]), 'layer_corrupt');
    fails(Buffer.concat([zst, skippable(100).subarray(0, 50)]), 'layer_corrupt');
    const flipped = Buffer.from(zstChecked);
    flipped.writeUInt8(flipped.readUInt8(zstChecked.length - 1) ^ 1, zstChecked.length - 1);
    fails(flipped, 'layer_corrupt');
  });

  it('zstd: a window above the limit is refused before it is allocated', () => {
    const big = zstdCompressSync(Buffer.alloc(3 << 20, 'x'), {
      params: { [constants.ZSTD_c_windowLog]: 22, [constants.ZSTD_c_contentSizeFlag]: 0 },
    });
    fails(big, 'limit_exceeded', { zstdWindowLogMax: 20 });
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
    fails(claims, 'limit_exceeded');
  });

  it('zstd: a dictionary and reserved bits', () => {
    fails(Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0x21, 1, 5, 1, 0, 0, 0, 0]), 'layer_unsupported');
    fails(Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0x28, 5, 1, 0, 0, 0, 0, 0]), 'layer_corrupt');
    fails(Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0x20, 5, 7, 0, 0, 0, 0, 0]), 'layer_corrupt');
  });

  it('names compressions that it does not read', () => {
    fails(Buffer.from('fd377a585a000004e6d6b446', 'hex'), 'layer_unsupported');
    fails(Buffer.from('BZh91AY&SYabc'), 'layer_unsupported');
    fails(Buffer.from('04224d186440a70000000000', 'hex'), 'layer_unsupported');
  });

  it('stops at the inflation ratio, but not within the grace', () => {
    const bomb = Buffer.alloc(4 << 20);
    for (const stored of [gzipSync(bomb), zstdCompressSync(bomb)]) {
      gives(stored, bomb, stored[0] === 0x1f ? 'gzip' : 'zstd');
      fails(stored, 'limit_exceeded', { inflationGraceBytes: 1 << 20 });
    }
  });

  it('fills whatever room it gets, works in steps, and may be stopped between them', () => {
    const made: number[] = [];
    const room = Buffer.alloc(1000);
    const inflater = createInflater(limits, { room: () => room, filled: (raw) => made.push(raw.length) });
    const steps = inflater.write(gzipSync(Buffer.alloc(64 << 20)));
    assert.equal(steps.next().done, false);
    assert.equal(steps.next().done, false);
    assert.deepEqual(made, [1000, 1000]);
    inflater.destroy();
    inflater.destroy();
  });

  it('an error of the receiver comes out of write', () => {
    const full = () => {
      throw new RangeError('full');
    };
    const inflater = createInflater(limits, { room: () => Buffer.alloc(100), filled: full });
    assert.throws(() => toEnd(inflater.write(gz)), RangeError);
    inflater.destroy();
  });
});
