import { parentPort } from 'node:worker_threads';
import { collectAbove } from './collection.ts';

/** One of the threads of threads.ts: runs a job of a module after the other. */
export interface ThreadJob {
  module: string;
  job: unknown;
}

export type ThreadAnswer = { value: unknown } | { broken: unknown };

async function answer({ module, job }: ThreadJob): Promise<ThreadAnswer> {
  try {
    const { run } = (await import(module)) as { run: (job: unknown) => unknown };
    return { value: run(job) };
  } catch (error) {
    return { broken: error };
  }
}

/** V8 collects nothing in a thread that rests: what a large layer left would stay until another one comes. */
const restingBytes = 16 * 1024 * 1024;

parentPort?.on('message', async (job: ThreadJob) => {
  parentPort?.postMessage(await answer(job));
  collectAbove(restingBytes);
});
