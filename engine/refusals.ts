import type { AnyStateMachine } from 'xstate';
import { isDeclared } from '#core/effect';

type StateNode = AnyStateMachine['root'];
type Invoke = StateNode['invoke'][number];

/** Every state of the machine, the root included. */
export const statesOf = (node: StateNode): StateNode[] => [
  node,
  ...Object.values(node.states as Record<string, StateNode>).flatMap(statesOf),
];

/**
 * What makes a machine unfit for storage by name, as sentences that say what to write instead; empty
 * when it is fit. `known` holds the actors that have an implementation. Snapshots keep children by id
 * and source by name, and XState drops a child whose name no longer resolves, so every name must be stable.
 */
export function faultsOf(machine: AnyStateMachine, known: ReadonlySet<string>): string[] {
  return [
    ...statesOf(machine.root).flatMap((node) => stateFaults(node, machine, known)),
    ...Object.entries(machine.implementations.actions ?? {}).flatMap(([name, action]) =>
      isBuiltin(action)
        ? builtinFaults(action, `action '${name}'`, machine, known)
        : [`action '${name}' is a plain function, whose effect no crash survives: invoke an actor instead`],
    ),
    ...Object.entries(machine.implementations.actors ?? {}).flatMap(([name, logic]) =>
      logicFaults(name, logic),
    ),
  ];
}

function stateFaults(node: StateNode, machine: AnyStateMachine, known: ReadonlySet<string>): string[] {
  const where = `state '${node.id}'`;
  const transitions = [...node.transitions.values(), node.always ?? []].flat();
  const initial = node.config.initial === undefined ? [] : node.initial.actions;
  const actions = [...node.entry, ...node.exit, ...initial, ...transitions.flatMap((one) => one.actions)];
  return [
    ...node.invoke.flatMap((invoke) => invokeFaults(invoke, where, known)),
    ...actions.flatMap((action) => actionFaults(action, where, machine, known)),
    ...transitions.flatMap(({ guard }) => guardFaults(guard, where, machine)),
  ];
}

function invokeFaults({ src, id, systemId, onSnapshot }: Invoke, where: string, known: ReadonlySet<string>) {
  const faults: string[] = [];
  if (typeof src !== 'string' || src.startsWith('xstate.invoke.'))
    faults.push(`${where} invokes inline logic: name it in setup({ actors })`);
  else if (!known.has(src))
    faults.push(`${where} invokes '${src}', which has no implementation in \`actors\``);
  if (/^\d+\./.test(id))
    faults.push(`${where} invokes ${String(src)} without an id: give it an explicit one`);
  if (systemId !== undefined) faults.push(systemFault(where, id));
  if (onSnapshot !== undefined) faults.push(snapshotFault(where, id));
  return faults;
}

const systemFault = (where: string, child: string): string =>
  `${where} gives child '${child}' a systemId, which is looked up in memory only: send to it by its id`;
const snapshotFault = (where: string, child: string): string =>
  `${where} listens to the snapshots of '${child}', which would be an event to store for each step of it: let it end with an output, or send an event`;

function actionFaults(
  action: unknown,
  where: string,
  machine: AnyStateMachine,
  known: ReadonlySet<string>,
): string[] {
  if (isBuiltin(action)) return builtinFaults(action, where, machine, known);
  if (typeof action === 'function')
    return [
      `${where} has an inline action: name it in setup({ actions }), as an assign, sendTo and the like`,
    ];
  const name = typeof action === 'string' ? action : (action as { type: string }).type;
  return Object.hasOwn(machine.implementations.actions ?? {}, name)
    ? []
    : [`${where} names the action '${name}', which is not there: add it to setup({ actions })`];
}

/** The built-in actions of XState carry what they were made with. */
interface Builtin {
  type: string;
  src?: unknown;
  id?: unknown;
  to?: unknown;
  delay?: unknown;
  systemId?: unknown;
  syncSnapshot?: boolean;
}

const isBuiltin = (action: unknown): action is Builtin => {
  const type = typeof action === 'function' && 'type' in action ? action.type : undefined;
  return typeof type === 'string' && type.startsWith('xstate.');
};

function builtinFaults(
  { type, src, id, to, delay, systemId, syncSnapshot }: Builtin,
  where: string,
  { implementations }: AnyStateMachine,
  known: ReadonlySet<string>,
): string[] {
  const faults: string[] = [];
  if (typeof delay === 'string' && !Object.hasOwn(implementations.delays ?? {}, delay))
    faults.push(`${where} names the delay '${delay}', which is not there: add it to setup({ delays })`);
  if (type === 'xstate.sendTo') {
    if (to === '#_parent')
      faults.push(
        `${where} sends to its parent, which may be several runs, or none: end with an output, or let an effect call engine.send`,
      );
    else if (delay !== undefined && typeof to === 'string' && to !== '#_internal')
      faults.push(
        `${where} sends a delayed event to a child: use \`after\` or a delayed raise here, then sendTo`,
      );
  }
  if (type === 'xstate.spawnChild') {
    const child = typeof id === 'string' ? id : String(src);
    if (typeof src !== 'string') faults.push(`${where} spawns inline logic: name it in setup({ actors })`);
    else if (!known.has(src))
      faults.push(`${where} spawns '${src}', which has no implementation in \`actors\``);
    if (id === undefined)
      faults.push(`${where} spawns ${String(src)} without an id: give it one that tells it from others`);
    if (systemId !== undefined) faults.push(systemFault(where, child));
    if (syncSnapshot === true) faults.push(snapshotFault(where, child));
  }
  return faults;
}

/** Guards may be named, inline, or made of others by `and`, `or` and `not`. */
function guardFaults(guard: unknown, where: string, machine: AnyStateMachine): string[] {
  if (guard === undefined) return [];
  if (typeof guard === 'function')
    return 'guards' in guard && Array.isArray(guard.guards)
      ? guard.guards.flatMap((inner) => guardFaults(inner, where, machine))
      : [];
  const name = typeof guard === 'string' ? guard : (guard as { type: string }).type;
  return Object.hasOwn(machine.implementations.guards ?? {}, name)
    ? []
    : [`${where} names the guard '${name}', which is not there: add it to setup({ guards })`];
}

function logicFaults(name: string, logic: unknown): string[] {
  if (isDeclared(logic)) return [];
  const declare = 'declare it by effect<Input, Output>()';
  if (typeof logic === 'object' && logic !== null && 'root' in logic)
    return [`actor '${name}' is a machine: ${declare} and name its definition in \`actors\``];
  return [
    `actor '${name}' has code of its own in setup(), which no crash survives: ${declare} and give an async function in \`actors\`; one that listens for long sends what it hears by engine.send`,
  ];
}
