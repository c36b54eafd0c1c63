import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import { aborted } from '#core/errors';
import { type Definition, defineMachine, type Effect, effect, type Json } from '#engine/index';
import { laboratory } from '../laboratory.ts';

/** One row of the table in docs/engine-xstate.md. */
export interface Feature {
  name: string;
  verdict: 'durable' | 'different' | 'refused';
  prove(t: TestContext): void | Promise<void>;
}

/** An event to send, or milliseconds to let go by. */
type Step = ({ type: string } & Record<string, Json>) | number;

export interface Life {
  status: string;
  state: string;
  output: Json | null;
  error: string | null;
  context: Json;
  /** `event -> state` of each commit. */
  went: string[];
  /** Types of emitted events, each once. */
  emitted: string[];
}

type Given = Record<string, Json>;
const id = 'run';

async function live(
  t: TestContext,
  definition: Definition,
  steps: readonly Step[],
  input: Given,
  disturbed: boolean,
): Promise<Life> {
  const { boot, clock } = laboratory(t);
  const emitted = new Set<string>();
  let processes = 0;
  const start = () => {
    const process = boot(`p${++processes}`, [definition]);
    process.engine.subscribe((event) => {
      if (event.type === 'emitted') emitted.add(event.event.type);
    });
    return process;
  };
  let process = start();
  await process.engine.start(process.machine(definition.name), { id, input });
  await clock.advance(0);
  for (const step of steps) {
    if (disturbed) {
      process.die();
      process = start();
      await process.engine.resume();
    }
    if (typeof step === 'number') await clock.advance(step);
    else await process.engine.send(id, step);
    await clock.advance(0);
  }
  const { engine } = process;
  const { status, state, output, error } = engine.run(id);
  const history = engine.history(id);
  const last = history.at(-1);
  const snapshot = (last === undefined ? null : engine.snapshotAt(id, last.seq)) as { context?: Json } | null;
  return {
    status,
    state,
    output,
    error: error === null ? null : `${error.code}: ${error.message}`,
    context: snapshot?.context ?? null,
    went: history.map(({ event, to }) => `${event} -> ${to}`),
    emitted: [...emitted],
  };
}

/**
 * What a run comes to: lived through once as it is, and once with `kill -9` and a new process before
 * every step, which must come to the same.
 */
export async function liveTwice(
  t: TestContext,
  definition: Definition,
  steps: readonly Step[] = [],
  input: Given = {},
): Promise<Life> {
  const life = await live(t, definition, steps, input, false);
  assert.deepEqual(await live(t, definition, steps, input, true), life);
  return life;
}

export type None = Record<string, never>;
/** An actor that may give or take anything. */
export const anything = () => effect<Given, Json>();
export const gives =
  (output: Json): Effect<Given, Json> =>
  async () =>
    output;
export const never: Effect<Given, Json> = ({ signal }) =>
  new Promise((_, reject) => {
    const stop = () => reject(aborted('superseded', 'told to stop', { cause: signal.reason }));
    signal.addEventListener('abort', stop, { once: true });
  });

type Machine = Parameters<typeof defineMachine>[0]['machine'];
/** The machine as a definition, with actors that the compiler need not match. */
export const made = (
  machine: Machine,
  actors: Record<string, Effect<never, unknown> | Definition> = {},
): Definition => defineMachine({ name: machine.id, version: 1, machine, actors: actors as never });

/** Registering the machine fails with a message that says what to write instead. */
export function refused(
  machine: Machine,
  message: RegExp,
  actors: Record<string, Effect<never, unknown> | Definition> = {},
): void {
  assert.throws(() => made(machine, actors), { code: 'machine_refused', message });
}

/** A machine of a configuration that the compiler is not to judge. */
export const loose = (from: { createMachine: unknown }, config: object): Machine =>
  (from.createMachine as (config: object) => Machine)(config);
