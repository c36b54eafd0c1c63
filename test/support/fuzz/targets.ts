import assert from 'node:assert/strict';
import { FlydError } from '#core/errors';
import { defaultLimits } from '#core/limits';
import { Report } from '#infra/layer/report';
import { BlockReader, sourceOf } from '#infra/layer/source';
import { TarReader } from '#infra/layer/tar';
import { parseConfig, parseImageDocument } from '#infra/oci/documents';
import { corpus } from '../../hostile/corpus/index.ts';
import type { Random } from '../random.ts';
import { tar } from '../tar-builder.ts';
import type { FuzzTarget } from './fuzzer.ts';

/** Errors that flyd knows are answers; anything else is a fault of flyd. */
function answer(act: () => void): string {
  try {
    act();
    return 'read';
  } catch (error) {
    if (!(error instanceof FlydError) || error.kind !== 'unrecoverable') throw error;
    return error.code;
  }
}

/** Reads an archive to its end, its bytes in pieces of `step`; what was read, as text. */
function readTar(input: Buffer, step: number): string {
  const said: string[] = [];
  const limits = { ...defaultLimits, sparseFragmentsMax: 1000, paxBytesMax: 65_536 };
  const code = answer(() => {
    const reader = new TarReader(new BlockReader(sourceOf(input, step)), limits, new Report());
    for (let entry = reader.next(); entry !== null; entry = reader.next()) {
      const { path, type, size, stored, mode, uid, gid, sparse } = entry;
      assert.ok(
        [size, stored, mode, uid, gid].every((number) => Number.isSafeInteger(number) && number >= 0),
      );
      assert.ok(mode <= 0o7777 && uid < 2 ** 32 - 1 && gid < 2 ** 32 - 1);
      assert.ok(path.length <= limits.pathBytesMax);
      let end = 0;
      for (const { offset, length } of sparse?.fragments ?? []) {
        assert.ok(offset >= end && offset + length <= size);
        end = offset + length;
      }
      said.push(`${type} ${path.toString('latin1')} ${size} ${stored} ${mode} ${uid} ${gid}`);
      // The reader passes over bodies that nobody took.
      if (type !== 'file' || said.length % 2 === 0) continue;
      let body = 0;
      for (let piece = reader.body(700); piece.length > 0; piece = reader.body(700)) body += piece.length;
      assert.equal(body, stored);
    }
  });
  return [...said, code].join('\n');
}

/** Bytes that mean something in a field: signs, digits, base-256, NULs. */
const tokens = ['\0', ' ', '0', '7', '8', '-', '\x80', '\xff', '/', '..', '.wh.', '\n', '=', '99', '1', 'x'];

function mutateBytes(input: Buffer, other: Buffer, r: Random): Buffer {
  const bytes = Buffer.from(input);
  if (bytes.length === 0) return Buffer.from(other);
  const at = r.below(bytes.length);
  switch (r.below(5)) {
    case 0:
      bytes.writeUInt8(r.below(256), at);
      return bytes;
    case 1:
      bytes.write(r.pick(tokens), at, 'latin1');
      return bytes;
    case 2:
      return Buffer.concat([bytes.subarray(0, at), other.subarray(r.below(other.length))]);
    case 3:
      return Buffer.concat([
        bytes.subarray(0, at),
        bytes.subarray(Math.min(bytes.length, at + 1 + r.below(64))),
      ]);
    default:
      return Buffer.concat([
        bytes.subarray(0, at),
        Buffer.from(r.pick(tokens), 'latin1'),
        bytes.subarray(at),
      ]);
  }
}

const fields = [0, 100, 108, 116, 124, 136, 156, 157, 257, 329, 337, 345, 386, 482, 483, 504];

/** Changes a field of one block and mends the sum, cuts, repeats and joins whole blocks: else nothing gets past the checksum. */
function mutateTar(input: Buffer, other: Buffer, r: Random): Buffer {
  const blocks = Math.floor(input.length / 512);
  if (blocks === 0 || r.chance(0.1)) return mutateBytes(input, other, r).subarray(0, 64 * 1024);
  const at = r.below(blocks) * 512;
  if (r.chance(0.25)) {
    const from = r.below(Math.floor(other.length / 512) + 1) * 512;
    const pieces = [
      input.subarray(0, at),
      other.subarray(from, from + 512 * (1 + r.below(4))),
      input.subarray(at),
    ];
    return Buffer.concat(pieces).subarray(0, 64 * 1024);
  }
  const bytes = Buffer.from(input);
  for (let edits = 1 + r.below(3); edits > 0; edits--) {
    const field = at + r.pick(fields) + r.below(3);
    if (r.chance(0.6)) bytes.write(r.pick(tokens), Math.min(field, bytes.length - 2), 'latin1');
    else bytes.writeUInt8(r.below(256), Math.min(field, bytes.length - 1));
  }
  const header = bytes.subarray(at, at + 512);
  if (r.chance(0.85)) {
    header.fill(' ', 148, 156);
    const sum = header.reduce((total, byte) => total + byte, 0);
    header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  }
  return bytes;
}

const odd: readonly unknown[] = [
  null,
  true,
  -1,
  1e308,
  2 ** 53,
  '',
  '\0',
  '../..',
  'sha256:x',
  [],
  {},
  [[]],
  '__proto__',
];

/** Puts something odd, or a piece of another document, in the place of one value, anywhere in it. */
function mutateJson(input: Buffer, other: Buffer, r: Random): Buffer {
  if (r.chance(0.2)) return mutateBytes(input, other, r);
  let root: unknown;
  let donor: unknown;
  try {
    root = JSON.parse(input.toString());
    donor = JSON.parse(other.toString());
  } catch {
    return mutateBytes(input, other, r);
  }
  const places: { holder: Record<string, unknown>; key: string }[] = [];
  const ahead: unknown[] = [root];
  for (let value = ahead.pop(); value !== undefined; value = ahead.pop()) {
    if (typeof value !== 'object' || value === null) continue;
    const holder = value as Record<string, unknown>;
    for (const key of Object.keys(holder)) {
      places.push({ holder, key });
      ahead.push(holder[key]);
    }
  }
  if (places.length === 0) return Buffer.from(JSON.stringify(r.pick(odd)));
  const { holder, key } = r.pick(places);
  if (r.chance(0.2)) delete holder[key];
  else holder[key] = r.chance(0.3) ? donor : r.pick(odd);
  return Buffer.from(JSON.stringify(root)).subarray(0, 64 * 1024);
}

const digest = `sha256:${'a'.repeat(64)}`;
const descriptor = { mediaType: 'application/vnd.oci.image.layer.v1.tar+gzip', digest, size: 5 };
const documents = [
  {
    schemaVersion: 2,
    mediaType: 'application/vnd.oci.image.manifest.v1+json',
    config: { ...descriptor, mediaType: 'application/vnd.oci.image.config.v1+json' },
    layers: [descriptor],
  },
  {
    schemaVersion: 2,
    mediaType: 'application/vnd.oci.image.index.v1+json',
    manifests: [{ ...descriptor, platform: { os: 'linux', architecture: 'arm64', variant: 'v8' } }],
  },
  {
    architecture: 'amd64',
    os: 'linux',
    config: { Env: ['A=b'], Labels: { a: 'b' } },
    rootfs: { type: 'layers', diff_ids: [digest] },
  },
];

export const targets: readonly FuzzTarget[] = [
  {
    name: 'tar',
    sources: ['/infra/layer/'],
    seeds: () =>
      Object.values(corpus)
        .flat()
        .flatMap((one) => one.raw ?? (one.layers ?? []).map((entries) => tar(...entries)))
        .filter(({ length }) => length <= 16 * 1024),
    mutate: mutateTar,
    run: (input) => {
      const whole = readTar(input, input.length);
      assert.equal(readTar(input, 211), whole, 'it depends on how the bytes arrive');
    },
  },
  {
    name: 'oci',
    sources: ['/infra/oci/documents', '/core/ids', '/core/platform'],
    seeds: () => documents.map((document) => Buffer.from(JSON.stringify(document))),
    mutate: mutateJson,
    run: (input) => {
      answer(() => void parseImageDocument(input, '', 'fuzzed', defaultLimits));
      answer(() => void parseConfig(input, 1, 'fuzzed'));
    },
  },
];
