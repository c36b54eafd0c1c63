import { parentPort, workerData } from 'node:worker_threads';
import { toErrorRecord } from '#core/errors';
import { syncfs } from './sys.ts';

/** The thread that waits for one syncfs(2); see volume-fill.ts. */
try {
  syncfs(workerData as number);
  parentPort?.postMessage(null);
} catch (error) {
  parentPort?.postMessage(toErrorRecord(error));
}
