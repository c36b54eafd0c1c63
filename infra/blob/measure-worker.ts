import { parentPort, workerData } from 'node:worker_threads';
import { toErrorRecord } from '#core/errors';
import { toEnd } from '../layer/inflate.ts';
import { growingFile } from './growing.ts';
import { measure } from './measure.ts';
import type { MeasureAnswer, MeasureStart } from './measuring.ts';

/** The thread of one measurement: hashes and inflates off the main thread. It only reads; see measuring.ts. */
function run({ fd, growth, limits, ring }: MeasureStart): MeasureAnswer {
  try {
    return { measured: toEnd(measure(growingFile(fd, growth), limits, ring)) };
  } catch (error) {
    return { failed: toErrorRecord(error) };
  }
}

parentPort?.postMessage(run(workerData as MeasureStart));
