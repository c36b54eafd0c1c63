import { rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { fromErrorRecord } from '#core/errors';
import type { Digest } from '#core/ids';
import type { Limits } from '#core/limits';
import { errnoOf, fileError } from '../durable.ts';
import type { Exec } from '../exec.ts';
import { treeName } from '../layer/tree-part.ts';
import type { TreePartAnswer, TreePartJob } from '../layer/tree-part-thread.ts';
import { besideModule, inThread } from '../threads.ts';
import type { LayerParts, OpenVolume } from './driver.ts';
import { bytesIn, ensureRootfs, removeTree } from './folders.ts';
import { keepParts, partPath } from './parts.ts';

export interface TreePartsOptions {
  /** `<state>/parts/<driver>`, on the file system of the volumes. */
  folder: string;
  exec: Exec;
}

/**
 * Layers as trees, unpacked while they are fetched: a folder each. For root, and volumes in overlay's form.
 */
export function createTreeParts({ folder, exec }: TreePartsOptions): LayerParts {
  const remove = (path: string, op: string) => removeTree(path, { exec, op, privileged: true });
  const parts = keepParts(folder, {
    make: (path, ring, limits) => runPart({ folder: path, ring, limits }),
    async name(path, name) {
      await remove(name, 'blob.fetch');
      await rename(path, name); // a part that a power cut takes away is missed by nobody
    },
    remove,
    bytes: (path) => bytesIn(path, exec),
  });

  async function fill(digest: Digest, { root, form, lowers }: OpenVolume, limits: Limits) {
    if (form !== 'overlay') throw new TypeError(`a tree cannot fill a volume of the form ${form}`);
    const op = 'volume.unpack';
    const part = partPath(folder, digest);
    const rootfs = join(root, treeName);
    if (!(await moveTree(join(part, treeName), rootfs))) {
      await remove(part, op); // something is left of one that was being used when that was killed
      return null;
    }
    const target = { rootfs, form, lowers, privileged: true };
    const answer = await runPart({ folder: part, target, limits });
    await rm(part, { recursive: true, force: true }); // only its record is left
    if (!answer.ok) throw fromErrorRecord(answer.error);
    if (answer.applied !== null) return answer.applied;
    await remove(rootfs, op);
    await ensureRootfs(root);
    return null;
  }

  return { ...parts, fill };
}

/** Puts a folder into the place of an empty one; false when it is not there, or on another file system. */
async function moveTree(from: string, to: string): Promise<boolean> {
  try {
    await rename(from, to);
    return true;
  } catch (error) {
    if (['ENOENT', 'EXDEV'].includes(errnoOf(error))) return false;
    throw fileError(error, 'rename', from);
  }
}

const thread = besideModule(import.meta.url, '../layer/tree-part-thread');
const runPart = (job: TreePartJob): Promise<TreePartAnswer> => inThread(thread, job);
