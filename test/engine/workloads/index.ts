import type { Workload } from '#engine/testing/index';
import { batchWorkload } from './batch.ts';
import { copyWorkload } from './copy.ts';
import { flowWorkload } from './flow.ts';
import { flydWorkload } from './flyd.ts';
import { orderWorkload } from './order.ts';
import { talkWorkload } from './talk.ts';

/** What the engine is simulated with. A seed's workload is `seed % workloads.length`, so: add at the end only. */
export const workloads: readonly Workload[] = [
  orderWorkload,
  batchWorkload,
  talkWorkload,
  flydWorkload,
  flowWorkload,
  copyWorkload,
];
