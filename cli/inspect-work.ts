import { hostname, userInfo } from 'node:os';
import { createDashboardStore, dashboardSet } from '#db/dashboard/index';
import { createImageStore } from '#db/images/index';
import { createWatch } from '#engine/watch';
import { createExec } from '#infra/exec';
import { createLog } from '#infra/log';
import { createOwnerLocks } from '#infra/owner-locks';
import { readProgress } from '#infra/progress-board';
import { openStateDir } from '#infra/state-dir';
import { createDrivers } from '#infra/volumes/index';
import { spaceOf } from '#infra/volumes/space';
import type { DashboardParts } from '#services/dashboard/parts';
import { startDashboard } from '#services/dashboard/server';
import { openWorkbench, type Workbench } from './compose.ts';
import { openStateDatabase } from './database.ts';
import { exitOfSignal } from './exit.ts';
import { inspectToken } from './inspect-token.ts';
import { engineToLook } from './onlooker.ts';
import { loadPage } from './page.ts';
import { poolOptionsOf } from './pool-options.ts';
import type { Session } from './session.ts';
import { watchSignals } from './signals.ts';
import { versionOf } from './version.ts';

/** `flyd inspect`: until a signal asks it to stop. */
export async function serveInspector(session: Session, port: number): Promise<number> {
  const { settings, surroundings, out } = session;
  const stop = watchSignals(() => {});
  const undo: (() => void | Promise<void>)[] = [() => stop.dispose()];
  try {
    const log = createLog({ verbosity: settings.verbosity, secrets: surroundings.secrets });
    const state = await openStateDir(settings.stateDir);
    undo.push(() => state.close());
    const { paths } = state;
    const exec = createExec({ log, path: surroundings.path });
    const page = await loadPage({ exec, say: (line) => out.note(line) });
    const db = openStateDatabase(paths, settings, { more: [dashboardSet] });
    undo.push(() => void db.close());
    const owners = createOwnerLocks({ folder: paths.owners, log });
    undo.push(() => owners.close());
    const images = createImageStore(db);
    const drivers = await createDrivers({ stateDir: paths.root, exec, pool: poolOptionsOf(settings), log });
    const isAlive = (token: string): boolean => owners.isHeld(token);

    let bench: Promise<Workbench> | null = null;
    undo.push(async () => void (await (await bench)?.close()));
    const parts: DashboardParts = {
      engine: engineToLook(db),
      watch: createWatch(db),
      store: createDashboardStore(db),
      images,
      progress: () => readProgress(paths.progress, isAlive),
      isAlive,
      async space() {
        const usesPool = images.volumes.list().some(({ driver }) => driver === 'devmapper');
        const pool = usesPool ? await drivers.byName.devmapper.space() : [];
        return [...pool.filter(({ what }) => what.startsWith('pool ')), ...(await spaceOf(paths.blobs))];
      },
      async act() {
        bench ??= openWorkbench(session);
        try {
          return (await bench).engine;
        } catch (error) {
          bench = null; // what was missing may be there the next time
          throw error;
        }
      },
      page,
      token: await inspectToken(paths.root),
      actor: userInfo().username,
      about: { version: versionOf(), stateDir: paths.root, hostname: hostname() },
      now: () => Date.now(),
      log,
    };
    const dashboard = await startDashboard(parts, port);
    undo.push(() => dashboard.close());
    const { address, origin } = dashboard;
    out.document({ address, origin, port: dashboard.port, token: parts.token });
    out.say(address);
    await untilAborted(stop.signal);
    return exitOfSignal(stop.received() ?? 'SIGTERM');
  } finally {
    for (const step of undo.reverse()) await step();
  }
}

const untilAborted = (signal: AbortSignal): Promise<void> =>
  new Promise((give) => {
    if (signal.aborted) give();
    else signal.addEventListener('abort', () => give(), { once: true });
  });
