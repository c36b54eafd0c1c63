import { unrecoverable } from '#core/errors';
import { type CheckedRun, canGoOn, checkDatabase } from '#engine/check';
import type { Definition } from '#engine/definition';
import { createRegistry } from '#engine/registry';
import { hasStateDir, openStateDir } from '#infra/state-dir';
import { exitCodes } from './exit.ts';
import { createMachines, type Parts } from './machines.ts';
import { table } from './output.ts';
import type { Session } from './session.ts';

/** Stands for whatever an actor would work with: it has every member, and using one is a bug. */
const absent: object = new Proxy(() => {}, {
  get: () => absent,
  apply() {
    throw unrecoverable('unclassified', 'this command only looks and runs no actor');
  },
});

/** The machines of this build, to look at. */
export const machinesToLookAt = (): Definition[] => Object.values(createMachines(absent as Parts));

/** `flyd machines`: the machines of this build. */
export function listMachines({ out }: Session): number {
  const machines = createRegistry(machinesToLookAt())
    .all()
    .map(({ definition: { name, version, queue }, hash }) => ({ name, version, queue, hash }));
  out.document(machines);
  const rows = machines.map(({ name, version, hash }) => [name, String(version), hash.slice(0, 12)]);
  for (const line of table(['MACHINE', 'VERSION', 'DEFINITION'], rows)) out.say(line);
  return exitCodes.done;
}

/** `flyd machines check`. */
export async function checkMachines({ settings, out }: Session): Promise<number> {
  const state = (await hasStateDir(settings.stateDir)) ? await openStateDir(settings.stateDir) : null;
  try {
    const runs = state === null ? [] : checkDatabase(state.paths.db, machinesToLookAt());
    const bad = runs.filter((run) => !canGoOn(run));
    out.document({ goOn: bad.length === 0, runs });
    for (const line of runs.length === 0 ? ['no live runs'] : table(header, runs.map(rowOf))) out.say(line);
    if (bad.length > 0) {
      out.note(`${bad.length} of ${runs.length} live runs cannot go on with this build`);
      out.note('let them end with the build that wrote them, cancel them, or register a migration');
    }
    return bad.length === 0 ? exitCodes.done : exitCodes.failed;
  } finally {
    state?.close();
  }
}

const header = ['RUN', 'MACHINE', 'VERSION', 'STATE', 'VERDICT', 'WHY'];
const rowOf = ({ id, machine, version, state, verdict, error }: CheckedRun): string[] => [
  id,
  machine,
  String(version),
  state,
  verdict,
  error?.message ?? '',
];
