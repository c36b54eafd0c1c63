import type { DriverName } from '#core/image';
import { type NearlyFull, nearlyFull } from '#core/pool-fill';
import type { RunView } from '#engine/types';
import type { Workbench } from './compose.ts';
import { bytesText } from './output.ts';
import type { Session } from './session.ts';

/** Machines that take room in a pool, and where their input or the database has the driver. */
function driverOf({ images }: Workbench, { machine, input }: RunView): DriverName | null {
  const given = input as { driver?: DriverName; image?: string } | null;
  if (machine === 'pull') return given?.driver ?? null;
  return machine === 'activate' ? (images.images.find(given?.image ?? '')?.driver ?? null) : null;
}

/**
 * Warns when a run that has ended, or is stuck, leaves the pool beyond a threshold (setting `warnAt`): in the
 * log, and on the terminal once for each command, however many runs it reports. Gives the warnings for the
 * document of the run. None when the pool cannot be asked: then the run's own error says what is wrong.
 */
export function createPoolWarner(
  { settings, out }: Session,
  bench: Workbench,
): (view: RunView) => Promise<NearlyFull[]> {
  const told = new Set<string>();
  return async (view) => {
    if (driverOf(bench, view) !== 'devmapper') return [];
    if (view.endedAt === null && view.status !== 'parked') return [];
    const rows = await bench.drivers.byName.devmapper.space().catch(() => []);
    const warnings = nearlyFull(rows, settings.warnAt);
    for (const { what, percent, freeBytes, fix } of warnings) {
      bench.log.warn({ run: view.id, what, percent, freeBytes }, 'the pool is nearly full');
      if (!told.has(what))
        out.note(`warning: ${what} is ${percent} % full, ${bytesText(freeBytes)} free; to make room: ${fix}`);
      told.add(what);
    }
    return warnings;
  };
}
