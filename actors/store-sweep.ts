import { setTimeout as sleep } from 'node:timers/promises';
import { matchRecords, nameBytes } from '#core/blob-files';
import type { Effect } from '#core/effect';
import type { ErrorCode } from '#core/error-codes';
import { FlydError, fromErrorRecord, recoverable, toErrorRecord } from '#core/errors';
import { type DriverName, driverNames } from '#core/image';
import {
  type Activations,
  type Evictions,
  type LeaseClaim,
  type Leases,
  type Sweeps,
  sweepLease,
  type Volumes,
  type VolumeTree,
} from '#db/images/index';
import type { BlobStore } from '#infra/blob-store';
import type { ActivationSpec, VolumeDriver } from '#infra/volumes/driver';
import type { SweepInput, SweepReport } from '#machines/sweep';

type SweptDriver = Pick<VolumeDriver, 'ready' | 'inventory' | 'remove' | 'unmount' | 'discard' | 'parts'>;

export interface StoreSweepDeps {
  sweeps: Sweeps;
  evictions: Evictions;
  leases: Pick<Leases, 'acquire' | 'release'>;
  volumes: Pick<Volumes, 'tree' | 'forget'>;
  activations: Pick<Activations, 'tree' | 'forget'>;
  store: Pick<
    BlobStore,
    'startListing' | 'blobSizes' | 'listPartials' | 'removeBlob' | 'syncRemovals' | 'removePartial'
  >;
  drivers: (name: DriverName) => SweptDriver;
  /** Absolute path of the folder that activations are mounted in. */
  mountRoot: string;
  /** The token of this process, and whether the process with another lives. */
  holder: string;
  isAlive: (holder: string) => boolean;
  now: () => number;
  /** How long to wait for another sweep before an attempt is given up, in ms; default 30 s. */
  patienceMs?: number;
}

/**
 * **Does**: if wished, drops images that were not used for long; then removes what no image, activation or live run needs, children before parents: first marked
 * 'removing' in a transaction that decides, then removed from the world, then from the database; after
 * that, unless it is told not to, what is in the world and in no database.
 * **Safe to repeat because**: each thing is decided anew, and what an earlier sweep marked is finished.
 * What was removed before is not counted again.
 * **If killed**: rows 'removing' are left, which the next sweep finishes; a fetch of the same blob takes
 * it back.
 * **Fails with**: `volume_busy` (recoverable: another sweep is at work, and stays so), or, after it has tried
 * everything, with the first thing that could not be removed.
 */
export const storeSweep =
  (deps: StoreSweepDeps): Effect<SweepInput, SweepReport> =>
  async ({ input: { evict, strangers = true }, signal, effectId }) => {
    signal.throwIfAborted();
    const lease = { resource: sweepLease, holder: deps.holder, effect: effectId };
    await acquire(deps, lease, signal);
    try {
      const wished = strangers ? sweepAll : sweepRows;
      if (evict === undefined) return await wished(deps, signal);
      const { maxBytes, keepWithinMs } = evict;
      const usedBefore = keepWithinMs === null ? null : deps.now() - keepWithinMs;
      const evicted = deps.evictions.evict({ maxBytes, usedBefore });
      return { ...(await wished(deps, signal)), ...evicted };
    } finally {
      deps.leases.release(lease);
    }
  };

/** Another sweep is waited for: it does not do the work of this one, and may take long. Milliseconds. */
const leaseLookMs = 50;
const leaseWaitMs = 30_000;

async function acquire(
  { leases, isAlive, now, patienceMs = leaseWaitMs }: StoreSweepDeps,
  lease: Omit<LeaseClaim, 'now'>,
  signal: AbortSignal,
): Promise<void> {
  const until = performance.now() + patienceMs;
  while (!leases.acquire({ ...lease, now: now() }, isAlive)) {
    if (performance.now() >= until)
      throw recoverable('volume_busy', 'another garbage collection is at work', {
        op: 'store.sweep',
        subject: sweepLease,
      });
    await sleep(leaseLookMs, undefined, { signal });
  }
}

const sweepRows = (deps: StoreSweepDeps, signal: AbortSignal): Promise<SweepReport> =>
  sweep(signal, async (report, attempts) => {
    await sweepWhatIsKnown(deps, report, attempts);
  });

const sweepAll = (deps: StoreSweepDeps, signal: AbortSignal): Promise<SweepReport> =>
  sweep(signal, async (report, attempts) => {
    const known = knownDrivers(deps);
    // Begun before anything is removed: what goes meanwhile is no stranger, and what is not there any more is not removed twice.
    const names = deps.store.startListing();
    await sweepWhatIsKnown(deps, report, attempts);
    for (const name of driverNames) await sweepStrangers(deps, name, known.has(name), report, attempts);
    await sweepStrayBlobs(deps, await names(), report, attempts);
    await sweepPartials(deps, report, attempts);
    await sweepParts(deps, report, attempts);
  });

async function sweep(
  signal: AbortSignal,
  work: (report: SweepReport, attempts: Attempts) => Promise<void>,
): Promise<SweepReport> {
  const report: SweepReport = { blobs: 0, volumes: 0, activations: 0, partials: 0, bytes: 0 };
  const attempts = new Attempts(signal);
  await work(report, attempts);
  attempts.finish();
  return report;
}

async function sweepWhatIsKnown(
  deps: StoreSweepDeps,
  report: SweepReport,
  attempts: Attempts,
): Promise<void> {
  deps.sweeps.dropReservations();
  deps.sweeps.dropConfigs();
  await sweepActivations(deps, report, attempts);
  await sweepVolumes(deps, report, attempts);
  await sweepBlobs(deps, report, attempts);
}

/** Things to remove, one after the other: what fails does not keep the rest from going. */
class Attempts {
  readonly #signal: AbortSignal;
  readonly #failures: unknown[] = [];

  constructor(signal: AbortSignal) {
    this.#signal = signal;
  }

  /** Whether the work was done; an abort ends the sweep at once. */
  async make(work: () => Promise<unknown>): Promise<boolean> {
    this.#signal.throwIfAborted();
    const done = await this.conclude(work);
    if (!done) this.#signal.throwIfAborted();
    return done;
  }

  /** The same for work that ends what was begun, whether or not an abort was asked for. */
  async conclude(work: () => Promise<unknown>): Promise<boolean> {
    try {
      await work();
      return true;
    } catch (error) {
      this.#failures.push(error);
      return false;
    }
  }

  /** Throws when something failed: to be tried again, unless all of it would fail again. */
  finish(): void {
    const records = this.#failures.map((failure) => toErrorRecord(failure));
    const told = records.find(({ kind }) => kind === 'recoverable') ?? records[0];
    if (told === undefined) return;
    const { kind, code, message, hint } = told;
    throw new FlydError(
      kind,
      code as ErrorCode,
      `${records.length} things could not be removed: ${message}`,
      {
        op: 'store.sweep',
        subject: told.subject,
        hint: hint ?? 'mend that, then run flyd gc again',
        facts: { failures: records.length },
        cause: fromErrorRecord(told),
      },
    );
  }
}

/** Drivers that the database tells of: what goes wrong with others on this machine is no news. */
const knownDrivers = ({ sweeps }: StoreSweepDeps): Set<DriverName> => new Set(sweeps.knownDrivers());

async function sweepActivations(
  deps: StoreSweepDeps,
  report: SweepReport,
  attempts: Attempts,
): Promise<void> {
  for (const row of deps.sweeps.doomActivations()) {
    const done = await attempts.make(async () => {
      await takeDown(deps.drivers(row.driver), deps.activations.tree(row));
      deps.activations.forget(row.id);
    });
    if (done) report.activations += 1;
  }
}

async function sweepVolumes(deps: StoreSweepDeps, report: SweepReport, attempts: Attempts): Promise<void> {
  for (const row of deps.sweeps.doomVolumes()) {
    const done = await attempts.make(async () => {
      await removeVolume(deps.drivers(row.driver), deps.volumes.tree(row.id));
      deps.volumes.forget(row.id);
    });
    if (done) report.volumes += 1;
  }
}

/** What the driver has and no row tells of: rows are written before a thing is made, and dropped after. */
async function sweepStrangers(
  { drivers, sweeps, mountRoot }: StoreSweepDeps,
  name: DriverName,
  isKnown: boolean,
  report: SweepReport,
  attempts: Attempts,
): Promise<void> {
  const driver = drivers(name);
  let found: Awaited<ReturnType<VolumeDriver['inventory']>> = { volumes: [], activations: [] };
  const look = async () => {
    found = await driver.inventory();
  };
  if (isKnown) await attempts.make(look);
  else await look().catch(() => undefined);
  let standing = 0;
  for (const id of sweeps.strangers('activations', found.activations)) {
    const done = await attempts.make(() => takeDown(driver, strangeActivation(id, mountRoot)));
    if (done) report.activations += 1;
    else standing += 1;
  }
  // An activation that stays may stand on any of the volumes.
  if (standing > 0) return;
  for (const id of sweeps.strangers('volumes', found.volumes))
    if (await attempts.make(() => removeVolume(driver, strangeVolume(id)))) report.volumes += 1;
}

/** So many blobs share a sync and a commit: that is what removing one costs, not its file. */
const blobsTogether = 256;

async function sweepBlobs(
  { sweeps, store }: StoreSweepDeps,
  report: SweepReport,
  attempts: Attempts,
): Promise<void> {
  const doomed = sweeps.doomBlobs();
  for (let at = 0; at < doomed.length; at += blobsTogether) {
    const gone: typeof doomed = [];
    let anyFile = false;
    try {
      for (const blob of doomed.slice(at, at + blobsTogether)) {
        const remove = async () => {
          if (await store.removeBlob(blob.digest)) anyFile = true;
        };
        if (await attempts.make(remove)) gone.push(blob);
      }
    } finally {
      // Also when it is told to stop: what is gone is not counted again by the next sweep.
      const done = await attempts.conclude(async () => {
        if (anyFile) await store.syncRemovals();
        sweeps.forgetBlobs(gone.map(({ digest }) => digest));
      });
      if (done) {
        report.blobs += gone.length;
        report.bytes += gone.reduce((sum, { size }) => sum + size, 0);
      }
    }
  }
}

/** Files that no row tells of. */
async function sweepStrayBlobs(
  { sweeps, store }: StoreSweepDeps,
  names: Uint8Array,
  report: SweepReport,
  attempts: Attempts,
): Promise<void> {
  const { strangers } = matchRecords(names, sweeps.blobNames(), nameBytes);
  const before = report.blobs;
  for (const [digest, size] of store.blobSizes(strangers.map((stranger) => stranger.digest))) {
    // A file gets its name before its row: while anything is pulled, it may be on its way.
    if (sweeps.isPulling()) continue;
    if (!(await attempts.make(() => store.removeBlob(digest)))) continue;
    report.blobs += 1;
    report.bytes += size;
  }
  if (report.blobs > before) await attempts.make(() => store.syncRemovals());
}

async function sweepPartials(
  { sweeps, store }: StoreSweepDeps,
  report: SweepReport,
  attempts: Attempts,
): Promise<void> {
  for (const { id, bytes } of await store.listPartials()) {
    if (sweeps.isPulling() || !(await attempts.make(() => store.removePartial(id)))) continue;
    report.partials += 1;
    report.bytes += bytes;
  }
}

/** What drivers have prepared of layers, and no live pull can come for. */
async function sweepParts(
  { sweeps, drivers }: StoreSweepDeps,
  report: SweepReport,
  attempts: Attempts,
): Promise<void> {
  for (const name of driverNames) {
    const { parts } = drivers(name);
    for (const part of (await parts?.list()) ?? []) {
      if (sweeps.isPulling() || !(await attempts.make(async () => parts?.remove(part.name)))) continue;
      report.partials += 1;
      report.bytes += part.bytes;
    }
  }
}

/** A driver is made ready only for what there is to do: a sweep sets up no pool. */
async function takeDown(driver: SweptDriver, activation: ActivationSpec): Promise<void> {
  await driver.ready();
  await driver.unmount(activation);
  await driver.discard(activation);
}

async function removeVolume(driver: SweptDriver, volume: VolumeTree): Promise<void> {
  await driver.ready();
  await driver.remove(volume);
}

const strangeVolume = (id: string): VolumeTree => ({ id, parent: null, device: null, sizeBytes: null });

/** All that is known of it is its id. */
const strangeActivation = (id: string, mountRoot: string): ActivationSpec => ({
  id,
  base: strangeVolume('vol-0000000000000000'),
  device: null,
  sizeBytes: null,
  readOnly: false,
  suid: false,
  dev: false,
  owner: null,
  attach: 'mount',
  mountPoint: `${mountRoot}/${id}`,
});
