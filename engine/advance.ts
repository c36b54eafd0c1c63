import type { ErrorRecord } from '#core/errors';
import type { Operation } from '#db/engine/index';
import { type Draft, note, type Rules } from './draft.ts';
import { lookAgain, wake } from './retry.ts';
import { beginFork, reset } from './rewind.ts';
import type { LiveRun, Mail } from './run.ts';
import { accepts, knows, type MachineEvent } from './statechart.ts';
import { forgetEverything, step } from './step.ts';
import type { Json } from './types.ts';

/** Lets the run take one piece of mail: changes `run`, and notes in `draft` what must be written. No effect happens here. */
export function advance(run: LiveRun, mail: Mail, draft: Draft, rules: Rules): void {
  take(run, mail, draft, rules);
  hearCancel(run, draft, rules);
}

function take(run: LiveRun, mail: Mail, draft: Draft, rules: Rules): void {
  if (run.ended !== null) return;
  if (mail.type === 'saved') {
    save(run, mail, draft);
    return;
  }
  if (run.killed !== null && mail.type !== 'kill') {
    keep(mail, draft);
    return;
  }
  if (run.parked !== null && !wakes(mail)) {
    keep(mail, draft);
    return;
  }
  switch (mail.type) {
    case 'begin':
      if (run.seq > 0) return;
      if (run.origin === null) step(run, mail, { type: 'xstate.init' }, null, draft, rules);
      else beginFork(run, run.origin, draft, rules);
      return;
    case 'result':
      takeResult(run, mail, draft, rules);
      return;
    case 'timer': {
      const timer = run.timers.get(mail.timer);
      if (timer?.epoch !== mail.epoch) return;
      run.timers.delete(mail.timer);
      draft.operations.push({ type: 'timer.drop', timer: mail.timer });
      step(run, mail, timer.event, null, draft, rules);
      return;
    }
    case 'event':
      takeEvent(run, mail, draft, rules);
      return;
    case 'cancel':
      cancel(run, mail, draft);
      return;
    case 'kill':
      kill(run, mail, draft);
  }
}

const wakes = (mail: Mail): boolean =>
  mail.type === 'cancel' ||
  mail.type === 'kill' ||
  (mail.type === 'event' && /^flyd\.(?:retry|reset)$/.test(mail.event.type));

/** A parked run takes nothing; what was only in memory goes to its inbox, for later. */
function keep(mail: Mail, draft: Draft): void {
  if (mail.type === 'result' && mail.outcome.ok)
    draft.operations.push({
      type: 'event.keep',
      event: JSON.stringify(doneEvent(mail.child, mail.outcome.output)),
      child: mail.child,
      epoch: mail.epoch,
    });
}

const doneEvent = (child: string, output: Json): MachineEvent => ({
  type: `xstate.done.actor.${child}`,
  output,
  actorId: child,
});
const errorEvent = (child: string, error: ErrorRecord): MachineEvent => ({
  type: `xstate.error.actor.${child}`,
  error,
  actorId: child,
});

function save(run: LiveRun, { child, epoch, saved }: Mail & { type: 'saved' }, draft: Draft): void {
  const effect = run.effects.get(child);
  if (effect?.epoch !== epoch) return;
  effect.saved = saved;
  draft.operations.push({ type: 'effect.save', child, saved: JSON.stringify(saved) });
}

function takeResult(run: LiveRun, mail: Mail & { type: 'result' }, draft: Draft, rules: Rules): void {
  const effect = run.effects.get(mail.child);
  if (effect?.epoch !== mail.epoch) return;
  const { outcome } = mail;
  if (outcome.ok) {
    step(run, mail, doneEvent(mail.child, outcome.output), mail.ms, draft, rules);
    return;
  }
  const { kind } = outcome.error;
  if (kind === 'pending' || kind === 'recoverable') lookAgain(run, mail, effect, outcome.error, draft, rules);
  else step(run, mail, errorEvent(mail.child, outcome.error), mail.ms, draft, rules, outcome.error);
}

function takeEvent(run: LiveRun, mail: Mail & { type: 'event' }, draft: Draft, rules: Rules): void {
  const { child, epoch, event } = mail;
  const applied: Operation = { type: 'event.applied', id: mail.id };
  if (event.type === 'flyd.retry') {
    draft.operations.push(applied);
    wake(run, draft, rules);
    return;
  }
  if (event.type === 'flyd.reset') {
    reset(run, mail, draft, rules);
    return;
  }
  if (child !== null) {
    const link = run.links.get(child);
    const current = (link?.epoch === epoch && !link?.settled) || run.effects.get(child)?.epoch === epoch;
    if (!current) {
      draft.operations.push(applied);
      return;
    }
  }
  step(run, mail, event, null, draft, rules, (event.error as ErrorRecord | undefined) ?? null);
}

/** A machine that knows `flyd.cancel` compensates; any other just stops. */
function cancel(run: LiveRun, { reason, code }: Mail & { type: 'cancel' }, draft: Draft): void {
  if (run.cancelDelivered) return;
  run.cancel = reason;
  const event = { type: 'flyd.cancel', reason };
  if (run.parked === null && run.snapshot !== null && knows(run.definition.machine, event)) return;
  run.cancelDelivered = true;
  run.ended = 'cancelled';
  if (code !== null) run.error = { kind: 'abort', code, message: reason };
  forgetEverything(run);
  if (run.seq > 0) note(run, event, null, null, draft);
  // A run that never began keeps no snapshot; the row's change alone says that it ended.
  else draft.touched = true;
}

/** Nothing of it moves any more: it ends as it is. */
function kill(run: LiveRun, { reason }: Mail & { type: 'kill' }, draft: Draft): void {
  run.ended = 'cancelled';
  run.error = { kind: 'abort', code: 'killed', message: reason };
  forgetEverything(run);
  if (run.seq > 0) note(run, { type: 'flyd.kill', reason }, null, run.error, draft);
  else draft.touched = true;
}

/** A state that does nothing on a cancel is not broken off: the cancel waits for one that does. */
function hearCancel(run: LiveRun, draft: Draft, rules: Rules): void {
  if (run.cancel === null || run.cancelDelivered || run.ended !== null || run.killed !== null) return;
  if (run.parked !== null || run.snapshot === null) return;
  const event = { type: 'flyd.cancel', reason: run.cancel };
  if (!accepts(run.snapshot, event)) return;
  run.cancelDelivered = true;
  step(run, { type: 'cancel', reason: run.cancel, code: null }, event, null, draft, rules);
}
