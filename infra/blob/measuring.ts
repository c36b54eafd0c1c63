import { setImmediate } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import { type ErrorRecord, fromErrorRecord } from '#core/errors';
import type { Limits } from '#core/limits';
import type { SharedRing } from '../layer/ring.ts';
import { extendTo, finishGrowth, makeGrowth, type SharedGrowth, wholeFile } from './growing.ts';
import type { Measured } from './journal.ts';
import { measure } from './measure.ts';

/** A measurement that runs beside a download, on the bytes that are in the file so far. */
export interface Measuring {
  /** The first `available` bytes of the file are there. */
  extend(available: number): void;
  /** No more will come. */
  finish(): void;
  /** Settles early when the bytes so far are already no layer. Always handled: it never counts as unhandled. */
  readonly result: Promise<Measured>;
  /** Ends it, whatever its state; resolves when nothing of it runs. */
  stop(): Promise<void>;
}

/** What the worker is given. */
export interface MeasureStart {
  fd: number;
  growth: SharedGrowth;
  limits: Limits;
  ring: SharedRing | null;
}
export type MeasureAnswer = { measured: Measured } | { failed: ErrorRecord };

/** Below this a worker costs more (40 ms to start) than the hashing it takes off the main thread. */
const workerBytesMin = 1024 * 1024;

/**
 * Starts to measure the file behind `fd`, in a thread of its own when it is large; the caller keeps `fd` open
 * until `stop`. The raw bytes of a large one also go into the ring that `ringFor` gives.
 */
export function startMeasuring(
  fd: number,
  sizeBytes: number,
  limits: Limits,
  ringFor: () => SharedRing | null = () => null,
): Measuring {
  const measuring =
    sizeBytes < workerBytesMin ? measureHere(fd, limits) : measureInWorker(fd, limits, ringFor());
  measuring.result.catch(() => undefined); // the owner looks when it is ready to
  return measuring;
}

/** Begins when all of it is there, and lets others have their turn after each piece. */
function measureHere(fd: number, limits: Limits): Measuring {
  const begun = Promise.withResolvers<void>();
  const result = begun.promise.then(async () => {
    const steps = measure(wholeFile(fd), limits);
    for (;;) {
      const step = steps.next();
      if (step.done === true) return step.value;
      await setImmediate();
    }
  });
  return {
    extend: () => {},
    finish: begun.resolve,
    result,
    async stop() {
      begun.reject(new Error('stopped'));
      await result.catch(() => undefined);
    },
  };
}

/** The same code runs from the sources and from the built package, where files end in `.js`. */
const workerUrl = new URL(
  import.meta.url.endsWith('.ts') ? './measure-worker.ts' : './measure-worker.js',
  import.meta.url,
);

function measureInWorker(fd: number, limits: Limits, ring: SharedRing | null): Measuring {
  const growth = makeGrowth();
  const start: MeasureStart = { fd, growth, limits, ring };
  const worker = new Worker(workerUrl, { workerData: start, name: 'measure' });
  const result = new Promise<Measured>((resolve, reject) => {
    worker.once('message', (answer: MeasureAnswer) => {
      if ('measured' in answer) resolve(answer.measured);
      else reject(fromErrorRecord(answer.failed));
    });
    worker.once('error', reject);
    worker.once('exit', (code) => reject(new Error(`the measuring thread ended with ${code}`)));
  });
  return {
    extend: (available) => extendTo(growth, available),
    finish: () => finishGrowth(growth),
    result,
    stop: async () => void (await worker.terminate()),
  };
}
