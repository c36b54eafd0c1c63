import type { Random } from './random.ts';

/** Chances, from 0 to 1. */
export interface FaultRates {
  /** At each step: a process is killed. */
  crash: number;
  /** At each probe of the engine (around commits and effects) and around each COMMIT. */
  crashAtPoint: number;
  /** At each step: a process is told to close. */
  close: number;
  /** At each step: a process stands still for a while; the others may kill it. */
  freeze: number;
  /** Of a freeze: the process loses its lock meanwhile, and wakes up. */
  robbed: number;
  /** At each step: the wall clock of a process jumps. */
  clockJump: number;
  /** At each transaction: the database is locked once. */
  busy: number;
  /** At each transaction: it stays locked for longer than anybody waits. */
  lockedOut: number;
  /** At each COMMIT: an error, and nothing is written. */
  commitFails: number;
  /** At each COMMIT: an error, though everything is written. */
  commitUnknown: number;
  /** Of an attempt of an effect. */
  effectFails: number;
  /** Of an attempt that is told to stop: it goes on regardless. */
  effectDeaf: number;
  /** Of an attempt: it takes no time. */
  effectInstant: number;
  /** Of a client call that was answered: it is made once more. */
  callTwice: number;
}

/** No faults: what the world is like when it has healed. */
export const noFaults: FaultRates = {
  crash: 0,
  crashAtPoint: 0,
  close: 0,
  freeze: 0,
  robbed: 0,
  clockJump: 0,
  busy: 0,
  lockedOut: 0,
  commitFails: 0,
  commitUnknown: 0,
  effectFails: 0,
  effectDeaf: 0.3,
  effectInstant: 0.2,
  callTwice: 0,
};

/**
 * Which faults a seed has, and how often. Each kind is left out of about half of the seeds: faults
 * that come all at once hide one another (swarm testing, Groce et al. 2012).
 */
export function drawFaults(random: Random): FaultRates {
  const some = (...levels: number[]): number => (random.chance(0.5) ? random.pick(levels) : 0);
  return {
    crash: some(0.004, 0.012),
    crashAtPoint: some(0.005, 0.02, 0.04),
    close: some(0.01),
    freeze: some(0.01, 0.03),
    robbed: random.chance(0.3) ? 0.5 : 0,
    clockJump: some(0.02),
    busy: some(0.02),
    lockedOut: some(0.01, 0.03),
    commitFails: some(0.01, 0.05),
    commitUnknown: some(0.01, 0.05),
    effectFails: some(0.1, 0.3, 0.6),
    effectDeaf: some(0.3, 1),
    effectInstant: some(0.2, 0.8),
    callTwice: some(0.3),
  };
}
