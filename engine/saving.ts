import { unrecoverable } from '#core/errors';
import { plain } from './json.ts';
import type { Json, System, Timer } from './types.ts';

/** What one attempt saved is written this often at most: a crash loses no more. */
const saveEveryMs = 1000;
const savedBytesMax = 64 * 1024;

/** The progress that one attempt saves, on its way to the database. */
export interface Saving {
  /** Throws `not_serialisable`, `snapshot_too_large`. */
  put(saved: Json): void;
  /** Writes no more. Gives what was put and not written yet; null when there is nothing. */
  end(): Json;
}

/** Hands what is put to `write`: the first at once, the rest in strides, the latest only. */
export function createSaving(src: string, system: System, write: (saved: Json) => void): Saving {
  let waiting: Json = null;
  let pause: Timer | null = null;
  let isOver = false;
  const flush = (): void => {
    pause = null;
    if (waiting === null || isOver) return;
    const saved = waiting;
    waiting = null;
    pause = system.setTimer(flush, saveEveryMs);
    write(saved);
  };
  return {
    put(saved) {
      const copy = plain(saved, `saved progress of ${src}`);
      const bytes = Buffer.byteLength(JSON.stringify(copy));
      if (bytes > savedBytesMax)
        throw unrecoverable(
          'snapshot_too_large',
          `the saved progress has ${bytes} bytes; the limit is ${savedBytesMax}`,
          { op: src, hint: 'save a position, and keep the data where the actor works' },
        );
      waiting = copy;
      if (pause === null) flush();
    },
    end() {
      pause?.cancel();
      isOver = true;
      return waiting;
    },
  };
}
