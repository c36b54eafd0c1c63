import { createHash } from 'node:crypto';
import { crc32 } from 'node:zlib';

/** Checksums that S3 keeps with an object, by the names of their headers (`x-amz-checksum-<name>`). */
export const checksumNames = ['crc32', 'crc32c', 'crc64nvme', 'sha1', 'sha256'] as const;
export type ChecksumName = (typeof checksumNames)[number];

export interface Checksum {
  update(chunk: Buffer): void;
  /** In base64, big-endian, as in the headers. */
  digest(): string;
}

export function createChecksum(name: ChecksumName): Checksum {
  if (name === 'sha1' || name === 'sha256') {
    const hash = createHash(name);
    return { update: (chunk) => void hash.update(chunk), digest: () => hash.digest('base64') };
  }
  if (name === 'crc32') {
    let value = 0;
    return {
      update(chunk) {
        value = crc32(chunk, value);
      },
      digest: () => base64Of([value]),
    };
  }
  return name === 'crc32c' ? crc32c() : crc64nvme();
}

export const isChecksumName = (name: string): name is ChecksumName =>
  (checksumNames as readonly string[]).includes(name);

function base64Of(words: number[]): string {
  const bytes = Buffer.alloc(4 * words.length);
  for (const [index, word] of words.entries()) bytes.writeUInt32BE(word >>> 0, 4 * index);
  return bytes.toString('base64');
}

/** CRC-32C: RFC 3720 B.4, polynomial 0x1EDC6F41, reflected. */
const castagnoli = Uint32Array.from({ length: 256 }, (_, index) => {
  let value = index;
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? (value >>> 1) ^ 0x82f63b78 : value >>> 1;
  return value >>> 0;
});

function crc32c(): Checksum {
  let value = 0xffffffff;
  return {
    update(chunk) {
      for (const byte of chunk) value = (castagnoli[(value ^ byte) & 0xff] ?? 0) ^ (value >>> 8);
    },
    digest: () => base64Of([value ^ 0xffffffff]),
  };
}

/** CRC-64/NVME: polynomial 0xAD93D23594C93659, reflected, in two halves because bitwise operators have 32 bits. */
const nvmeHigh = new Uint32Array(256);
const nvmeLow = new Uint32Array(256);
for (let index = 0; index < 256; index++) {
  let high = 0;
  let low = index;
  for (let bit = 0; bit < 8; bit++) {
    const odd = low & 1;
    low = (low >>> 1) | ((high & 1) << 31);
    high >>>= 1;
    if (odd === 1) {
      high ^= 0x9a6c9329;
      low ^= 0xac4bc9b5;
    }
  }
  nvmeHigh[index] = high;
  nvmeLow[index] = low;
}

function crc64nvme(): Checksum {
  let high = 0xffffffff;
  let low = 0xffffffff;
  return {
    update(chunk) {
      for (const byte of chunk) {
        const index = (low ^ byte) & 0xff;
        low = ((low >>> 8) | (high << 24)) ^ (nvmeLow[index] ?? 0);
        high = (high >>> 8) ^ (nvmeHigh[index] ?? 0);
      }
    },
    digest: () => base64Of([high ^ 0xffffffff, low ^ 0xffffffff]),
  };
}
