import { rename, stat, unlink } from 'node:fs/promises';
import { fromErrorRecord } from '#core/errors';
import { errnoOf, fileError, renameDurably } from '../durable.ts';
import { besideModule, inThread } from '../threads.ts';
import type { LayerParts, OpenImage } from '../volumes/driver.ts';
import { keepParts, partPath } from '../volumes/parts.ts';
import type { PartAnswer, PartJob } from './part-thread.ts';

/** Layers as images that lack their names: a file each. */
export function createParts(folder: string): LayerParts {
  const parts = keepParts(folder, {
    make: (path, ring, limits) => runPart({ make: { path, ring }, limits }),
    name: renameDurably,
    remove,
    bytes: async (path) => (await stat(path)).size,
  });
  return {
    ...parts,
    async fill(digest, { image, lowers }: OpenImage, limits) {
      const part = partPath(folder, digest);
      try {
        await rename(part, image);
      } catch (error) {
        if (errnoOf(error) === 'ENOENT') return null;
        throw fileError(error, 'rename', part);
      }
      const answer = await runPart({ finish: { form: 'image', path: image, lowers }, limits });
      if (!answer.ok) throw fromErrorRecord(answer.error);
      return answer;
    },
  };
}

async function remove(path: string): Promise<void> {
  await unlink(path).catch((error: unknown) => {
    if (errnoOf(error) !== 'ENOENT') throw fileError(error, 'remove', path);
  });
}

const thread = besideModule(import.meta.url, './part-thread');
const runPart = (job: PartJob): Promise<PartAnswer> => inThread(thread, job);
