import { createImageStore, type ImageStore } from '#db/images/index';
import type { Engine } from '#engine/api';
import { createWatch, type EngineWatch } from '#engine/watch';
import { createOwnerLocks } from '#infra/owner-locks';
import { type ProgressEntry, readProgress } from '#infra/progress-board';
import { openStateDir } from '#infra/state-dir';
import { openStateDatabase } from './database.ts';
import { engineToLook } from './onlooker.ts';
import type { Session } from './session.ts';

/** What those who look for a while need: reading.ts, and who is alive and how far everything is. */
export interface Looking {
  engine: Engine;
  images: ImageStore;
  watch: EngineWatch;
  isAlive(token: string): boolean;
  progress(): ProgressEntry[];
  close(): void;
}

/** Opens the state directory to look on; makes it when there is none, for a run may begin while one looks. */
export async function openLooking({ settings }: Session): Promise<Looking> {
  const state = await openStateDir(settings.stateDir);
  const undo = [() => state.close()];
  const close = (): void => {
    for (const step of undo.splice(0).reverse()) step();
  };
  try {
    const { paths } = state;
    const db = openStateDatabase(paths, settings);
    undo.push(() => void db.close());
    const owners = createOwnerLocks({ folder: paths.owners });
    undo.push(() => owners.close());
    const isAlive = (token: string): boolean => owners.isHeld(token);
    return {
      engine: engineToLook(db),
      images: createImageStore(db),
      watch: createWatch(db),
      isAlive,
      progress: () => readProgress(paths.progress, isAlive),
      close,
    };
  } catch (error) {
    close();
    throw error;
  }
}
