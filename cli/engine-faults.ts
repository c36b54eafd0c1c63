import { FlydError } from '#core/errors';
import type { Log } from '#infra/log';
import { type Output, oneLine } from './output.ts';

export interface EngineFaultParts {
  out: Pick<Output, 'note'>;
  log: Log;
  /** How long the database may go on failing before this process gives up, in ms. */
  patienceMs: number;
}

/** What becomes of a fault of the engine itself, which is one of its database or a bug. */
export interface EngineFaults {
  take(fault: unknown): void;
  /** A commit went well. */
  clear(): void;
}

/**
 * What may heal is told once and waited out; what does not heal in time, or cannot, ends the process by an
 * uncaught throw, as a crash would: the runs are safe on the disk, and this process cannot be trusted.
 */
export function createEngineFaults({ out, log, patienceMs }: EngineFaultParts): EngineFaults {
  let since: number | null = null;
  return {
    take(fault) {
      log.info({ err: fault }, 'fault of the engine');
      const heals = fault instanceof FlydError && fault.kind === 'recoverable';
      const now = performance.now();
      if (heals && since === null)
        out.note(`${oneLine(fault.message)} [${fault.code}]: waiting, then going on`);
      since ??= now;
      if (heals && now - since < patienceMs) return;
      queueMicrotask(() => {
        throw fault;
      });
    },
    clear() {
      if (since !== null) out.note('the database works again');
      since = null;
    },
  };
}
