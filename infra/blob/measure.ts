import { createHash } from 'node:crypto';
import { FlydError, fromErrorRecord, toErrorRecord } from '#core/errors';
import { type DiffId, digestOfHex } from '#core/ids';
import { mediaTypeOf } from '#core/image';
import type { Limits } from '#core/limits';
import { fileError, isSystemError } from '../durable.ts';
import { createInflater, type RawSink } from '../layer/inflate.ts';
import { RingStopped, RingWriter } from '../layer/ring.ts';
import type { SharedRing } from '../layer/ring-memory.ts';
import type { Measured } from './journal.ts';

/**
 * What a layer's bytes are: digest and size as stored, diffID and size uncompressed, in one pass. Every
 * byte counts in the digest, also those that the inflater would not need. Fails as the inflater does
 * (`layer_corrupt`, `layer_unsupported`, `limit_exceeded`), and with what `stored` throws. The raw bytes
 * are left in `ring`, for as long as somebody there wants them. Works in the steps of the inflater.
 */
export function* measure(
  stored: Iterable<Buffer>,
  limits: Limits,
  ring: SharedRing | null = null,
): Generator<void, Measured> {
  const digest = createHash('sha256');
  const place = ring === null ? scratch() : tapInto(new RingWriter(ring, { sum: true }));
  const inflater = createInflater(limits, place);
  try {
    for (const chunk of stored) {
      digest.update(chunk);
      yield* inflater.write(chunk);
    }
    const { compression, storedBytes, rawBytes } = yield* inflater.end();
    const diffId = place.sum();
    place.end();
    return {
      digest: digestOfHex(digest.digest('hex')),
      diffId: digestOfHex(diffId) as string as DiffId,
      size: storedBytes,
      rawSize: rawBytes,
      mediaType: mediaTypeOf(compression),
    };
  } catch (error) {
    place.fail();
    throw duringFetch(error);
  } finally {
    inflater.destroy();
  }
}

/** Where raw bytes go; they are hashed there. */
interface Place extends RawSink {
  /** The SHA-256 of all of them, in hex. */
  sum(): string;
  end(): void;
  fail(): void;
}

const scratchBytes = 256 * 1024;

/** For raw bytes that nobody wants. */
function scratch(): Place {
  const room = Buffer.allocUnsafe(scratchBytes);
  const hash = createHash('sha256');
  return {
    room: () => room,
    filled: (raw) => hash.update(raw),
    sum: () => hash.digest('hex'),
    end: () => {},
    fail: () => {},
  };
}

/** A ring whose reader may go away: what is measured does not depend on it. */
function tapInto(writer: RingWriter): Place {
  let aside: Buffer | null = null;
  return {
    room() {
      if (aside !== null) return aside;
      try {
        return writer.reserve();
      } catch (error) {
        if (!(error instanceof RingStopped)) throw error;
        writer.leave();
        aside = Buffer.allocUnsafe(scratchBytes);
        return aside;
      }
    },
    filled(raw) {
      if (aside === null) writer.commit(raw.length);
      else writer.addToSum(raw);
    },
    sum: () => writer.sum(),
    end: () => writer.end(),
    fail: () => writer.fail(),
  };
}

/** The reader of layers names the unpacking; here the same fault is met earlier. */
function duringFetch(error: unknown): unknown {
  if (isSystemError(error)) return fileError(error, 'read', 'what was fetched');
  if (!(error instanceof FlydError) || error.op !== 'volume.unpack') return error;
  return fromErrorRecord({ hint: hintOf(error.code), ...toErrorRecord(error), op: 'blob.fetch' });
}

/** What to do, where the reader of layers knows nothing better. */
const hintOf = (code: string): string =>
  code === 'layer_corrupt'
    ? 'it is damaged at its source, or was damaged on the way: pull again; if it stays so, store it there anew'
    : 'the layer cannot be used as it is: nothing of it was kept';
