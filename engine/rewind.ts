import { toErrorRecord, unrecoverable } from '#core/errors';
import type { Operation } from '#db/engine/index';
import { type Draft, note, patchOf, type Rules, timersText } from './draft.ts';
import type { Past } from './past.ts';
import type { LiveRun, Mail } from './run.ts';
import { type MachineEvent, revive, type Snapshot, stand } from './statechart.ts';
import { forgetEverything, nameOf, spawn } from './step.ts';

/** The wish to set a run back: what it looked like to who asked, and where it is to go. */
export type ResetEvent = MachineEvent & { type: 'flyd.reset'; seen: number; past: Past };

/** Sets a run back, unless it has moved since somebody asked for that. */
export function reset(run: LiveRun, mail: Mail & { type: 'event' }, draft: Draft, rules: Rules): void {
  const { seen, past } = mail.event as ResetEvent;
  const event = { type: 'flyd.reset', from: past.seq };
  const applied: Operation = { type: 'event.applied', id: mail.id };
  if (run.seq !== seen) {
    const error = unrecoverable(
      'reset_refused',
      `the run moved on to ${run.seq} before it could be set back`,
      {
        subject: run.uid,
        hint: 'ask again',
      },
    );
    draft.operations.push(applied);
    // Of another name: a history goes on after a `flyd.reset` with what that started.
    note(run, { ...event, type: 'flyd.reset.refused' }, null, toErrorRecord(error), draft);
    return;
  }
  const wasParked = run.parked !== null;
  if (
    !goOnFrom(
      run,
      past,
      { event, first: [applied, ...letGo(run, past), { type: 'cancel.forget' }] },
      draft,
      rules,
    )
  )
    return;
  if (wasParked) draft.unparked = true;
  run.parked = null;
  // Whoever sets a run back that is being cancelled wants it to go on.
  run.cancel = null;
  run.cancelDelivered = false;
}

/** The first step of a forked run. */
export function beginFork(
  run: LiveRun,
  origin: NonNullable<LiveRun['origin']>,
  draft: Draft,
  rules: Rules,
): void {
  const { run: from, past } = origin;
  const event = { type: 'flyd.fork', run: from, from: past.seq };
  if (goOnFrom(run, past, { event, first: [{ type: 'fork.begun' }] }, draft, rules)) run.origin = null;
}

/** Everything that the run has under way, or waits for, is given up. Gives what is to be written for that; what the past has instead takes its place. */
function letGo(run: LiveRun, { children }: Past): Operation[] {
  const kept = new Set(children.flatMap(({ child, src }) => (src in run.definition.children ? [child] : [])));
  return [
    ...[...run.effects.keys()].map((child): Operation => ({ type: 'effect.drop', child })),
    ...[...run.timers.keys()].map((timer): Operation => ({ type: 'timer.drop', timer })),
    ...[...run.links].flatMap(([childId, { settled }]): Operation[] =>
      settled || kept.has(childId)
        ? []
        : [{ type: 'child.release', childId, reason: 'its parent was set back', closing: false }],
    ),
  ];
}

/** Takes the past for the present: what was under way begins anew, under new effect ids. A run that does not fit is parked: false. */
function goOnFrom(
  run: LiveRun,
  past: Past,
  { event, first }: { event: MachineEvent; first: readonly Operation[] },
  draft: Draft,
  rules: Rules,
): boolean {
  const timers = past.timers.map((timer) => timer.event);
  let snapshot: Snapshot;
  try {
    snapshot = revive(run.definition.machine, past.snapshot, timers);
  } catch (thrown) {
    run.parked = toErrorRecord(thrown);
    if (run.seq > 0) note(run, { type: 'flyd.parked', by: event.type }, null, run.parked, draft);
    else draft.touched = true;
    return false;
  }
  const from = run.seq === 0 ? null : run.state;
  forgetEverything(run);
  const standing = stand(snapshot);
  Object.assign(run, {
    snapshot,
    json: past.snapshot,
    state: standing.state,
    tags: standing.tags,
    rebased: true,
  });
  run.seq += 1;
  for (const tag of standing.tags) run.tagsLast[tag] = run.seq;
  const operations = [...first];
  for (const child of past.children) {
    const started = spawn(run, { type: 'spawn', ...child }, rules);
    operations.push(started.type === 'child.start' ? { ...started, instead: true } : started);
  }
  for (const { timer, event: told, delayMs } of past.timers) {
    const epoch = ++run.epoch;
    const dueAt = rules.now + delayMs;
    run.timers.set(timer, { epoch, event: told, dueAt });
    operations.push({ type: 'timer.put', timer, epoch, event: JSON.stringify(told), dueAt });
  }
  draft.operations.push(...operations);
  draft.history.push({
    seq: run.seq,
    event: JSON.stringify(event),
    fromState: from,
    toState: run.state,
    effects: JSON.stringify(past.children.map(nameOf)),
    ms: null,
    error: null,
    timers: timersText(run),
    patch: patchOf(run, null, past.snapshot),
    snapshot: JSON.stringify(past.snapshot),
  });
  return true;
}
