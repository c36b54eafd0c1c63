// The one file of the engine that touches XState. Version 6 brings durable interfaces of its own: then
// this file changes, and nothing else.

import { createHash } from 'node:crypto';
import {
  type ActorLogic,
  type AnyActorScope,
  type AnyEventObject,
  type AnyMachineSnapshot,
  type AnyStateMachine,
  createActor,
  type Snapshot as LogicSnapshot,
} from 'xstate';
import { type ErrorRecord, toErrorRecord, unrecoverable } from '#core/errors';
import { plain, plainOr } from './json.ts';
import { statesOf } from './refusals.ts';
import type { Json } from './types.ts';

export type Snapshot = AnyMachineSnapshot;
export type MachineEvent = { type: string } & Record<string, unknown>;

/** What a transition asks the engine to do, in order. */
export type Command =
  | { type: 'spawn'; child: string; src: string; input: Json }
  | { type: 'stop'; child: string }
  | { type: 'schedule'; timer: string; event: MachineEvent; delayMs: number }
  | { type: 'unschedule'; timer: string }
  | { type: 'send'; child: string | null; event: MachineEvent; timer: string | null; delayMs: number }
  | { type: 'emit'; event: MachineEvent };

export interface Moved {
  snapshot: Snapshot;
  commands: Command[];
}

/** How a run stands, in the engine's terms. */
export interface Standing {
  state: string;
  tags: string[];
  outcome: 'active' | 'done' | 'failed' | 'cancelled';
  output: Json | null;
  error: ErrorRecord | null;
}

/** The first snapshot and what it asks for. Throws what the machine threw. */
export function begin(machine: AnyStateMachine, input: Json): Moved {
  const { snapshot, actions } = inertly((scope) => machine.getInitialSnapshot(scope, input as never));
  if (snapshot.status === 'error') throw snapshot.error;
  return moved(snapshot, actions, {});
}

/** The next snapshot after `event`. Throws what a guard or an action threw; a poisoned event, not a retry. */
export function move(machine: AnyStateMachine, snapshot: Snapshot, event: MachineEvent): Moved {
  const next = inertly((scope) => machine.transition(snapshot, event as never, scope));
  return moved(next.snapshot, next.actions, snapshot.children);
}

/** Logic of an actor that is nobody: it only lends its name to what a transition asks for. */
const nobody: ActorLogic<LogicSnapshot<undefined>, AnyEventObject> = {
  transition: (snapshot) => snapshot,
  getInitialSnapshot: () => ({ status: 'active', output: undefined, error: undefined }),
  getPersistedSnapshot: (snapshot) => snapshot,
};

/** One for all transitions, as long as none gives it children that are known by a system id. */
let self = createActor(nobody);

const nothing = (): void => {};

/**
 * Does the work where XState's own `transition()` would: nothing is carried out, the actions are gathered. That
 * one makes an actor of the machine each time, and so computes its first snapshot once more, for nothing.
 */
function inertly(work: (scope: AnyActorScope) => unknown): { snapshot: Snapshot; actions: RawAction[] } {
  const actions: RawAction[] = [];
  const { system } = self;
  const scope = {
    self,
    system,
    id: '',
    sessionId: '',
    logger: nothing,
    defer: nothing,
    emit: nothing,
    stopChild: nothing,
    actionExecutor: (action: RawAction) => void actions.push(action),
  };
  try {
    return { snapshot: work(scope as unknown as AnyActorScope) as Snapshot, actions };
  } finally {
    // The next run may have a child of the same system id.
    if (Object.keys(system.getAll()).length > 0) self = createActor(nobody);
  }
}

/** A child that is spawned while context is computed is in the snapshot, and nothing says that it is to start. */
function moved(snapshot: Snapshot, actions: readonly RawAction[], before: object): Moved {
  const commands = toCommands(actions, snapshot);
  for (const child in snapshot.children)
    if (
      !Object.hasOwn(before, child) &&
      !commands.some((each) => each.type === 'spawn' && each.child === child)
    )
      throw refusal(
        snapshot.machine.id,
        `child '${child}' was spawned inside context`,
        'use spawnChild, or enqueue.spawnChild in a named enqueueActions',
      );
  return { snapshot, commands };
}

/** A machine that goes round and round by itself would hold up every run of the process. */
const microstepsMax = 10_000;

/** Lets a machine throw when one event leads to more transitions than that. XState has no limit of its own. */
export function limitLoops({ options }: AnyStateMachine): void {
  options.maxIterations = Math.min(options.maxIterations ?? microstepsMax, microstepsMax);
}

/** Whether a transition that names the event, by more than a bare `*`, would be taken in this snapshot. */
export const accepts = (snapshot: Snapshot, event: MachineEvent): boolean =>
  snapshot._nodes.some((node: StateNodes) => names(node, event)) && snapshot.can(event as never);

/** Whether any state of the machine does something on events of this type. */
export const knows = (machine: AnyStateMachine, event: MachineEvent): boolean =>
  statesOf(machine.root).some((node) => names(node, event));

const names = (node: StateNodes, { type }: MachineEvent): boolean =>
  [...node.transitions.keys()].some(
    (descriptor) =>
      descriptor === type || (descriptor.endsWith('.*') && type.startsWith(descriptor.slice(0, -1))),
  );
type StateNodes = AnyStateMachine['root'];

/**
 * The snapshot as plain data, to be stored: what XState's `getPersistedSnapshot` gives. That one copies by way of
 * rest properties, at half the cost of a transition; it is asked only for what is not plain as it is.
 */
export function persist(machine: AnyStateMachine, snapshot: Snapshot): Json {
  const { status, output, error, value, historyValue, context } = snapshot;
  const children: Record<string, unknown> = {};
  for (const id in snapshot.children) {
    const child = snapshot.children[id] as PersistableChild;
    children[id] = {
      snapshot: child.getPersistedSnapshot(),
      src: child.src,
      systemId: child.systemId,
      syncSnapshot: child._syncSnapshot,
    };
  }
  return plainOr({ status, output, error, value, historyValue, context, children }, () =>
    plain(machine.getPersistedSnapshot(snapshot), 'snapshot'),
  );
}

interface PersistableChild {
  getPersistedSnapshot(): unknown;
  src: unknown;
  systemId: string | undefined;
  _syncSnapshot: boolean | undefined;
}

/**
 * The live snapshot of stored data. XState's own restore turns a removed state into an error snapshot
 * without context and drops children whose source is gone, silently; here anything that would not
 * persist to the very same data throws `snapshot_refused`, and nothing is lost. So does a state that
 * invokes what was never started, or no longer takes one of the events that `timers` will bring: the run
 * would wait for ever.
 */
export function revive(machine: AnyStateMachine, stored: Json, timers: Iterable<MachineEvent>): Snapshot {
  const shaped = typeof stored === 'object' && stored !== null && !Array.isArray(stored);
  if (!shaped || typeof stored.status !== 'string' || !('context' in stored) || !('children' in stored))
    throw unrecoverable('snapshot_refused', 'the stored snapshot is not one of a state machine', {
      subject: machine.id,
    });
  let snapshot: Snapshot;
  try {
    snapshot = createActor(machine, { snapshot: stored as never }).getSnapshot() as Snapshot;
  } catch (cause) {
    throw unrecoverable('snapshot_refused', 'the machine cannot restore the stored snapshot', {
      subject: machine.id,
      cause,
    });
  }
  if (snapshot.status === 'error' && stored.status !== 'error')
    throw unrecoverable(
      'snapshot_refused',
      `the machine no longer has the state ${JSON.stringify(stored.value)}`,
      {
        subject: machine.id,
        hint: 'register a migration for the stored version, or run the version that wrote it',
        cause: snapshot.error,
      },
    );
  if (!same(persist(machine, snapshot), stored))
    throw unrecoverable('snapshot_refused', 'the machine would change the stored snapshot by restoring it', {
      subject: machine.id,
      hint: 'raise the machine version and register a migration from the stored one',
    });
  refuseStrangers(machine, snapshot, timers);
  return snapshot;
}

function refuseStrangers(machine: AnyStateMachine, snapshot: Snapshot, timers: Iterable<MachineEvent>): void {
  const active = snapshot._nodes;
  const refuse = (what: string) =>
    unrecoverable('snapshot_refused', what, {
      subject: machine.id,
      hint: 'raise the machine version and register a migration from the stored one',
    });
  for (const { id } of active.flatMap((node) => node.invoke))
    if (snapshot.status === 'active' && snapshot.children[id] === undefined)
      throw refuse(`the state now invokes '${id}', which this run never started`);
  for (const { type } of timers)
    if (type.startsWith('xstate.after.') && !active.some((node) => node.transitions.has(type)))
      throw refuse(`the state no longer has the deadline '${type}'`);
}

/** State, outcome and output of a snapshot. Final states tell failure and cancellation by their tags. */
export function stand(snapshot: Snapshot): Standing {
  const state = stateName(snapshot.value);
  const tags = [...snapshot.tags];
  if (snapshot.status === 'error')
    return { state, tags, outcome: 'failed', output: null, error: toErrorRecord(snapshot.error) };
  if (snapshot.status !== 'done') return { state, tags, outcome: 'active', output: null, error: null };
  const output = snapshot.output === undefined ? null : plain(snapshot.output, 'output');
  if (snapshot.hasTag('failed')) return { state, tags, outcome: 'failed', output, error: errorOf(output) };
  if (snapshot.hasTag('cancelled')) return { state, tags, outcome: 'cancelled', output, error: null };
  return { state, tags, outcome: 'done', output, error: null };
}

function errorOf(output: Json | null): ErrorRecord {
  const stated =
    typeof output === 'object' && output !== null && !Array.isArray(output) ? output.error : null;
  return toErrorRecord(stated ?? new Error('the machine ended in a state tagged `failed`'));
}

/** `a.b` for nested states; regions of a parallel state joined by `+`. */
export function stateName(value: unknown): string {
  if (typeof value === 'string') return value;
  if (typeof value !== 'object' || value === null) return '';
  return Object.entries(value)
    .map(([key, inner]) => (stateName(inner) === '' ? key : `${key}.${stateName(inner)}`))
    .join('+');
}

interface Description {
  hash: string;
  config: string;
}
/** A machine never changes, and several engines may be opened on it. */
const descriptions = new WeakMap<AnyStateMachine, Description>();

/** A hash of what is executed, and the definition as data for those who draw it. */
export function describeMachine(machine: AnyStateMachine): Description {
  const known = descriptions.get(machine);
  if (known !== undefined) return known;
  const config = JSON.stringify(machine.config, (key, value: unknown) => {
    if (key === 'context' && typeof value !== 'function') return undefined;
    return typeof value === 'function'
      ? { function: (value as { type?: string }).type ?? value.name }
      : value;
  });
  const description = { hash: createHash('sha256').update(config).digest('hex'), config };
  descriptions.set(machine, description);
  return description;
}

interface RawAction {
  type: string;
  params?: unknown;
}
interface RawParams {
  id?: string;
  src?: unknown;
  input?: unknown;
  sendId?: string;
  event?: AnyEventObject;
  delay?: number;
  to?: { id?: string };
  targetId?: string;
}

function toCommands(actions: readonly RawAction[], snapshot: Snapshot): Command[] {
  const commands: Command[] = [];
  let index = 0;
  for (const action of actions) {
    const command = toCommand(action, index++, snapshot);
    if (command !== null) commands.push(command);
  }
  return commands;
}

function toCommand(action: RawAction, index: number, snapshot: Snapshot): Command | null {
  const params = (action.params ?? {}) as RawParams;
  switch (action.type) {
    case 'xstate.spawnChild':
      if (typeof params.src !== 'string')
        throw refusal(
          snapshot.machine.id,
          `child '${params.id}' has inline logic`,
          'name it in setup({ actors })',
        );
      return {
        type: 'spawn',
        child: String(params.id),
        src: params.src,
        input: plain(params.input, `input of ${params.id}`),
      };
    case 'xstate.stopChild':
      // Without params the child was never there, or is gone: nothing to stop.
      return params.id === undefined ? null : { type: 'stop', child: params.id };
    case 'xstate.raise':
      // Without a delay it has been taken within this very macrostep.
      return params.delay === undefined
        ? null
        : {
            type: 'schedule',
            timer: params.id ?? `raise.${params.event?.type}.${index}`,
            event: plainEvent(params.event),
            delayMs: params.delay,
          };
    case 'xstate.cancel':
      return { type: 'unschedule', timer: String(params.sendId) };
    case 'xstate.sendTo': {
      const child = params.targetId ?? null;
      return {
        type: 'send',
        child,
        event: plainEvent(params.event),
        timer: params.delay === undefined ? null : (params.id ?? `send.${params.event?.type}.${index}`),
        delayMs: params.delay ?? 0,
      };
    }
    case 'xstate.emit':
      return { type: 'emit', event: plainEvent(params.event) };
    case 'xstate.log':
      return null;
    default:
      throw refusal(
        snapshot.machine.id,
        `action '${action.type}' is not one that the engine can make durable`,
        'invoke an actor instead',
      );
  }
}

const plainEvent = (event: AnyEventObject | undefined): MachineEvent => plain(event, 'event') as MachineEvent;

const refusal = (machine: string, what: string, hint: string) =>
  unrecoverable('machine_refused', `machine '${machine}': ${what}`, { subject: machine, hint });

function same(left: Json | undefined, right: Json | undefined): boolean {
  if (left === right) return true;
  if (typeof left !== 'object' || typeof right !== 'object' || left === null || right === null) return false;
  if (Array.isArray(left) !== Array.isArray(right)) return false;
  const keys = Object.keys(left);
  if (keys.length !== Object.keys(right).length) return false;
  return keys.every(
    (key) => Object.hasOwn(right, key) && same((left as JsonRecord)[key], (right as JsonRecord)[key]),
  );
}
type JsonRecord = { [key: string]: Json };
