import { FlydError } from '#core/errors';
import type { StartOptions } from '../api.ts';
import type { Json } from '../types.ts';
import type { ClientCall } from './scene.ts';

// What clients usually do, written so that it may be done again: a start has an id, an event a dedupe key.

/** Starts a run of `machine` at `at` (simulated milliseconds) under the id `id`. */
export const startCall = (
  machine: string,
  id: string,
  input: Json,
  at: number,
  options: Omit<StartOptions, 'input' | 'id'> = {},
): ClientCall => ({
  name: `start ${id}`,
  at,
  call: (engine, find) => engine.start(find(machine), { ...options, id, input }),
});

/** Sends an event once. The event carries its `mark`, which is its dedupe key, too: see `End.taken`. */
export const sendCall = (
  run: string,
  event: { type: string; mark: string } & Record<string, Json>,
  at: number,
): ClientCall => ({
  name: `send ${event.type} ${event.mark} to ${run}`,
  at,
  call: (engine) => engine.send(run, event, { dedupe: event.mark }),
});

export const cancelCall = (run: string, at: number): ClientCall => ({
  name: `cancel ${run}`,
  at,
  call: (engine) => engine.cancel(run),
});

export const killCall = (run: string, at: number): ClientCall => ({
  name: `kill ${run}`,
  at,
  call: (engine) => engine.kill(run),
});

/** Deletes the run, if it has ended. */
export const purgeCall = (run: string, at: number): ClientCall => ({
  name: `purge ${run}`,
  at,
  call: (engine) =>
    engine.purge(run).catch((thrown: unknown) => {
      const code = thrown instanceof FlydError ? thrown.code : '';
      if (code !== 'run_in_use' && code !== 'run_not_found') throw thrown;
    }),
});

export const retryCall = (run: string, at: number): ClientCall => ({
  name: `retry ${run}`,
  at,
  call: (engine) => engine.retry(run),
});

/** Waits for the run's end: part of what is checked is that every such wait comes back. */
export const waitCall = (run: string, at: number): ClientCall => ({
  name: `wait for ${run}`,
  at,
  call: (engine) => engine.wait(run),
});
