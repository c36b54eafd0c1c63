import { parentPort, workerData } from 'node:worker_threads';
import { toErrorRecord } from '#core/errors';
import { followFile } from './follow.ts';
import { measure } from './measure.ts';
import type { MeasureAnswer, MeasureMessage, MeasureStart } from './measuring.ts';

/** The thread of one measurement: hashes and inflates off the main thread. It only reads; see measuring.ts. */
if (parentPort === null) throw new Error('measure-worker is started by measuring.ts');
const port = parentPort;
const { fd, limits, ring } = workerData as MeasureStart;
const follower = followFile(fd);

port.on('message', (message: MeasureMessage) => {
  if ('available' in message) follower.extend(message.available);
  else follower.finish();
});

const answer: MeasureAnswer = await measure(follower.bytes(), limits, ring).then(
  (measured) => ({ measured }),
  (error: unknown) => ({ failed: toErrorRecord(error) }),
);
port.postMessage(answer);
port.close();
