export { type Effect, type EffectContext, effect, type Progress } from '#core/effect';
export { type ErrorKind, type ErrorRecord, FlydError, toErrorRecord } from '#core/errors';
export { isTerminal, type RunStatus } from '#core/status';
export type { Engine, EngineOptions, StartedRun, WaitOptions } from './api.ts';
export { defineMachine } from './define.ts';
export { openEngine } from './engine.ts';
export type {
  Definition,
  EffectPolicy,
  EngineEvent,
  HistoryRow,
  Json,
  OwnerLocks,
  RetryPolicies,
  RetryPolicy,
  RetryWishes,
  RunFilter,
  RunView,
  System,
} from './types.ts';
