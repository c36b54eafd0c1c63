import { type ErrorRecord, toErrorRecord } from '#core/errors';
import type { AttemptScope, EffectScope, Interceptor, RunScope } from './interceptor.ts';
import { realSystem } from './system.ts';

/** A log with fields first, as pino and others have it. */
export interface LogLike {
  info(fields: Record<string, unknown>, message: string): void;
  warn(fields: Record<string, unknown>, message: string): void;
}

/** Where counts and durations go: two lines for any metrics library. */
export interface Meters {
  /** Adds one to a counter. */
  count(name: string, labels: Record<string, string>): void;
  /** Takes a duration into a histogram. */
  observe(name: string, seconds: number, labels: Record<string, string>): void;
}

interface Ended {
  ms: number;
  /** Null: it went well. */
  error: ErrorRecord | null;
}

/** Calls `told` when what is within has come to its end, and passes that on. */
const timed =
  <Scope>(now: () => number, told: (scope: Scope, ended: Ended) => void) =>
  async (scope: Scope, next: () => Promise<void>): Promise<void> => {
    const startedAt = now();
    try {
      await next();
      told(scope, { ms: now() - startedAt, error: null });
    } catch (thrown) {
      told(scope, { ms: now() - startedAt, error: toErrorRecord(thrown) });
      throw thrown;
    }
  };

/** `ok`, or the kind of the error. */
const outcomeOf = ({ error }: Ended): string => error?.kind ?? 'ok';

/** Logs every attempt and every run that ends, in this process: no input, no output, no context. */
export function loggingInterceptor(log: LogLike, now: () => number = realSystem.now): Interceptor {
  const say = (what: string, fields: Record<string, unknown>, { ms, error }: Ended): void => {
    if (error === null) log.info({ ...fields, ms }, `${what} done`);
    else {
      const { kind, code, message } = error;
      const level = kind === 'abort' ? log.info : log.warn;
      level.call(
        log,
        { ...fields, ms, kind, code, error: message },
        `${what} ${kind === 'abort' ? 'stopped' : 'failed'}`,
      );
    }
  };
  const about = ({ run, machine, labels, trace }: RunScope) => ({
    run,
    machine,
    ...labels,
    ...(trace === null ? {} : { traceId: trace.traceId, spanId: trace.spanId }),
  });
  return {
    run: timed<RunScope>(now, (scope, ended) => say('run', about(scope), ended)),
    attempt: timed<AttemptScope>(now, (scope, ended) => {
      const { src, effectId, attempt } = scope;
      say('attempt', { ...about(scope), src, effectId, attempt }, ended);
    }),
  };
}

/**
 * Counts and times runs, effects and attempts: `flyd_runs_total{machine,outcome}`, `flyd_effects_total` and
 * `flyd_attempts_total{machine,src,outcome}`, each with a histogram `..._seconds`. The outcome is `ok` or the
 * kind of the error. A run's time is that in this process.
 */
export function metricsInterceptor(meters: Meters, now: () => number = realSystem.now): Interceptor {
  const tell = (name: string, labels: Record<string, string>, ended: Ended): void => {
    meters.count(`flyd_${name}s_total`, { ...labels, outcome: outcomeOf(ended) });
    meters.observe(`flyd_${name}_seconds`, ended.ms / 1000, labels);
  };
  const effect = ({ machine, src }: EffectScope) => ({ machine, src });
  return {
    run: timed<RunScope>(now, ({ machine }, ended) => tell('run', { machine }, ended)),
    effect: timed<EffectScope>(now, (scope, ended) => tell('effect', effect(scope), ended)),
    attempt: timed<AttemptScope>(now, (scope, ended) => tell('attempt', effect(scope), ended)),
  };
}
