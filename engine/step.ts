import { type ErrorRecord, FlydError, toErrorRecord, unrecoverable } from '#core/errors';
import type { NewRun, Operation } from '#db/engine/index';
import { continuation, newRun } from './continuation.ts';
import { type Draft, note, patchOf, type Rules, recordOf, timersText } from './draft.ts';
import type { LiveRun, Mail } from './run.ts';
import {
  begin,
  type Command,
  type MachineEvent,
  type Moved,
  move,
  persist,
  type Standing,
  stand,
} from './statechart.ts';
import type { Json } from './types.ts';

/** One transition of the machine. A throw parks the run and changes nothing else. */
export function step(
  run: LiveRun,
  mail: Mail,
  event: MachineEvent,
  ms: number | null,
  draft: Draft,
  rules: Rules,
  error: ErrorRecord | null = null,
): void {
  const { machine } = run.definition;
  let moved: Moved;
  let json: Json;
  let text: string;
  let standing: Standing;
  let next: NewRun | null;
  const before = run.json;
  try {
    moved = run.snapshot === null ? begin(machine, run.input) : move(machine, run.snapshot, event);
    json = persist(machine, moved.snapshot);
    learn(run, event, json);
    text = JSON.stringify(json);
    refuseLarge(text, run, rules);
    refuseLong(run, rules);
    refuseTwins(run, mail, moved.commands);
    standing = stand(moved.snapshot);
    next = continuation(run, standing, rules);
  } catch (thrown) {
    park(run, mail, event, thrown, draft);
    return;
  }
  const from = run.snapshot === null ? null : run.state;
  run.snapshot = moved.snapshot;
  run.json = json;
  draft.stored = { json, text };
  run.state = standing.state;
  run.seq += 1;
  run.tags = standing.tags;
  for (const tag of standing.tags) run.tagsLast[tag] = run.seq;
  const started: string[] = [];
  const operations = settle(run, mail);
  for (const command of moved.commands) {
    const operation = carry(run, command, started, draft, rules);
    if (operation !== null) operations.push(operation);
  }
  if (standing.outcome !== 'active') {
    run.ended = standing.outcome;
    run.output = standing.output;
    run.error = standing.error;
    forgetEverything(run);
    for (const operation of operations) if (operation.type === 'child.release') operation.closing = true;
    if (next !== null) operations.push({ type: 'run.continue', run: next });
  }
  for (const operation of operations) draft.operations.push(operation);
  const patch = patchOf(run, before, json);
  draft.history.push({
    seq: run.seq,
    // What it carries was made plain where it came from.
    event: JSON.stringify(event),
    fromState: from,
    toState: run.state,
    effects: started.length === 0 ? '[]' : JSON.stringify(started),
    ms,
    error: recordOf(error ?? standing.error),
    timers: timersText(run),
    patch,
    snapshot: patch === null ? text : null,
  });
}

/** What the machine marks as secret is known as such from here on, wherever it turns up. */
function learn({ secrets }: LiveRun, event: MachineEvent, json: Json): void {
  if (secrets === null) return;
  const { context = null, output = null } = json as { [key: string]: Json };
  secrets.learn(`event.${event.type}`, event as Json);
  secrets.learn('context', context);
  secrets.learn('output', output);
}

/** The effect, child or inbox row that this mail came from is over. */
function settle(run: LiveRun, mail: Mail): Operation[] {
  if (mail.type !== 'result' && mail.type !== 'event') return [];
  const operations: Operation[] = mail.type === 'event' ? [{ type: 'event.applied', id: mail.id }] : [];
  const { child } = mail;
  if (child === null) return operations;
  if (run.effects.delete(child)) operations.push({ type: 'effect.drop', child });
  const link = run.links.get(child);
  if (link !== undefined) {
    link.settled = true;
    operations.push({ type: 'child.settle', childId: child });
  }
  return operations;
}

function carry(
  run: LiveRun,
  command: Command,
  started: string[],
  draft: Draft,
  rules: Rules,
): Operation | null {
  switch (command.type) {
    case 'spawn':
      started.push(nameOf(command));
      return spawn(run, command, rules);
    case 'stop': {
      const { child } = command;
      if (run.effects.delete(child)) return { type: 'effect.drop', child };
      const link = run.links.get(child);
      if (link === undefined || link.settled) return null;
      run.links.delete(child);
      return { type: 'child.release', childId: child, reason: 'its parent stopped it', closing: false };
    }
    case 'schedule': {
      const { timer, event, delayMs } = command;
      const epoch = ++run.epoch;
      const dueAt = rules.now + delayMs;
      run.timers.set(timer, { epoch, event, dueAt });
      return { type: 'timer.put', timer, epoch, event: JSON.stringify(event), dueAt };
    }
    case 'unschedule':
      return run.timers.delete(command.timer) ? { type: 'timer.drop', timer: command.timer } : null;
    case 'send':
      if (command.timer !== null)
        return carry(run, { ...command, type: 'schedule', timer: command.timer }, started, draft, rules);
      return command.child === null
        ? { type: 'event.keep', event: JSON.stringify(command.event), child: null, epoch: null }
        : { type: 'event.toChild', childId: command.child, event: JSON.stringify(command.event) };
    case 'emit':
      draft.emitted.push(command.event);
      return { type: 'event.out', event: JSON.stringify(command.event) };
  }
}

/** How the history names what was started. */
export const nameOf = ({ child, src }: { child: string; src: string }): string =>
  src === child ? src : `${src}#${child}`;

/** An effect or a child run is started: notes it in the run, and gives what is to be written. */
export function spawn(
  run: LiveRun,
  { child, src, input }: Command & { type: 'spawn' },
  rules: Rules,
): Operation {
  const epoch = ++run.epoch;
  const definition = run.definition.children[src];
  if (definition === undefined) {
    run.effects.set(child, {
      epoch,
      src,
      input,
      state: 'due',
      attempt: 0,
      looks: 0,
      dueAt: rules.now,
      error: null,
      saved: null,
    });
    return { type: 'effect.put', child, epoch, src, input: JSON.stringify(input), dueAt: rules.now };
  }
  run.links.set(child, { epoch, settled: false });
  return {
    type: 'child.start',
    childId: child,
    epoch,
    onClose: run.definition.onParentClose[src] ?? 'cancel',
    run: newRun(run, definition, input, {}, rules),
  };
}

/** Two live children of one id could not be told apart by their results. */
function refuseTwins(run: LiveRun, mail: Mail, commands: readonly Command[]): void {
  const over = 'child' in mail ? mail.child : null;
  const isLive = (child: string): boolean =>
    child !== over && (run.effects.has(child) || run.links.get(child)?.settled === false);
  let index = -1;
  for (const command of commands) {
    index += 1;
    if (command.type === 'send' && command.timer !== null && command.child !== null)
      throw refused(
        `a delayed event to child '${command.child}'`,
        'use `after` in this machine, then sendTo',
      );
    if (command.type !== 'spawn') continue;
    const { child } = command;
    const last = commands.findLast(
      (other, at) => at < index && (other.type === 'spawn' || other.type === 'stop') && other.child === child,
    );
    if (last === undefined ? isLive(child) : last.type === 'spawn')
      throw refused(`a second live child '${child}'`, 'give each child an id of its own');
  }
}

const refused = (what: string, hint: string): FlydError =>
  unrecoverable('machine_refused', `the machine asked for ${what}`, { hint });

function refuseLarge(text: string, run: LiveRun, { snapshotBytesMax }: Rules): void {
  // UTF-8 takes at most three bytes for a unit of a string: most need not be counted.
  if (text.length * 3 <= snapshotBytesMax) return;
  const bytes = Buffer.byteLength(text);
  if (bytes > snapshotBytesMax)
    throw unrecoverable(
      'snapshot_too_large',
      `the snapshot has ${bytes} bytes; the limit is ${snapshotBytesMax}`,
      {
        subject: run.uid,
        hint: 'keep references in context, not data; a run that gathers for ever hands off to a new one (`handoff`)',
      },
    );
}

function refuseLong(run: LiveRun, { historyRowsMax, historyFrom }: Rules): void {
  if (run.seq - run.historyFrom + 1 < historyRowsMax) return;
  // Compaction may have cut it since this process has looked.
  run.historyFrom = historyFrom(run.id);
  const rows = run.seq - run.historyFrom + 1;
  if (rows >= historyRowsMax)
    throw unrecoverable('history_too_long', `the history has ${rows} rows; the limit is ${historyRowsMax}`, {
      subject: run.uid,
      hint: 'let the machine hand off to a new run in time (`handoff`), or compact, then retry the run',
    });
}

/** The mail stays to be taken after a retry; the machine is where it was before. */
function park(run: LiveRun, mail: Mail, event: MachineEvent, thrown: unknown, draft: Draft): void {
  const threw = thrown instanceof FlydError && thrown.kind === 'unrecoverable' ? thrown : undefined;
  run.parked = toErrorRecord(
    threw ??
      unrecoverable('transition_threw', `the machine threw on '${event.type}'`, {
        subject: run.uid,
        hint: `mend the machine, then retry the run`,
        cause: thrown,
      }),
  );
  if (mail.type === 'result' || mail.type === 'timer' || mail.type === 'cancel')
    draft.operations.push({
      type: 'event.keep',
      event: JSON.stringify(event),
      child: mail.type === 'result' ? mail.child : null,
      epoch: mail.type === 'result' ? mail.epoch : null,
    });
  if (run.seq > 0) note(run, { type: 'flyd.parked', by: event.type }, null, run.parked, draft);
  else draft.touched = true;
}

export function forgetEverything(run: LiveRun): void {
  run.effects.clear();
  run.timers.clear();
  run.links.clear();
}
