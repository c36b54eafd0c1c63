import { open } from 'node:fs/promises';
import { z } from 'zod';
import { unrecoverable } from '#core/errors';
import { type Digest, parseDigest } from '#core/ids';
import type { LayerBlob, LayerRef } from '#core/image';
import { type Source, sourceText } from '#core/source';
import { errnoOf, fileError, writeDurably } from './durable.ts';

/**
 * A lock file pins a family: what was pulled the first time is the only thing that is pulled from
 * then on. It is meant to be kept under version control, so it is indented, ordered and holds nothing
 * that changes by itself. Endpoint and bucket are there for people: what the digests allow may come
 * from a mirror.
 */
export interface Lock {
  source: { endpoint: string | null; bucket: string; prefix: string } | { address: string };
  family: string;
  /** In the order in which they are applied. */
  layers: LockedLayer[];
}

export interface LockedLayer {
  key: string;
  /** Bytes as stored. */
  size: number;
  /** Of the bytes as stored. */
  digest: Digest;
}

const lockBytesMax = 4 * 1024 * 1024;

const lockSchema = z.strictObject({
  source: z.union([
    z.strictObject({ endpoint: z.string().nullable(), bucket: z.string(), prefix: z.string() }),
    z.strictObject({ address: z.string() }),
  ]),
  family: z.string().min(1),
  layers: z
    .array(
      z.strictObject({
        key: z.string().min(1),
        size: z.int().positive(),
        digest: z.string().transform((text, context) => {
          const digest = parseDigest(text);
          if (digest !== null) return digest;
          context.addIssue({ code: 'custom', message: 'not sha256: and 64 hex digits' });
          return z.NEVER;
        }),
      }),
    )
    .min(1),
});

/** The lock that pins what was pulled. */
export const lockOf = (source: Source, family: string, layers: readonly LayerBlob[]): Lock => ({
  source:
    source.kind === undefined
      ? { endpoint: source.endpoint, bucket: source.bucket, prefix: source.prefix }
      : { address: sourceText(source) },
  family,
  layers: layers.map(({ key, size, digest }) => ({ key, size, digest })),
});

/** The lock in a file, or null when there is no file. Fails with `lock_invalid`, `permission`, `system_call`. */
export async function readLockFile(path: string): Promise<Lock | null> {
  const text = await readText(path);
  if (text === null) return null;
  const hint = 'if it is yours to replace, remove it and pull again';
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    throw unrecoverable('lock_invalid', 'the lock file is not JSON', { subject: path, hint, cause: error });
  }
  const parsed = lockSchema.safeParse(json);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  const what = `${issue?.path.map(String).join('.') ?? ''}: ${issue?.message ?? 'unknown'}`;
  throw unrecoverable('lock_invalid', `the lock file is not valid: ${what}`, { subject: path, hint });
}

/** Writes the lock file, whole or not at all, readable by everybody: it holds no secret. */
export const writeLockFile = (path: string, lock: Lock): Promise<void> =>
  writeDurably(path, `${JSON.stringify(lock, null, 2)}\n`, 0o644);

/**
 * Holds the family that a source offers against the lock: the same layers, in the same order, each
 * with its key, size and digest (as far as it is known before the download). Gives the layers with
 * the digests of the lock, which the download then enforces. Fails with `lock_mismatch`, which names
 * the first difference.
 */
export function enforceLock(lock: Lock, family: string, layers: readonly LayerRef[]): LayerRef[] {
  const differ = (what: string, subject: string) =>
    unrecoverable('lock_mismatch', what, {
      subject,
      hint: 'remove the lock file only if you know why the family has changed',
    });
  if (lock.family !== family) throw differ(`the lock file is for the family ${lock.family}`, family);
  const locked = new Map(lock.layers.map((layer) => [layer.key, layer]));
  const offered = new Set(layers.map((layer) => layer.key));
  for (const { key } of lock.layers)
    if (!offered.has(key)) throw differ('the lock file has this layer, the source does not', key);
  return layers.map((layer, index) => {
    const pin = locked.get(layer.key);
    if (pin === undefined) throw differ('the source has this layer, the lock file does not', layer.key);
    if (lock.layers[index]?.key !== layer.key)
      throw differ(`the lock file has ${lock.layers[index]?.key} in the place of this layer`, layer.key);
    if (pin.size !== layer.size)
      throw differ(`the layer has ${layer.size} bytes, the lock file says ${pin.size}`, layer.key);
    if (layer.digest !== null && layer.digest !== pin.digest)
      throw differ(`the manifest gives the digest ${layer.digest}, the lock file ${pin.digest}`, layer.key);
    return { ...layer, digest: pin.digest };
  });
}

/** The text of a file that is small, or null when there is none. */
async function readText(path: string): Promise<string | null> {
  try {
    await using file = await open(path, 'r');
    const buffer = Buffer.alloc(lockBytesMax + 1);
    const { bytesRead } = await file.read(buffer, 0, buffer.length, 0);
    if (bytesRead > lockBytesMax)
      throw unrecoverable('lock_invalid', `the lock file has more than ${lockBytesMax} bytes`, {
        subject: path,
      });
    return buffer.toString('utf8', 0, bytesRead);
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return null;
    throw fileError(error, 'read', path);
  }
}
