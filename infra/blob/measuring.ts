import { setImmediate } from 'node:timers/promises';
import { type ErrorRecord, fromErrorRecord } from '#core/errors';
import type { Limits } from '#core/limits';
import type { SharedRing } from '../layer/ring-memory.ts';
import { wholeFile } from '../layer/stored.ts';
import { besideModule, inThread } from '../threads.ts';
import { extendTo, finishGrowth, makeGrowth, type SharedGrowth, stopGrowth } from './growing.ts';
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

/** What the thread is given. */
export interface MeasureJob {
  fd: number;
  growth: SharedGrowth;
  limits: Limits;
  ring: SharedRing | null;
}
export type MeasureAnswer = { measured: Measured } | { failed: ErrorRecord };

/** Below this a thread may cost more (40 ms to start) than the hashing it takes off the main one. */
const threadBytesMin = 1024 * 1024;

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
    sizeBytes < threadBytesMin ? measureHere(fd, limits) : measureInThread(fd, limits, ringFor());
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

const thread = besideModule(import.meta.url, './measure-thread');

function measureInThread(fd: number, limits: Limits, ring: SharedRing | null): Measuring {
  const growth = makeGrowth();
  const job: MeasureJob = { fd, growth, limits, ring };
  const answer = inThread<MeasureJob, MeasureAnswer>(thread, job);
  return {
    extend: (available) => extendTo(growth, available),
    finish: () => finishGrowth(growth),
    result: answer.then((it) => {
      if ('measured' in it) return it.measured;
      throw fromErrorRecord(it.failed);
    }),
    async stop() {
      stopGrowth(growth);
      await answer.catch(() => undefined);
    },
  };
}
