import { open } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { recoverable } from '#core/errors';
import { fileError } from '../durable.ts';
import { flock } from '../sys.ts';

const waitMaxMs = 5 * 60_000;

/**
 * Runs `work` while this process alone holds the lock file. The kernel frees it when the process
 * dies. Waits, without blocking the event loop, up to 5 minutes; then `volume_busy`.
 */
export async function withLock<T>(path: string, op: string, work: () => Promise<T>): Promise<T> {
  const file = await open(path, 'a', 0o600).catch((error: unknown) => {
    throw fileError(error, 'open', path);
  });
  try {
    const deadline = performance.now() + waitMaxMs;
    while (!flock(file.fd, 'exclusive', true)) {
      if (performance.now() > deadline)
        throw recoverable('volume_busy', `${path} is locked by another process`, { op, subject: path });
      await sleep(20 + Math.random() * 60);
    }
    return await work();
  } finally {
    await file.close();
  }
}
