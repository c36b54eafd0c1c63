import { randomBytes } from 'node:crypto';
import type { SpaceReserve } from '#actors/image-reserve';
import { FlydError } from '#core/errors';
import { platformOf } from '#core/platform';
import { createImageStore, type ImageStore } from '#db/images/index';
import type { Engine } from '#engine/api';
import { openEngine } from '#engine/engine';
import type { EngineEvent, RetryPolicies } from '#engine/types';
import { createBlobStore } from '#infra/blob-store';
import type { Settings } from '#infra/config';
import { createExec } from '#infra/exec';
import { createProbe } from '#infra/fault';
import { openCommitNotes } from '#infra/generation';
import { createImageSources } from '#infra/image-sources';
import { createLog, type Log } from '#infra/log';
import { createOwnerLocks } from '#infra/owner-locks';
import { createProgressBoard, type ProgressBoard } from '#infra/progress-board';
import { createRegistry } from '#infra/registry';
import { createCredentials } from '#infra/registry/credentials';
import { openReserve, type Reserve } from '#infra/reserve';
import { createS3Source } from '#infra/s3';
import { ensurePrivate, openStateDir } from '#infra/state-dir';
import { createVerifier } from '#infra/verifier';
import { createDrivers, type Drivers } from '#infra/volumes/index';
import { poolStateOf } from '#infra/volumes/pool-state';
import { spaceOf } from '#infra/volumes/space';
import { openStateDatabase } from './database.ts';
import { createEngineFaults } from './engine-faults.ts';
import { createMachines, type Machines } from './machines.ts';
import { poolOptionsOf } from './pool-options.ts';
import { createRepairHost } from './repair-host.ts';
import { noticeRestored } from './restored.ts';
import type { Session } from './session.ts';

/** The one place that builds the parts of flyd and joins them. */
export interface Workbench {
  engine: Engine;
  machines: Machines;
  images: ImageStore;
  drivers: Drivers;
  log: Log;
  /** Lets every run go, resumable, and gives everything back. */
  close(): Promise<void>;
}

/** A pull must leave so much of everything that it uses up. */
const spare: SpaceReserve = { fraction: 0.05, bytesMax: 2 * 1024 ** 3 };

const dayMs = 86_400_000;

/** The engine passes this point when a commit of a run is written. */
const committed = /^commit:.*:after$/;

export interface WorkbenchOptions {
  /** For what makes room on a full disk: it goes on with the reserve of the state directory. */
  freesRoom?: boolean;
}

/** All parts, ready to move runs. Makes the state directory when there is none. */
export async function openWorkbench(
  { settings, surroundings, out }: Session,
  { freesRoom = false }: WorkbenchOptions = {},
): Promise<Workbench> {
  const log = createLog({ verbosity: settings.verbosity, secrets: surroundings.secrets });
  const state = await openStateDir(settings.stateDir);
  const undo: (() => void)[] = [() => state.close()];
  const giveBack = (): void => {
    for (const step of undo.splice(0).reverse()) step();
  };
  try {
    const { paths } = state;
    const reserve = openReserve(paths.reserve);
    undo.push(() => reserve.close());
    if (freesRoom) reserve.giveUpIfFull();
    await ensurePrivate(settings.mountRoot);
    const owners = createOwnerLocks({ folder: paths.owners, log });
    undo.push(() => owners.close());
    const db = openStateDatabase(paths, settings, freesRoom ? { makeRoom: reserve.giveUp } : {});
    undo.push(() => db.close());
    const images = createImageStore(db);
    const notes = openCommitNotes(paths.generation, images.restored.newestCommit);
    undo.push(() => notes.close());
    const exec = createExec({ log, lockFd: owners.fd, path: surroundings.path });
    const { limits, timeouts, allowHosts, verifier } = settings;
    const { connectMs, stallMs, verifierMs } = timeouts;
    const pace = { bytesMin: limits.sourceRateMin, overMs: timeouts.slowMs };
    const objects = createS3Source({ connectMs, idleMs: stallMs, pace });
    undo.push(() => objects.close());
    const credentials = createCredentials(surroundings.authFiles, exec);
    const registry = createRegistry({ credentials, allowHosts, connectMs, stallMs, pace, limits });
    undo.push(() => registry.close());
    const host = platformOf(process.platform, process.arch);
    const drivers = await createDrivers({ stateDir: paths.root, exec, pool: poolOptionsOf(settings), log });
    const isAlive = (token: string): boolean => token === engine.token || owners.isHeld(token);
    const machines = createMachines({
      images,
      store: createBlobStore(paths.root),
      storeSpace: () => spaceOf(paths.blobs),
      objects,
      sources: createImageSources({ objects, registry, limits, host }),
      verify: verifier === null ? null : createVerifier(exec, { command: verifier, timeoutMs: verifierMs }),
      drivers: (name) => drivers.byName[name],
      poolState: () => poolStateOf(paths.root, exec),
      repairHost: createRepairHost({
        stateDir: paths.root,
        mountRoot: settings.mountRoot,
        exec,
        sizes: { dataBytes: settings.poolSize ?? undefined, metaBytes: settings.poolMetaSize ?? undefined },
      }),
      limits,
      reserve: spare,
      mountRoot: settings.mountRoot,
      holder: () => engine.token,
      isAlive,
      now: () => Date.now(),
      newId: (prefix) => `${prefix}-${randomBytes(8).toString('hex')}`,
    });
    const drill = surroundings.fault === null ? null : createProbe(surroundings.fault);
    const faults = createEngineFaults({ out, patienceMs: settings.timeouts.databaseMs, log });
    const engine: Engine = openEngine({
      db,
      machines: Object.values(machines),
      owners,
      queues: { blob: settings.parallel },
      retry: retryOf(settings),
      retention: { endedForMs: settings.keepRunsDays * dayMs },
      ...(settings.stuckAfterMs === null ? {} : { stuckAfterMs: settings.stuckAfterMs }),
      probe(point) {
        if (committed.test(point)) {
          faults.clear();
          notes.note();
        }
        drill?.(point);
      },
      onFault: (fault) => faults.take(fault),
      interceptors: freesRoom ? [{ attempt: givingUp(reserve) }] : [],
    });
    const board = createProgressBoard({
      folder: paths.progress,
      token: engine.token,
      isAlive,
      now: () => Date.now(),
    });
    undo.push(() => board.close());
    engine.subscribe((event) => noteProgress(board, event));
    if (settings.verbosity > 0) engine.subscribe((event) => logEvent(log, event));
    await noticeRestored({ engine, machines, images, paths, isAlive, now: () => Date.now() });
    return {
      engine,
      machines,
      images,
      drivers,
      log,
      async close() {
        await engine.close();
        giveBack();
      },
    };
  } catch (error) {
    giveBack();
    throw error;
  }
}

const isFull = (error: unknown): boolean => error instanceof FlydError && error.code === 'no_space';

/** The next attempt has the room that this one lacked. */
const givingUp =
  (reserve: Reserve) =>
  async (_: unknown, next: () => Promise<void>): Promise<void> => {
    try {
      await next();
    } catch (error) {
      if (isFull(error)) reserve.giveUp();
      throw error;
    }
  };

/** For watchers in other processes: `flyd inspect`, `flyd runs watch`. */
function noteProgress(board: ProgressBoard, event: EngineEvent): void {
  if (event.type === 'run' && event.run.endedAt !== null) board.drop(event.run.id);
  if (event.type !== 'progress') return;
  const { run, effect, src, progress } = event;
  board.put({ run, effect, src, done: progress.done, total: progress.total, unit: progress.unit });
}

function logEvent(log: Log, event: EngineEvent): void {
  if (event.type !== 'run') return;
  const { id, machine, key, state, status, attempts, error } = event.run;
  const fields = { run: id, machine, key, state, status };
  if (error === null) log.info(fields, 'run');
  else log.warn({ ...fields, attempts, code: error.code, kind: error.kind, error: error.message }, 'run');
}

function retryOf({ retry }: Settings): Partial<RetryPolicies> {
  return {
    recoverable: {
      attemptsMax: retry.attempts ?? 6,
      pauseMs: retry.pauseMs ?? 200,
      pauseMsMax: retry.pauseMsMax ?? 30_000,
    },
    pending: { pauseMs: retry.pendingPauseMs ?? 1_000, pauseMsMax: retry.pendingPauseMsMax ?? 60_000 },
  };
}
