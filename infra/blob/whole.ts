import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import { FlydError, unrecoverable } from '#core/errors';
import type { Digest } from '#core/ids';
import type { Limits } from '#core/limits';
import { errnoOf, fileError } from '../durable.ts';
import { orAbort } from './files.ts';
import type { Measured } from './journal.ts';
import { type Measuring, startMeasuring } from './measuring.ts';

export interface WholeBlob {
  path: string;
  digest: Digest;
  limits: Limits;
  signal?: AbortSignal | undefined;
}

/** What a layer's bytes cannot be if they were once verified: they are not the same any more. */
const rot: readonly string[] = ['layer_corrupt', 'layer_unsupported'];

/**
 * Reads a whole blob and says what it is. Fails with `layer_missing` when it is not there,
 * `digest_mismatch` when its bytes are not what its name says, `limit_exceeded`, or the signal's reason.
 */
export async function measureWhole({ path, digest, limits, signal }: WholeBlob): Promise<Measured> {
  const rotten = (what: string, cause?: unknown) =>
    unrecoverable('digest_mismatch', `the stored layer has rotted: ${what}`, {
      subject: digest,
      hint: 'pull again: it is fetched anew',
      cause,
    });
  const data = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW).catch((error) => {
    if (errnoOf(error) === 'ENOENT')
      throw unrecoverable('layer_missing', 'the blob store does not have this layer', { subject: digest });
    throw fileError(error, 'open', path);
  });
  let measuring: Measuring | undefined;
  try {
    const { size } = await data.stat();
    measuring = startMeasuring(data.fd, size, limits);
    measuring.extend(size);
    measuring.finish();
    const measured = await orAbort(measuring.result, signal);
    if (measured.digest === digest) return measured;
    throw rotten(`its bytes have the digest ${measured.digest}`);
  } catch (error) {
    if (error instanceof FlydError && rot.includes(error.code)) throw rotten(error.message, error);
    throw error;
  } finally {
    await measuring?.stop();
    await data.close();
  }
}
