import type { AnyStateMachine, InputFrom, OutputFrom, StateMachine } from 'xstate';
import type { Effect } from '#core/effect';
import { unrecoverable } from '#core/errors';
import { faultsOf } from './statechart.ts';
import type { Definition, EffectPolicy, Json, RetryWishes } from './types.ts';

/** The actors that a machine declares in `setup({ actors })`: a union of `{ src, logic }`. */
type DeclaredActor<M> =
  // biome-ignore lint/suspicious/noExplicitAny: only this matches every machine
  M extends StateMachine<any, any, any, infer A, any, any, any, any, any, any, any, any, any, any>
    ? A
    : never;

/** What must be given for each declared actor: an effect, or the definition of the machine it is a run of. */
export type Implementations<M> = { [Src in DeclaredActor<M>['src']]: ImplementationOf<M, Src> };

type ImplementationOf<M, Src> =
  Extract<DeclaredActor<M>, { src: Src }> extends { logic: AnyLogicOf<infer Input, infer Output> }
    ? Effect<Input, Output> | Definition<Input, Output>
    : never;

type AnyLogicOf<Input, Output> = import('xstate').PromiseActorLogic<
  Output,
  Input,
  import('xstate').EventObject
>;

export interface MachineSpec<M extends AnyStateMachine> {
  /** Stored with every run: renaming it orphans them. */
  name: string;
  /** Raise it when stored snapshots would no longer fit. */
  version: number;
  machine: M;
  actors: Implementations<M>;
  /** One live run for each key: starting it again joins that one. */
  key?: (input: InputFrom<M>) => string | null;
  /** Only so many runs of this queue move at once (`EngineOptions.queues`). */
  queue?: string;
  /** Timeouts, heartbeats and retries, by actor name. */
  effects?: Readonly<Record<string, EffectPolicy>>;
  /** Retries alone, by actor name: short for `effects: { name: { retry } }`. */
  retry?: Readonly<Record<string, RetryWishes>>;
  /** By the stored version: its snapshot as one of this version. */
  migrate?: Readonly<Record<number, (snapshot: Json) => Json>>;
}

/**
 * Joins a statechart with what its actors do. Throws `machine_refused`, with every fault and what to
 * write instead, when the machine cannot be stored by name.
 */
export function defineMachine<M extends AnyStateMachine>(
  spec: MachineSpec<M>,
): Definition<InputFrom<M>, OutputFrom<M>> {
  const actors: Record<string, Effect<never, unknown>> = {};
  const children: Record<string, Definition> = {};
  for (const [src, given] of Object.entries(spec.actors) as [string, Effect<never, unknown> | Definition][])
    if (typeof given === 'function') actors[src] = given;
    else children[src] = given;
  const effects = policiesOf(spec);
  const faults = [
    ...faultsOf(spec.machine, new Set([...Object.keys(actors), ...Object.keys(children)])),
    ...policyFaults(effects, actors),
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
  return {
    name: spec.name,
    version: spec.version,
    machine: spec.machine,
    actors,
    children,
    key: spec.key ?? (() => null),
    queue: spec.queue ?? null,
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
