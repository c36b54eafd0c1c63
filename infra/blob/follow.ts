import { read } from 'node:fs';
import { promisify } from 'node:util';

const readAt = promisify(read);
const chunkBytes = 256 * 1024;

/**
 * Reads a file from its start while another writes it: `extend` says how far it may read, `finish`
 * that no more will come, `fail` ends the reading with an error. Bytes are never read before they
 * were said to be there, so nothing has to be kept in memory between writer and reader.
 */
export interface Follower {
  extend(available: number): void;
  finish(): void;
  fail(error: unknown): void;
  bytes(): AsyncGenerator<Buffer, void>;
}

/** A follower of the open file `fd`; the caller closes it, after `bytes` has ended. */
export function followFile(fd: number): Follower {
  let available = 0;
  let finished = false;
  let failure: { error: unknown } | null = null;
  let wake = () => {};

  async function* bytes(): AsyncGenerator<Buffer, void> {
    let position = 0;
    for (;;) {
      if (failure !== null) throw failure.error;
      if (position < available) {
        const wanted = Math.min(chunkBytes, available - position);
        const { bytesRead, buffer } = await readAt(fd, Buffer.allocUnsafe(wanted), 0, wanted, position);
        if (bytesRead === 0) throw new Error(`the file ends at ${position}, ${available} bytes were written`);
        position += bytesRead;
        yield buffer.subarray(0, bytesRead);
      } else if (finished) return;
      else await new Promise<void>((resolve) => (wake = resolve));
    }
  }

  return {
    bytes,
    extend(to) {
      available = Math.max(available, to);
      wake();
    },
    finish() {
      finished = true;
      wake();
    },
    fail(error) {
      failure ??= { error };
      wake();
    },
  };
}
