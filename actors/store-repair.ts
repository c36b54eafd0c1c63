import type { Effect } from '#core/effect';
import { toErrorRecord, unrecoverable } from '#core/errors';
import { type DriverName, driverNames } from '#core/image';
import type { Activations, Repairs, Restored, Volumes } from '#db/images/index';
import type { VolumeDriver } from '#infra/volumes/driver';
import type { RepairReport } from '#machines/repair';

export interface StoreRepairDeps {
  repairs: Repairs;
  restored: Restored;
  now: () => number;
  volumes: Pick<Volumes, 'list'>;
  activations: Pick<Activations, 'settled' | 'find'>;
  drivers: (name: DriverName) => Pick<VolumeDriver, 'ready' | 'inventory'>;
  /** Of the host; each says what it has done, in words. */
  host: {
    detachStaleLoops(): Promise<string[]>;
    /** Makes the pool as large as its devices. */
    growPool(): Promise<string[]>;
    repairPool(): Promise<string[]>;
    /** Unmounts and checks activations whose file systems have met errors; a restoration mounts them again. */
    checkAiling(): Promise<string[]>;
    /** Ids that are mapped in the pool, and devices that are in it; null where the pool is not mapped or not readable. */
    lookAtPool(): Promise<{ mapped: readonly string[]; lost: readonly string[] } | null>;
    unmapStrays(ids: readonly string[]): Promise<string[]>;
    /** Ids of mounts under the mount root. */
    mounted(): Promise<string[]>;
    unmountStray(id: string): Promise<string[]>;
  };
}

/**
 * **Does**: detaches stale loops, makes the pool as large as its devices, checks and revives a read-only pool and
 * file systems that met errors, unmounts and unmaps what no row
 * tells of, and lets the database forget what is gone: then a pull makes it again. After a restored backup,
 * what is there and unknown is kept from the garbage collector. Deletes no data: what
 * nobody knows stays in the pool and on the disk, for `flyd gc` or a person.
 * **Safe to repeat because**: each step looks first, and finds nothing left to do.
 * **If killed**: some steps are done; the next call does the rest.
 * **Fails with**: `database_failed`; what one step could not do is in the report.
 */
export const storeRepair =
  (deps: StoreRepairDeps): Effect<Record<string, never>, RepairReport> =>
  async ({ signal }) => {
    const report: RepairReport = { done: [], failed: [] };
    const attempt = async (what: string, work: () => Promise<string[]>): Promise<boolean> => {
      signal.throwIfAborted();
      try {
        report.done.push(...(await work()));
        return true;
      } catch (error) {
        signal.throwIfAborted();
        report.failed.push({ what, error: toErrorRecord(error) });
        return false;
      }
    };
    const { host } = deps;
    await attempt('stale loop devices', host.detachStaleLoops);
    await attempt('the size of the pool', host.growPool);
    const isPoolWell = await attempt('the pool', host.repairPool);
    // On a pool that takes no writes every file system would seem to ail, and none could be mended.
    if (isPoolWell) await attempt('file systems that met errors', host.checkAiling);
    await attempt('mappings that nobody knows', () => unmapUnknown(deps));
    await attempt('mounts that nobody knows', () => unmountUnknown(deps));
    for (const name of knownDrivers(deps))
      await attempt(`what ${name} has lost`, () => forgetLost(deps, name));
    if (deps.restored.takenAt() !== null) {
      await attempt('what was made after the backup', () => keepUnknown(deps));
      if (report.failed.length === 0) deps.restored.settle();
    }
    return report;
  };

/** What a restored database does not know was made after the backup: somebody may want it. */
async function keepUnknown(deps: StoreRepairDeps): Promise<string[]> {
  const unknown: string[] = [];
  for (const name of driverNames) {
    const { volumes, activations } = await deps.drivers(name).inventory();
    unknown.push(...[...volumes, ...activations].filter((id) => !isKnown(deps, id)));
  }
  deps.restored.keep(unknown, deps.now());
  return unknown.map((id) => `kept ${id}: it was made after the backup (flyd db forget ${id} lets it go)`);
}

const knownDrivers = ({ volumes, activations }: StoreRepairDeps): DriverName[] => {
  const used = new Set([...volumes.list(), ...activations.settled()].map(({ driver }) => driver));
  return driverNames.filter((name) => used.has(name));
};

const isKnown = ({ volumes, activations }: StoreRepairDeps, id: string): boolean =>
  activations.find(id) !== null || volumes.list().some((row) => row.id === id);

async function unmapUnknown(deps: StoreRepairDeps): Promise<string[]> {
  const mapped = (await deps.host.lookAtPool())?.mapped ?? [];
  return deps.host.unmapStrays(mapped.filter((id) => !isKnown(deps, id)));
}

async function unmountUnknown(deps: StoreRepairDeps): Promise<string[]> {
  const strays = (await deps.host.mounted()).filter((id) => !isKnown(deps, id));
  const done: string[] = [];
  for (const id of strays) done.push(...(await deps.host.unmountStray(id)));
  return done;
}

/** Only where the driver is ready and has something: what merely cannot be seen is not lost. */
async function forgetLost(deps: StoreRepairDeps, name: DriverName): Promise<string[]> {
  const { drivers, host, repairs } = deps;
  const driver = drivers(name);
  await driver.ready();
  const [rows, active] = [deps.volumes.list(), deps.activations.settled()];
  // After the rows: a thing is made before its row says that it is there.
  const there = await driver.inventory();
  if (there.volumes.length + there.activations.length === 0)
    throw unrecoverable(
      'driver_unavailable',
      `nothing of the ${name} driver is there: is a disk not mounted?`,
      {
        op: 'store.repair',
        subject: name,
        hint: 'mount it; if all of it is really gone, remove the images: flyd rm',
      },
    );
  const gone = new Set(name === 'devmapper' ? ((await host.lookAtPool())?.lost ?? []) : []);
  const isGone = (ids: readonly string[], id: string): boolean => gone.has(id) || !ids.includes(id);

  const activations = active.filter(({ driver: of, id }) => of === name && isGone(there.activations, id));
  const forgotten = repairs.loseActivations(activations.map(({ id }) => id));
  const volumes = rows.filter(
    ({ driver: of, state, id }) => of === name && state === 'sealed' && isGone(there.volumes, id),
  );
  const lost = volumes.length === 0 ? null : repairs.loseVolumes(volumes.map(({ id }) => id));
  return [
    ...forgotten.map((id) => `forgot ${id}: what was written to it is gone`),
    ...(lost?.volumes ?? []).map((id) => `forgot the volume ${id}: it is gone`),
    ...(lost?.images ?? []).map(({ id, family }) => `dropped the image ${family} (${id}): pull it again`),
    ...(lost?.standing ?? []).map((id) => `left ${id}: it stands on a volume that is gone`),
  ];
}
