import type { Json } from './json.ts';

/** The member that tells a handoff from any other output. */
const mark = 'flyd.handoff';

export interface HandoffOptions {
  /** Default: what the machine's `key` says; null for none. */
  key?: string | null;
  /** Default: the machine's queue; null for none. */
  queue?: string | null;
  /** Default: that of the run that hands off. */
  priority?: number;
  /** The new run begins no earlier than so long from now. */
  delayMs?: number;
}

/** A handoff as it is stored. */
export interface Handoff {
  machine: string;
  input: Json;
  options: HandoffOptions;
}

/** What is needed of a machine's definition. */
interface Target<Input> {
  readonly name: string;
  readonly key: (input: Input) => string | null;
}

/**
 * The output of a machine that does not end its work, but hands it to a new run: of another machine, or
 * of its own, whose history starts anew. `to` is its definition, or its name (as a machine's own
 * definition cannot be named inside of it). For the compiler it gives nothing, and so fits any output.
 */
export function handoff<Input>(to: Target<Input>, input: Input, options?: HandoffOptions): never;
export function handoff(to: string, input: Json, options?: HandoffOptions): never;
export function handoff(to: string | Target<never>, input: unknown, options: HandoffOptions = {}): never {
  return { [mark]: typeof to === 'string' ? to : to.name, input, options } as never;
}

/** The handoff that this output is; null when it is an output like others. */
export function handoffOf(output: Json): Handoff | null {
  if (typeof output !== 'object' || output === null || Array.isArray(output)) return null;
  const { [mark]: machine, input = null, options = {} } = output;
  return typeof machine === 'string' ? { machine, input, options: options as HandoffOptions } : null;
}
