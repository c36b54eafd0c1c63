import type { Readable } from 'node:stream';
import type { FlydError } from '#core/errors';

/** Who makes errors of what goes wrong with an answer: the adapter that asked. */
export interface Judge {
  unavailable(what: string): FlydError;
  protocol(what: string): FlydError;
  /** Of whatever the connection threw. */
  thrown(error: unknown): FlydError;
}

export interface BodyGuard {
  judge: Judge;
  /** Milliseconds without one byte, while somebody waits for one, after which the source counts as dead. */
  idleMs: number;
  /** The slowest that an answer may come; default: however slow. */
  pace?: Pace | undefined;
  signal: AbortSignal | undefined;
}

/** A source that trickles holds a pull up as one that stalls does, and is never idle. */
export interface Pace {
  /** Bytes a second ... */
  bytesMin: number;
  /** ... on the average of so many milliseconds of waiting for it. */
  overMs: number;
}

/**
 * The chunks of a body, in order. It ends by itself only when the body was whole by HTTP's own
 * framing; a cut, a stall or a trickle is `source_unavailable`, an abort the signal's reason. Time that the
 * reader takes for itself does not count as one. Leaving the loop closes the connection.
 */
export async function* guardedBody(body: Readable, guard: BodyGuard): AsyncGenerator<Buffer, void> {
  const { judge, idleMs, signal } = guard;
  const measure = guard.pace === undefined ? null : createPaceMeter(guard.pace);
  let waiting = false;
  const timer = setTimeout(() => {
    if (waiting) body.destroy(judge.unavailable(`not one byte came for ${idleMs} ms`));
    else timer.refresh();
  }, idleMs);
  const stop = () => body.destroy();
  signal?.addEventListener('abort', stop, { once: true });
  const chunks = body[Symbol.asyncIterator]();
  try {
    for (;;) {
      signal?.throwIfAborted();
      waiting = true;
      timer.refresh();
      const since = performance.now();
      const next = await chunks.next();
      waiting = false;
      signal?.throwIfAborted();
      if (next.done === true) return;
      const slow = measure?.((next.value as Buffer).length, performance.now() - since) ?? null;
      if (slow !== null) throw judge.unavailable(slow);
      yield next.value as Buffer;
    }
  } catch (error) {
    signal?.throwIfAborted();
    throw judge.thrown(error);
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener('abort', stop);
    body.destroy();
  }
}

/** A whole body of an answer that is known to be small; `source_protocol` when it is larger than `bytesMax`. */
export async function smallBody(body: Readable, bytesMax: number, guard: BodyGuard): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of guardedBody(body, guard)) {
    bytes += chunk.length;
    if (bytes > bytesMax) throw guard.judge.protocol(`the answer is larger than ${bytesMax} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

/** Takes the bytes of each chunk and the ms that it was waited for; says so when a whole span of waiting was too slow. */
function createPaceMeter({ bytesMin, overMs }: Pace): (bytes: number, waitedMs: number) => string | null {
  let bytes = 0;
  let waitedMs = 0;
  return (more, ms) => {
    bytes += more;
    waitedMs += ms;
    if (waitedMs < overMs) return null;
    const rate = (bytes * 1000) / waitedMs;
    bytes = 0;
    waitedMs = 0;
    return rate < bytesMin ? `only ${Math.round(rate)} bytes a second came; ${bytesMin} are the least` : null;
  };
}
