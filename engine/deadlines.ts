import { type FlydError, recoverable } from '#core/errors';
import type { EffectPolicy, System, Timer } from './types.ts';

/** One attempt under watch. */
export interface Watch {
  /** It has shown a sign of life. */
  alive(): void;
  /** It is over. */
  end(): void;
}

/** Silence is looked for so often in the time that is allowed: it is noticed at most a quarter too late. */
const looksEach = 4;

/** Nothing is expected of it. */
export const unwatched: Watch = { alive() {}, end() {} };

/**
 * Calls `expire`, once, when the attempt takes too long or shows no sign of life. Silence is counted in
 * ticks, not read off a clock: a process that stood still gives its attempts time to speak.
 */
export function watchAttempt(
  src: string,
  policy: EffectPolicy | undefined,
  system: System,
  expire: (why: FlydError) => void,
): Watch {
  const { timeoutMs, heartbeatMs } = policy ?? {};
  if (timeoutMs === undefined && heartbeatMs === undefined) return unwatched;
  let deadline: Timer | undefined;
  let pulse: Timer | undefined;
  let silentTicks = 0;
  const end = (): void => {
    deadline?.cancel();
    pulse?.cancel();
  };
  const over = (why: FlydError): void => {
    end();
    expire(why);
  };
  if (timeoutMs !== undefined)
    deadline = system.setTimer(
      () =>
        over(
          recoverable('effect_timeout', `the attempt did not end within ${timeoutMs} ms`, {
            op: src,
            hint: `raise effects['${src}'].timeoutMs of the machine, if it needs longer`,
          }),
        ),
      timeoutMs,
    );
  const tick = (every: number): void => {
    pulse = system.setTimer(() => {
      silentTicks += 1;
      if (silentTicks <= looksEach) tick(every);
      else
        over(
          recoverable('heartbeat_missed', `the attempt showed no sign of life for ${heartbeatMs} ms`, {
            op: src,
            hint: `let it call heartbeat() or progress() more often, or raise effects['${src}'].heartbeatMs`,
          }),
        );
    }, every);
  };
  if (heartbeatMs !== undefined) tick(heartbeatMs / looksEach);
  return {
    alive: () => {
      silentTicks = 0;
    },
    end,
  };
}
