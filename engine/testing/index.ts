export { cancelCall, killCall, purgeCall, retryCall, sendCall, startCall, waitCall } from './calls.ts';
export { type Clock, type ClockOptions, createClock, type ProcessClock, settle } from './clock.ts';
export { drawFaults, type FaultRates, noFaults } from './faults.ts';
export {
  type Drift,
  type RecordedCommit,
  type RecordedHistory,
  recordHistories,
  replayHistory,
} from './histories.ts';
export { type Actor, type InvariantOptions, Invariants, type StartingEffect } from './invariants.ts';
export { type LockOptions, memoryLocks, type SimulatedLocks } from './locks.ts';
export { type ProcessOptions, SimulatedProcess, sqliteError, type TransactionHooks } from './process.ts';
export { type Random, seeded } from './random.ts';
export type { ClientCall, End, EndedRun, Scene, Simulate, Workload } from './scene.ts';
export { memoryFolder, type SimulationOptions, type SimulationReport, simulate } from './simulation.ts';
export { Violation } from './violation.ts';
export type { FailureKind, LedgerEntry, SimulatedEffect } from './world.ts';
