import { type ErrorRecord, toErrorRecord } from '#core/errors';
import { type LookJob, listOnce, measureFiles, waitListed } from './file-looking.ts';

export interface LookOrder extends LookJob {
  /** False: names are all that is wanted. */
  measure: boolean;
}

/** A thread that looks at a folder beside others, until nothing is left to do; see file-list.ts. */
export function run({ measure, ...job }: LookOrder): ErrorRecord | null {
  try {
    if (!listOnce(job)) waitListed(job);
    if (measure) for (const _ of measureFiles(job));
    return null;
  } catch (error) {
    return toErrorRecord(error);
  }
}
