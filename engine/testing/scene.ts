import type { Effect } from '#core/effect';
import type { Engine } from '../api.ts';
import type { Definition } from '../definition.ts';
import type { Queues } from '../queue.ts';
import type { Json } from '../types.ts';
import type { Random } from './random.ts';
import type { LedgerEntry, SimulatedEffect } from './world.ts';

/** Machines and what clients do with them: the part of a simulation that its writer brings. */
export interface Workload {
  name: string;
  /** Places of the queues that its machines name. */
  queues?: Queues;
  /** A new scene for each seed. Everything by chance in it must come from `random`. */
  create(random: Random): Scene;
}

export interface Scene {
  /**
   * The machines, over simulated effects. Called once for each process; what the effects act upon
   * (the world) is to be made in `create`, outside of this.
   */
  machines(simulate: Simulate): Definition[];
  calls: ClientCall[];
  /** The world is mended: whatever else made things fail is to stop. */
  heal?(): void;
  /** Judged after every step: throw when the world is as it must never be. */
  always?(): void;
  /** Judged when every run has ended. Not called when a process lost its lock while it lived. */
  atEnd?(end: End): void;
}

/** Makes the effect of an actor: `simulate('charge', { act: ... })`. */
export type Simulate = <Input, Output>(
  src: string,
  effect: SimulatedEffect<Input, Output>,
) => Effect<Input, Output>;

/** Something a client does. It is tried again, on any process, until a process has answered. */
export interface ClientCall {
  /** For the trace. */
  name: string;
  /** Milliseconds from the start of the simulation. */
  at: number;
  /** Safe to be done twice even after an answer; then it is, now and then. Default: true. */
  repeatable?: boolean;
  call(engine: Engine, machine: (name: string) => Definition<unknown>): Promise<unknown>;
}

/** How a run ended. */
export interface EndedRun {
  id: string;
  machine: string;
  status: 'done' | 'failed' | 'cancelled';
  state: string;
  input: Json;
  output: Json | null;
  /** The run that it handed its work to. */
  continuedAs: string | null;
  /** Event types of its history. */
  events: string[];
}

export interface End {
  runs: EndedRun[];
  ledger: readonly LedgerEntry[];
  /** Names of client calls that some process has answered without an error. */
  answered: ReadonlySet<string>;
  /** How many events with this `mark` (a member of the event) the run has taken. */
  taken(run: string, mark: string): number;
}
