import { parentPort, workerData } from 'node:worker_threads';
import { collectYoung } from '#infra/collection';

const { gate, threads } = workerData as { gate: SharedArrayBuffer; threads: number };
const count = new Int32Array(gate);

// All at the same moment, as near as threads can be.
Atomics.add(count, 0, 1);
while (Atomics.load(count, 0) < threads);
collectYoung();
parentPort?.postMessage('collected');
