import type {
  AnyStateMachine,
  EventFromLogic,
  EventObject,
  InputFrom,
  OutputFrom,
  PromiseActorLogic,
  SnapshotFrom,
  StateMachine,
  TagsFrom,
} from 'xstate';
import type { Effect } from '#core/effect';
import type { EventSchema } from './event-schema.ts';
import type { EffectPolicy, Json } from './types.ts';

/**
 * A machine as the engine runs it. Made by `defineMachine`, which infers every parameter. As a bare
 * `Definition` it is any machine at all: what it takes and gives is then unknown to the compiler.
 */
export interface Definition<
  Input = never,
  Output = unknown,
  Event = never,
  Context = unknown,
  Tag extends string = string,
  Children = unknown,
  Name extends string = string,
> {
  readonly name: Name;
  readonly version: number;
  readonly machine: AnyStateMachine;
  /** Effects by actor name. */
  readonly actors: Readonly<Record<string, Effect<never, unknown>>>;
  /** Actors that are runs of other machines. */
  readonly children: Readonly<Record<string, Definition>>;
  /** By actor name, for children: what the end of a run means for them. */
  readonly onParentClose: Readonly<Record<string, 'cancel' | 'abandon'>>;
  /** One live run for each key; null for a run without. */
  readonly key: (input: Input) => string | null;
  /** The queue whose places limit how many runs of this machine move at once. */
  readonly queue: string | null;
  /** What events from outside must be like, by their types. */
  readonly events: Readonly<Record<string, EventSchema>>;
  /** Where the values are that are stored nowhere but in a table of their own: `input.token`, `context.auth.*`. */
  readonly secrets: readonly string[];
  /** By actor name. */
  readonly effects: Readonly<Record<string, EffectPolicy>>;
  /** By the stored version: that version's snapshot as one of this version. */
  readonly migrate: Readonly<Record<number, (snapshot: Json) => Json>>;
  /** Never set: what only the compiler knows of it. */
  readonly types?: {
    readonly output: Output;
    readonly takes: (event: Event) => void;
    readonly context: Context;
    readonly tag: Tag;
    readonly children: Children;
  };
}

type Known<T, Otherwise> = [T] extends [never] ? Otherwise : unknown extends T ? Otherwise : T;
type TypesOf<D extends Definition> = NonNullable<D['types']>;

/** What a run of `D` is started with. */
export type InputOf<D extends Definition> = Parameters<D['key']>[0];
/** What a run of `D` gives when it is done. */
export type OutputOf<D extends Definition> = Known<TypesOf<D>['output'], Json>;
/** The events that `engine.send` takes for a run of `D`. Those named `flyd.*` and `xstate.*` are the engine's own. */
export type EventOf<D extends Definition> = Known<
  Exclude<Parameters<TypesOf<D>['takes']>[0], { type: `flyd.${string}` | `xstate.${string}` }>,
  { type: string }
>;
export type ContextOf<D extends Definition> = Known<TypesOf<D>['context'], Json>;
/** The tags of its states: the names of what a run is doing that outsiders may rely on. */
export type TagOf<D extends Definition> = TypesOf<D>['tag'];
/** The definitions that runs of `D` start runs of: a union. */
export type ChildrenOf<D extends Definition> = Extract<Known<TypesOf<D>['children'], Definition>, Definition>;

/** The stored input of a run of `D`. */
export type StoredInput<D extends Definition> = Known<InputOf<D>, Json>;

/** A persisted snapshot, as plain data. Of any machine: just JSON. */
export type SnapshotOf<D extends Definition> = unknown extends TypesOf<D>['context']
  ? Json
  : {
      status: 'active' | 'done' | 'error' | 'stopped';
      value: Json;
      context: ContextOf<D>;
      children: { [id: string]: Json };
      output?: OutputOf<D>;
    };

/** The id of a run: a string that remembers, for the compiler only, which machine the run is of. */
export type RunId<D extends Definition = Definition> = string & { readonly run?: D };

/** The actors that a machine declares in `setup({ actors })`: a union of `{ src, logic }`. */
type DeclaredActor<M> =
  M extends StateMachine<
    infer _Context,
    infer _Event,
    infer _Children,
    infer Actor,
    infer _Action,
    infer _Guard,
    infer _Delay,
    infer _Value,
    infer _Tag,
    infer _Input,
    infer _Output,
    infer _Emitted,
    infer _Meta,
    infer _Schema,
    infer _TransitionMeta
  >
    ? Actor
    : never;

/** What must be given for each declared actor: an effect, or the definition of the machine it is a run of. */
export type Implementations<M> = { [Src in DeclaredActor<M>['src']]: ImplementationOf<M, Src> };

type ImplementationOf<M, Src> =
  Extract<DeclaredActor<M>, { src: Src }> extends { logic: EffectLogic<infer Input, infer Output> }
    ? Effect<Input, Output> | Definition<Input, Output>
    : never;

type EffectLogic<Input, Output> = PromiseActorLogic<Output, Input, EventObject>;

/** Those among the implementations that are machines of their own. */
type Children<Given> = { [Src in keyof Given]: Extract<Given[Src], Definition> }[keyof Given];

/** The definition that `defineMachine` makes of a statechart, its name and its implementations. */
export type DefinitionOf<M extends AnyStateMachine, Name extends string, Given> = Definition<
  InputFrom<M>,
  OutputFrom<M>,
  EventFromLogic<M>,
  SnapshotFrom<M>['context'],
  TagsFrom<M>,
  Children<Given>,
  Name
>;
