import type { ErrorRecord } from '#core/errors';
import { type Draft, note, type Rules } from './draft.ts';
import type { LiveEffect, LiveRun } from './run.ts';
import type { Json, RetryPolicies } from './types.ts';

/** Errors that nobody classified are probably bugs: try less often. */
const unclassifiedAttemptsMax = 3;

/** The engine's policies, with what the machine says of this actor. */
function policiesFor(
  { definition }: LiveRun,
  src: string,
  { recoverable, pending }: RetryPolicies,
): RetryPolicies {
  const wishes = definition.effects[src]?.retry;
  if (wishes === undefined) return { recoverable, pending };
  return {
    recoverable: { ...recoverable, ...wishes.recoverable },
    pending: { ...pending, ...wishes.pending },
  };
}

/** A failure that a later look may heal: counted, dated, and parked when the attempts are spent. */
export function lookAgain(
  run: LiveRun,
  { child, ms, saved }: { child: string; ms: number; saved: Json },
  effect: LiveEffect,
  error: ErrorRecord,
  draft: Draft,
  rules: Rules,
): void {
  const policies = policiesFor(run, effect.src, rules.retry);
  const isNews = effect.error?.code !== error.code || effect.error.message !== error.message;
  if (error.kind === 'pending') {
    effect.looks += 1;
    effect.state = 'pending';
    effect.dueAt = rules.now + pauseMs(policies.pending, effect.looks, rules);
  } else {
    effect.attempt += 1;
    const attemptsMax =
      error.code === 'unclassified'
        ? Math.min(unclassifiedAttemptsMax, policies.recoverable.attemptsMax)
        : policies.recoverable.attemptsMax;
    effect.state = effect.attempt >= attemptsMax ? 'parked' : 'due';
    const pause = pauseMs(policies.recoverable, effect.attempt, rules);
    effect.dueAt = rules.now + Math.max(pause, askedPauseMs(error, policies.recoverable));
  }
  effect.error = error;
  if (saved !== null) effect.saved = saved;
  const { state, attempt, looks, dueAt } = effect;
  draft.operations.push({
    type: 'effect.fail',
    child,
    state,
    attempt,
    looks,
    dueAt,
    error: JSON.stringify(error),
    saved: saved === null ? null : JSON.stringify(saved),
  });
  // The same pending answer again is no news, and would fill the history.
  if (state === 'pending' && !isNews) return;
  const event = state === 'due' ? 'flyd.retry' : `flyd.${state}`;
  note(run, { type: event, src: effect.src, attempt, error }, ms, error, draft);
}

/** An effect that a clock ahead of ours has dated waits no longer than its policy allows. */
export function limitPauses(run: LiveRun, now: number, retry: RetryPolicies): void {
  for (const effect of run.effects.values()) {
    if (effect.dueAt <= now) continue;
    const { pending, recoverable } = policiesFor(run, effect.src, retry);
    const policy = effect.state === 'pending' ? pending : recoverable;
    const longestMs = effect.attempt + effect.looks === 0 ? 0 : policy.pauseMsMax * (1 + jitter);
    effect.dueAt = Math.min(effect.dueAt, now + longestMs);
  }
}

/** Of a pause, either way: so that many that failed together do not come back together. */
const jitter = 0.5;

function pauseMs(
  { pauseMs, pauseMsMax }: { pauseMs: number; pauseMsMax: number },
  nth: number,
  rules: Rules,
): number {
  const pause = Math.min(pauseMs * 2 ** Math.min(nth - 1, 30), pauseMsMax);
  return Math.round(pause * (1 - jitter + 2 * jitter * rules.random()));
}

/** What the other side asked to be left alone for (`facts.retryAfterMs`), as far as the policy waits at all. */
function askedPauseMs({ facts }: ErrorRecord, { pauseMsMax }: { pauseMsMax: number }): number {
  const asked = facts?.retryAfterMs;
  return typeof asked === 'number' && asked > 0 ? Math.min(asked, pauseMsMax) : 0;
}

/** Gives everything that waits for a person or the world a new try, in the runs below as well. */
export function wake(run: LiveRun, draft: Draft, rules: Rules): void {
  if (run.parked !== null) {
    run.parked = null;
    draft.unparked = true;
  }
  for (const [child, effect] of run.effects) {
    if (effect.state === 'due') continue;
    Object.assign(effect, { state: 'due', attempt: 0, dueAt: rules.now });
    draft.operations.push({
      type: 'effect.fail',
      child,
      state: 'due',
      attempt: 0,
      looks: effect.looks,
      dueAt: rules.now,
      error: effect.error === null ? null : JSON.stringify(effect.error),
      saved: null,
    });
  }
  for (const [childId, link] of run.links)
    if (!link.settled)
      draft.operations.push({
        type: 'event.toChild',
        childId,
        event: JSON.stringify({ type: 'flyd.retry' }),
      });
  if (run.seq > 0) note(run, { type: 'flyd.retry' }, null, null, draft);
}
