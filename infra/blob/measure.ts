import { createHash } from 'node:crypto';
import { FlydError, fromErrorRecord, toErrorRecord } from '#core/errors';
import { type DiffId, digestOfHex } from '#core/ids';
import { mediaTypeOf } from '#core/image';
import type { Limits } from '#core/limits';
import { createInflater } from '../layer/inflate.ts';
import { RingStopped, RingWriter, type SharedRing } from '../layer/ring.ts';
import type { Measured } from './journal.ts';

/**
 * What a layer's bytes are: digest and size as stored, diffID and size uncompressed, in one pass that
 * reads no faster than it inflates. Every byte counts in the digest, also those that the inflater
 * would not need. Fails as the inflater does (`layer_corrupt`, `layer_unsupported`,
 * `limit_exceeded`), and with what `stored` throws. The raw bytes also go into `ring`, for as long as
 * somebody there wants them.
 */
export async function measure(
  stored: AsyncIterable<Buffer>,
  limits: Limits,
  ring: SharedRing | null = null,
): Promise<Measured> {
  const digest = createHash('sha256');
  const diffId = createHash('sha256');
  const tap = ring === null ? null : tapInto(new RingWriter(ring));
  const inflater = createInflater(limits, (raw) => {
    diffId.update(raw);
    tap?.write(raw);
  });
  try {
    for await (const chunk of stored) {
      const inflating = inflater.write(chunk);
      digest.update(chunk); // while the thread pool inflates
      await inflating;
    }
    const { compression, storedBytes, rawBytes } = await inflater.end();
    tap?.end();
    return {
      digest: digestOfHex(digest.digest('hex')),
      diffId: digestOfHex(diffId.digest('hex')) as string as DiffId,
      size: storedBytes,
      rawSize: rawBytes,
      mediaType: mediaTypeOf(compression),
    };
  } catch (error) {
    tap?.fail();
    throw duringFetch(error);
  } finally {
    inflater.destroy();
  }
}

/** A ring whose reader may go away: what is measured does not depend on it. */
function tapInto(writer: RingWriter) {
  let wanted = true;
  return {
    write(raw: Buffer): void {
      try {
        if (wanted) writer.write(raw);
      } catch (error) {
        if (!(error instanceof RingStopped)) throw error;
        wanted = false;
      }
    },
    end: () => writer.end(),
    fail: () => writer.fail(),
  };
}

/** The reader of layers names the unpacking; here the same fault is met earlier. */
function duringFetch(error: unknown): unknown {
  if (!(error instanceof FlydError) || error.op !== 'volume.unpack') return error;
  return fromErrorRecord({ hint: hintOf(error.code), ...toErrorRecord(error), op: 'blob.fetch' });
}

/** What to do, where the reader of layers knows nothing better. */
const hintOf = (code: string): string =>
  code === 'layer_corrupt'
    ? 'it is damaged at its source, or was damaged on the way: pull again; if it stays so, store it there anew'
    : 'the layer cannot be used as it is: nothing of it was kept';
