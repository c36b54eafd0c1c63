export { type Effect, type EffectContext, effect, type Progress } from '#core/effect';
export { type ErrorKind, type ErrorRecord, FlydError, toErrorRecord } from '#core/errors';
export { type HandoffOptions, handoff } from '#core/handoff';
export { isTerminal, type RunStatus } from '#core/status';
export type { Engine, EngineOptions, ForkOptions, StartedRun, StartOptions, WaitOptions } from './api.ts';
export { type CheckedRun, canGoOn, checkDatabase } from './check.ts';
export { defineMachine, type MachineSpec } from './define.ts';
export type {
  ContextOf,
  Definition,
  EventOf,
  Implementations,
  InputOf,
  OutputOf,
  RunId,
  SnapshotOf,
  TagOf,
} from './definition.ts';
export { openEngine } from './engine.ts';
export type { AttemptScope, EffectScope, Interceptor, RunScope } from './interceptor.ts';
export { type LogLike, loggingInterceptor, type Meters, metricsInterceptor } from './interceptors.ts';
export type { QueueOptions, Queues } from './queue.ts';
export type { Compacted, Retention } from './retention.ts';
export type { ScheduleOptions, Schedules, ScheduleView } from './schedule.ts';
export type { TraceContext, TraceHeaders } from './trace.ts';
export type {
  ChildRun,
  EffectPolicy,
  EngineEvent,
  HistoryRow,
  Hold,
  Json,
  OwnerLocks,
  RetryPolicies,
  RetryPolicy,
  RetryWishes,
  RunFilter,
  RunView,
  System,
} from './types.ts';
