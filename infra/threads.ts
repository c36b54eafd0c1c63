import { Worker } from 'node:worker_threads';
import { recoverable } from '#core/errors';
import type { ThreadAnswer } from './thread.ts';

/**
 * Threads for work that must not hold up the main one. A thread that has ended its job waits for the next a
 * while: starting one, and warming up its code, costs more than many a job. There are as many as are busy
 * at once, for jobs wait for one another.
 */
const idleMs = 10_000;
const idle: Thread[] = [];

interface Thread {
  worker: Worker;
  retire: NodeJS.Timeout | null;
  isGone: boolean;
}

/**
 * The URL of a module beside the caller's, whose name is given without its ending: the same code runs from
 * the sources and from the built package.
 */
export const besideModule = (caller: string, name: string): URL =>
  new URL(`${name}.${caller.endsWith('.ts') ? 'ts' : 'js'}`, caller);

/**
 * Calls `run(job)` of a module in another thread, and gives what it gives. Both are copied; shared memory
 * stays shared. `run` tells of its failures in what it gives: this rejects (`unclassified`, recoverable) only
 * when the thread breaks down.
 */
export async function inThread<Job, Answer>(module: URL, job: Job): Promise<Answer> {
  const thread = idle.pop() ?? start();
  if (thread.retire !== null) clearTimeout(thread.retire);
  thread.worker.ref();
  const answer = await ask(thread.worker, { module: module.href, job });
  rest(thread);
  if ('broken' in answer) throw brokenDown(answer.broken);
  return answer.value as Answer;
}

/** Starts threads ahead of jobs that are about to come, until so many are idle. They keep no process alive. */
export function startThreads(count: number): void {
  while (idle.length < count) rest(start());
}

function start(): Thread {
  const worker = new Worker(besideModule(import.meta.url, './thread'), {
    name: 'flyd',
    // Little of what a job makes outlives it long; V8 would let each thread's young objects grow to 48 MiB.
    resourceLimits: { maxYoungGenerationSizeMb: 6 },
    trackUnmanagedFds: false, // fds are opened by system calls of our own
  });
  const thread: Thread = { worker, retire: null, isGone: false };
  // One that breaks down while it rests takes nothing along; who has given it a job hears of it in `ask`.
  worker.on('error', () => forget(thread)).on('exit', () => forget(thread));
  return thread;
}

/** It gets no job any more. */
function forget(thread: Thread): void {
  thread.isGone = true;
  const at = idle.indexOf(thread);
  if (at !== -1) idle.splice(at, 1);
}

function ask(worker: Worker, message: unknown): Promise<ThreadAnswer> {
  return new Promise((resolve, reject) => {
    const onExit = (code: number): void => settle(() => reject(brokenDown(`it ended with ${code}`)));
    const onAnswer = (answer: ThreadAnswer): void => settle(() => resolve(answer));
    const onError = (error: unknown): void => settle(() => reject(brokenDown(error)));
    const settle = (how: () => void): void => {
      worker.off('message', onAnswer).off('error', onError).off('exit', onExit);
      how();
    };
    worker.on('message', onAnswer).on('error', onError).on('exit', onExit);
    worker.postMessage(message);
  });
}

const brokenDown = (cause: unknown) =>
  recoverable('unclassified', 'a thread ended before its answer', { cause });

/** An idle thread keeps no process alive. */
function rest(thread: Thread): void {
  if (thread.isGone) return;
  thread.worker.unref();
  thread.retire = setTimeout(() => {
    forget(thread);
    void thread.worker.terminate();
  }, idleMs).unref();
  idle.push(thread);
}
