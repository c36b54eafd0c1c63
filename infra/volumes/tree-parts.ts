import { readdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { fromErrorRecord } from '#core/errors';
import { type Digest, hexOf } from '#core/ids';
import type { Limits } from '#core/limits';
import { errnoOf, fileError } from '../durable.ts';
import type { Exec } from '../exec.ts';
import { makeRing, stopRing } from '../layer/ring.ts';
import { treeName } from '../layer/tree-part.ts';
import type { TreePartAnswer, TreePartJob } from '../layer/tree-part-thread.ts';
import { besideModule, inThread } from '../threads.ts';
import type { LayerParts, OpenVolume, PartMaking } from './driver.ts';
import { bytesIn, ensurePrivate, ensureRootfs, removeTree } from './folders.ts';

export interface TreePartsOptions {
  /** `<state>/parts/<driver>`, on the file system of the volumes. */
  folder: string;
  exec: Exec;
}

/**
 * Layers as trees, unpacked while they are fetched: a folder each, by the digest of the layer; that name
 * vouches for its content. Unfinished ones end in `.tmp`. For root, and volumes in overlay's form.
 */
export function createTreeParts({ folder, exec }: TreePartsOptions): LayerParts {
  const pathOf = (digest: Digest): string => join(folder, hexOf(digest));
  const unfinished = (id: string): string => join(folder, `${id}.tmp`);
  const remove = (path: string, op: string) => removeTree(path, { exec, op, privileged: true });

  async function fill(digest: Digest, { root, form, lowers }: OpenVolume, limits: Limits) {
    if (form !== 'overlay') throw new TypeError(`a tree cannot fill a volume of the form ${form}`);
    const op = 'volume.unpack';
    const part = pathOf(digest);
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

  function begin(id: string, limits: Limits): PartMaking {
    const ring = makeRing();
    const path = unfinished(id);
    const removeIt = () => remove(path, 'blob.fetch');
    const made = ensurePrivate(folder)
      .then(removeIt)
      .then(() => runPart({ folder: path, ring, limits }));
    // A part is a help: without it the layer is read from its blob, which also tells what is wrong with it.
    const whole = made.then(
      ({ ok }) => ok,
      () => false,
    );
    return {
      ring,
      async keep(digest) {
        if (!(await whole)) return removeIt();
        await remove(pathOf(digest), 'blob.fetch');
        await rename(path, pathOf(digest)); // a part that a power cut takes away is missed by nobody
      },
      async drop() {
        stopRing(ring);
        await whole;
        await removeIt();
      },
    };
  }

  return {
    begin,
    tidy: (id) => remove(unfinished(id), 'blob.fetch'),
    fill,
    drop: (digest) => remove(pathOf(digest), 'volume.choose'),

    async list() {
      const names = await readdir(folder).catch((error: unknown) => {
        if (errnoOf(error) === 'ENOENT') return [];
        throw fileError(error, 'list', folder);
      });
      const sizes = names.map(async (name) => ({ name, bytes: await bytesIn(join(folder, name), exec) }));
      return Promise.all(sizes);
    },

    remove: (name) => remove(join(folder, name), 'store.sweep'),
  };
}

/** Puts a folder into the place of an empty one; false when it is not there, or on another file system. */
async function moveTree(from: string, to: string): Promise<boolean> {
  try {
    await rename(from, to);
    return true;
  } catch (error) {
    if (['ENOENT', 'EXDEV'].includes(errnoOf(error) ?? '')) return false;
    throw fileError(error, 'rename', from);
  }
}

const thread = besideModule(import.meta.url, '../layer/tree-part-thread');
const runPart = (job: TreePartJob): Promise<TreePartAnswer> => inThread(thread, job);
