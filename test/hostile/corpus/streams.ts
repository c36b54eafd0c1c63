import { constants, gzipSync, zstdCompressSync } from 'node:zlib';
import type { StreamCase } from '../../support/stream-cases.ts';
import { block, file, header, tar, zeroBlocks } from '../../support/tar-builder.ts';

const MiB = 1 << 20;
const entries = Array.from({ length: 40 }, (_, i) => file(`d/f${i}`, `content ${i * 7919} `.repeat(i * 5)));
const raw = tar(...entries);
const gz = gzipSync(raw);
const zst = zstdCompressSync(raw, { params: { [constants.ZSTD_c_checksumFlag]: 1 } });
const zeros = Buffer.alloc(600);
const garbage = Buffer.from('garbage');

/** The archive cut in places that no block, entry or member respects, each piece compressed by itself. */
function inPieces(compress: (piece: Buffer) => Buffer): Buffer {
  const cuts = [0, 1, 100, 512, 513, 5000, raw.length - 1, raw.length];
  return Buffer.concat(cuts.slice(1).map((end, i) => compress(raw.subarray(cuts[i], end))));
}

/** RFC 8878, 3.1.2: a frame that decoders pass over. */
function skippable(bytes: number, nibble = 0): Buffer {
  const frame = Buffer.alloc(8 + bytes, 0xee);
  frame.writeUInt32LE(0x184d2a50 + nibble, 0);
  frame.writeUInt32LE(bytes, 4);
  return frame;
}

function flipped(bytes: Buffer, at: number): Buffer {
  const copy = Buffer.from(bytes);
  copy.writeUInt8(copy.readUInt8(at) ^ 0x10, at);
  return copy;
}

/** The head of an endless file, then as many members of zeros as nobody would ever wait for. */
function bomb(compress: (piece: Buffer) => Buffer): Buffer {
  const member = compress(Buffer.alloc(8 * MiB));
  const head = compress(header(file('endless', '', { size: 30 * 2 ** 30 })));
  return Buffer.concat([head, ...Array.from({ length: 3840 }, () => member)]);
}

/** A zstd frame that asks for a window of 2^31 bytes, and one raw block. */
const window2GiB = Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0x00, 21 << 3, 0x09, 0x00, 0x00, 0x78]);

export const streams: readonly StreamCase[] = [
  { rule: '65', title: 'not compressed', blob: () => raw, raw },
  { rule: '63, RFC 1952 2.2', title: 'gzip of one member', blob: () => gz, raw },
  {
    rule: '63, RFC 1952 2.2',
    title: 'gzip of many members',
    blob: () => inPieces((piece) => gzipSync(piece)),
    raw,
  },
  {
    rule: '63',
    title: 'gzip with empty members',
    blob: () => Buffer.concat([gzipSync(''), gz, gzipSync('')]),
    raw,
  },
  { rule: '63', title: 'gzip, then zeros', blob: () => Buffer.concat([gz, zeros]), raw },
  {
    rule: '63',
    title: 'gzip, then garbage',
    blob: () => Buffer.concat([gz, garbage]),
    fails: 'layer_corrupt',
  },
  {
    rule: '63',
    title: 'gzip, zeros, gzip',
    blob: () => Buffer.concat([gz, zeros, gz]),
    fails: 'layer_corrupt',
  },
  ...[1, 5, 9, 10, Math.floor(gz.length / 2), gz.length - 8, gz.length - 1].map(
    (at): StreamCase => ({
      rule: '60',
      title: `gzip cut short after ${at} of ${gz.length} bytes`,
      blob: () => gz.subarray(0, at),
      fails: 'layer_corrupt',
    }),
  ),
  ...[gz.length - 6, gz.length - 3, Math.floor(gz.length / 2)].map(
    (at): StreamCase => ({
      rule: '60, RFC 1952 2.3',
      title: `gzip with a flipped bit at ${at} of ${gz.length}`,
      blob: () => flipped(gz, at),
      fails: 'layer_corrupt',
    }),
  ),
  { rule: '64, RFC 8878', title: 'zstd of one frame', blob: () => zst, raw },
  {
    rule: '64, RFC 8878',
    title: 'zstd of many frames',
    blob: () => inPieces((piece) => zstdCompressSync(piece)),
    raw,
  },
  {
    rule: '64, RFC 8878 3.1.2',
    title: 'zstd with skippable frames first, between and last',
    blob: () =>
      Buffer.concat([
        skippable(9),
        inPieces((p) => Buffer.concat([zstdCompressSync(p), skippable(70_000, 15)])),
      ]),
    raw,
  },
  {
    rule: '62, 64',
    title: 'skippable frames and nothing else',
    blob: () => skippable(100, 3),
    raw: Buffer.alloc(0),
  },
  { rule: '64', title: 'zstd, then zeros', blob: () => Buffer.concat([zst, zeros]), raw },
  {
    rule: '64',
    title: 'zstd, then garbage',
    blob: () => Buffer.concat([zst, garbage]),
    fails: 'layer_corrupt',
  },
  {
    rule: '60, 64',
    title: 'a skippable frame that is cut short',
    blob: () => Buffer.concat([zst, skippable(100).subarray(0, 50)]),
    fails: 'layer_corrupt',
  },
  ...[4, 6, Math.floor(zst.length / 2), zst.length - 1].map(
    (at): StreamCase => ({
      rule: '60',
      title: `zstd cut short after ${at} of ${zst.length} bytes`,
      blob: () => zst.subarray(0, at),
      fails: 'layer_corrupt',
    }),
  ),
  {
    rule: '60',
    title: 'zstd with a wrong checksum',
    blob: () => flipped(zst, zst.length - 1),
    fails: 'layer_corrupt',
  },
  {
    rule: '64, RFC 8878 3.1.1.1.2',
    title: 'zstd with a window of 2 GiB',
    blob: () => window2GiB,
    fails: 'limit_exceeded',
  },
  {
    rule: '64, RFC 8878 3.1.1.1.3',
    title: 'zstd that wants a dictionary',
    blob: () => Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0x21, 1, 5, 1, 0, 0, 0, 0]),
    fails: 'layer_unsupported',
  },
  {
    rule: 'bombs, 54',
    title: 'a gzip that inflates 1000:1 without end',
    blob: () => bomb((piece) => gzipSync(piece)),
    fails: 'limit_exceeded',
  },
  {
    rule: 'bombs, 54',
    title: 'a zstd that inflates 10,000:1 without end',
    blob: () => bomb((piece) => zstdCompressSync(piece)),
    fails: 'limit_exceeded',
  },
  {
    rule: 'bombs, 61',
    title: 'zeros without end behind the end of the archive',
    blob: () => {
      const member = gzipSync(Buffer.alloc(8 * MiB));
      return Buffer.concat([gz, ...Array.from({ length: 3840 }, () => member)]);
    },
    fails: 'limit_exceeded',
  },
  {
    rule: '65',
    title: 'xz',
    blob: () => Buffer.from('fd377a585a000004e6d6b446', 'hex'),
    fails: 'layer_unsupported',
  },
  { rule: '65', title: 'bzip2', blob: () => Buffer.from('BZh91AY&SYabc'), fails: 'layer_unsupported' },
  {
    rule: '65',
    title: 'lz4',
    blob: () => Buffer.from('04224d186040820000', 'hex'),
    fails: 'layer_unsupported',
  },
  {
    rule: '43',
    title: 'text that is no archive',
    blob: () => Buffer.from('no tar at all '.repeat(100)),
    fails: 'layer_corrupt',
  },
  {
    rule: '43, 60',
    title: 'a few bytes that are no archive',
    blob: () => Buffer.from('{}'),
    fails: 'layer_corrupt',
  },
  {
    rule: '65',
    title: 'gzip inside gzip: only the outer one is taken off',
    blob: () => gzipSync(gz),
    fails: 'layer_corrupt',
  },
  {
    rule: '66',
    title: 'another archive than was fetched',
    blob: () => gzipSync(Buffer.concat([block(file('other')), zeroBlocks(2)])),
    diffIdOf: raw,
    fails: 'digest_mismatch',
  },
];
