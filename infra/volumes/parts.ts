import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { type Digest, hexOf } from '#core/ids';
import type { Limits } from '#core/limits';
import { errnoOf, fileError } from '../durable.ts';
import { giveBack, type SharedRing, stopRing, takeRing } from '../layer/ring-memory.ts';
import type { LayerParts, PartMaking } from './driver.ts';
import { ensurePrivate } from './folders.ts';

/** What the parts of a driver are: files or folders. */
export interface PartKind {
  /** Makes one at a path where nothing is, of what comes through the ring; tells of a failure in what it gives. */
  make(path: string, ring: SharedRing, limits: Limits): Promise<{ ok: boolean }>;
  /** Gives a whole one its name. */
  name(path: string, name: string): Promise<void>;
  /** Nothing there is fine. `op` is for errors. */
  remove(path: string, op: string): Promise<void>;
  bytes(path: string): Promise<number>;
}

export const partPath = (folder: string, digest: Digest): string => join(folder, hexOf(digest));

/**
 * Parts in `folder`, by the digest of their layer: that name vouches for the content. Unfinished ones end in
 * `.tmp`. How a volume is filled with one is the driver's to add.
 */
export function keepParts(folder: string, kind: PartKind): Omit<LayerParts, 'fill'> {
  const unfinished = (id: string): string => join(folder, `${id}.tmp`);
  return {
    begin: (id, limits) => beginPart(folder, kind, unfinished(id), limits),
    tidy: (id) => kind.remove(unfinished(id), 'blob.fetch'),
    drop: (digest) => kind.remove(partPath(folder, digest), 'volume.choose'),

    async list() {
      const names = await readdir(folder).catch((error: unknown) => {
        if (errnoOf(error) === 'ENOENT') return [];
        throw fileError(error, 'list', folder);
      });
      const sizes = names.map(async (name) => ({ name, bytes: await kind.bytes(join(folder, name)) }));
      return Promise.all(sizes);
    },

    remove: (name) => kind.remove(join(folder, name), 'store.sweep'),
  };
}

function beginPart(folder: string, kind: PartKind, path: string, limits: Limits): PartMaking {
  const ring = takeRing();
  const remove = () => kind.remove(path, 'blob.fetch');
  const made = ensurePrivate(folder)
    .then(remove)
    .then(() => kind.make(path, ring, limits));
  // A part is a help: without it the layer is read from its blob, which also tells what is wrong with it.
  const whole = made.then(
    ({ ok }) => ok,
    () => false,
  );
  let isOurs = true;
  return {
    ring,
    async keep(digest) {
      const isWhole = await whole;
      isOurs = false;
      giveBack(ring); // the layer has come: who wrote into it has ended before
      await (isWhole ? kind.name(path, partPath(folder, digest)) : remove());
    },
    async drop() {
      if (isOurs) stopRing(ring);
      await whole;
      await remove();
    },
  };
}
