import { toErrorRecord } from '#core/errors';
import { toEnd } from '../layer/inflate.ts';
import { growingFile } from './growing.ts';
import { measure } from './measure.ts';
import type { MeasureAnswer, MeasureJob } from './measuring.ts';

/** The thread of one measurement: hashes and inflates off the main thread. It only reads; see measuring.ts. */
export function run({ fd, growth, limits, ring }: MeasureJob): MeasureAnswer {
  try {
    return { measured: toEnd(measure(growingFile(fd, growth), limits, ring)) };
  } catch (error) {
    return { failed: toErrorRecord(error) };
  }
}
