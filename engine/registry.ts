import { unrecoverable } from '#core/errors';
import type { Definition } from './definition.ts';
import { describeMachine } from './statechart.ts';

/** The machines that this build knows, by name. */
export interface Registry {
  find(name: string): { definition: Definition; hash: string } | undefined;
  hashOf(definition: Definition): string;
  all(): { definition: Definition; hash: string; config: string }[];
}

/** Registers machines and every machine that they start runs of. Throws `machine_refused` when two share a name. */
export function createRegistry(machines: readonly Definition[]): Registry {
  const known = new Map<string, { definition: Definition; hash: string; config: string }>();
  const add = (definition: Definition): void => {
    const earlier = known.get(definition.name);
    if (earlier?.definition === definition) return;
    if (earlier !== undefined)
      throw unrecoverable('machine_refused', `two machines are named '${definition.name}'`, {
        subject: definition.name,
        hint: 'a stored run finds its machine by name: give each its own',
      });
    known.set(definition.name, { definition, ...describeMachine(definition.machine) });
    for (const child of Object.values(definition.children)) add(child);
  };
  for (const definition of machines) add(definition);
  return {
    find: (name) => known.get(name),
    hashOf: (definition) => (known.get(definition.name) as { hash: string }).hash,
    all: () => [...known.values()],
  };
}
