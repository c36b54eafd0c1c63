import type { AnyStateMachine } from 'xstate';
import { activateMachine } from '#machines/activate';
import { blobMachine } from '#machines/blob';
import { deactivateMachine } from '#machines/deactivate';
import { imageMachine } from '#machines/image';
import { pullMachine } from '#machines/pull';
import { removeMachine } from '#machines/remove';
import { repairMachine } from '#machines/repair';
import { restoreMachine } from '#machines/restore';
import { sweepMachine } from '#machines/sweep';
import { volumeMachine } from '#machines/volume';

/** All machines by the name that their runs have. */
export const machines: Readonly<Record<string, AnyStateMachine>> = {
  activate: activateMachine,
  blob: blobMachine,
  deactivate: deactivateMachine,
  image: imageMachine,
  pull: pullMachine,
  remove: removeMachine,
  repair: repairMachine,
  restore: restoreMachine,
  sweep: sweepMachine,
  volume: volumeMachine,
};

interface StateConfig {
  states?: Record<string, StateConfig>;
  always?: unknown;
  invoke?: { src: string } | { src: string }[];
}

/** A state that no commit can see: it is left at once, whatever holds. */
const isTransient = ({ always }: StateConfig): boolean => {
  const last: unknown = Array.isArray(always) ? always.at(-1) : always;
  return (
    last !== undefined && (typeof last === 'string' || (last as { guard?: unknown }).guard === undefined)
  );
};

interface NamedState {
  /** As runs have it: `making.unpacking`. */
  name: string;
  /** The actors that it invokes. */
  invokes: string[];
}

/** The states without states inside them that a run of this machine can rest in. */
export function restingStates(machine: AnyStateMachine): NamedState[] {
  const visit = (config: StateConfig, path: string[]): NamedState[] =>
    Object.entries(config.states ?? {}).flatMap(([name, state]) => {
      const here = [...path, name];
      if (state.states !== undefined) return visit(state, here);
      if (isTransient(state)) return [];
      const invokes = [state.invoke ?? []].flat().map(({ src }) => src);
      return [{ name: here.join('.'), invokes }];
    });
  return visit(machine.config as StateConfig, []);
}

/** The names of the actors that a machine declares. */
export const actorNames = (machine: AnyStateMachine): string[] => Object.keys(machine.implementations.actors);
