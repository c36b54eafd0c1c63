import { type ErrorRecord, toErrorRecord } from '#core/errors';
import { measureFiles, type SizesJob } from './file-sizes.ts';

/** A thread that looks at files beside others, until none is left; see file-list.ts. */
export function run(job: SizesJob): ErrorRecord | null {
  try {
    for (const _ of measureFiles(job));
    return null;
  } catch (error) {
    return toErrorRecord(error);
  }
}
