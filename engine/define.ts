import type { AnyStateMachine, InputFrom } from 'xstate';
import type { Effect } from '#core/effect';
import { unrecoverable } from '#core/errors';
import type { Definition, DefinitionOf, Implementations } from './definition.ts';
import type { EventSchema } from './event-schema.ts';
import { faultsOf } from './refusals.ts';
import { limitLoops } from './statechart.ts';
import type { EffectPolicy, Json, RetryWishes } from './types.ts';

export interface MachineSpec<
  M extends AnyStateMachine,
  Name extends string = string,
  Given extends Implementations<M> = Implementations<M>,
> {
  /** Stored with every run: renaming it orphans them. */
  name: Name;
  /** Raise it when stored snapshots would no longer fit. */
  version: number;
  machine: M;
  /** For each actor that the machine declares what it does: an effect, or the definition of another machine. */
  actors: Given & { [Src in Exclude<keyof Given, keyof Implementations<M>>]: never };
  /** One live run for each key: starting it again joins that one. */
  key?: (input: InputFrom<M>) => string | null;
  /** Only so many runs of this queue move at once (`EngineOptions.queues`). */
  queue?: string;
  /** Timeouts, heartbeats and retries, by actor name. */
  effects?: Readonly<Record<string, EffectPolicy>>;
  /** Retries alone, by actor name: short for `effects: { name: { retry } }`. */
  retry?: Readonly<Record<string, RetryWishes>>;
  /**
   * By actor name, for those that are machines: what becomes of such a child that is live when its parent
   * ends. `cancel` (default): it is cancelled, if nobody else wants it; `abandon`: it goes on by itself.
   * A child that the machine stops before its end is cancelled either way.
   */
  children?: Readonly<Record<string, { onParentClose?: 'cancel' | 'abandon' }>>;
  /** Schemas (zod or another Standard Schema) of events from outside, by type: `send` refuses what does not fit. */
  events?: Readonly<Record<string, EventSchema>>;
  /**
   * Where secrets are, as paths: `input.token`, `context.auth.*`, `event.login.password`, `output.key`. Their
   * values, wherever they turn up, are stored in a table of their own until the run ends, and shown nowhere.
   */
  secrets?: readonly string[];
  /** By the stored version: its snapshot as one of this version. */
  migrate?: Readonly<Record<number, (snapshot: Json) => Json>>;
}

/**
 * Joins a statechart with what its actors do. Throws `machine_refused`, with every fault and what to
 * write instead, when the machine cannot be stored by name.
 */
export function defineMachine<
  M extends AnyStateMachine,
  const Name extends string,
  Given extends Implementations<M>,
>(spec: MachineSpec<M, Name, Given>): DefinitionOf<M, Name, Given> {
  const actors: Record<string, Effect<never, unknown>> = {};
  const children: Record<string, Definition> = {};
  for (const [src, given] of Object.entries(spec.actors) as [string, Effect<never, unknown> | Definition][])
    if (typeof given === 'function') actors[src] = given;
    else children[src] = given;
  const effects = policiesOf(spec);
  const faults = [
    ...faultsOf(spec.machine, new Set([...Object.keys(actors), ...Object.keys(children)])),
    ...policyFaults(effects, actors),
    ...secretFaults(spec.secrets ?? []),
    ...closeFaults(spec.children ?? {}, children),
  ];
  if (faults.length > 0)
    throw unrecoverable(
      'machine_refused',
      `machine '${spec.name}' cannot be made durable: ${faults.join('; ')}`,
      {
        subject: spec.name,
        facts: { faults: faults.length },
      },
    );
  limitLoops(spec.machine);
  return {
    name: spec.name,
    version: spec.version,
    machine: spec.machine,
    actors,
    children,
    onParentClose: Object.fromEntries(
      Object.entries(spec.children ?? {}).map(([src, { onParentClose = 'cancel' }]) => [src, onParentClose]),
    ),
    key: spec.key ?? (() => null),
    queue: spec.queue ?? null,
    events: spec.events ?? {},
    secrets: spec.secrets ?? [],
    effects,
    migrate: spec.migrate ?? {},
  };
}

function policiesOf({
  effects = {},
  retry = {},
}: Pick<MachineSpec<AnyStateMachine>, 'effects' | 'retry'>): Record<string, EffectPolicy> {
  const policies: Record<string, EffectPolicy> = { ...effects };
  for (const [src, wishes] of Object.entries(retry))
    policies[src] = { ...policies[src], retry: { ...wishes, ...policies[src]?.retry } };
  return policies;
}

function policyFaults(policies: Record<string, EffectPolicy>, actors: object): string[] {
  return Object.entries(policies).flatMap(([src, { timeoutMs, heartbeatMs }]) => [
    ...(src in actors
      ? []
      : [`\`effects\` names '${src}', which is no effect: only functions in \`actors\` are`]),
    ...[timeoutMs, heartbeatMs].flatMap((ms) =>
      ms === undefined || ms > 0 ? [] : [`'${src}' has a deadline of ${ms} ms: leave it out for none`],
    ),
  ]);
}

const secretFaults = (paths: readonly string[]): string[] =>
  paths.flatMap((path) =>
    /^(?:input|context|output|event\.[^.]+)(?:\..+)?$/.test(path)
      ? []
      : [`\`secrets\` has '${path}': begin with input, context, output or event.<type>`],
  );

const closeFaults = (given: object, children: object): string[] =>
  Object.keys(given).flatMap((src) =>
    src in children ? [] : [`\`children\` names '${src}', which is no machine in \`actors\``],
  );

/** The key of a run with this input, which the caller has checked, or which was stored. */
export const keyOf = (definition: Definition, input: unknown): string | null =>
  definition.key(input as never);
