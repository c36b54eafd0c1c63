import { mkdir, readdir, rename, rm, stat, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { fromErrorRecord } from '#core/errors';
import { type Digest, hexOf } from '#core/ids';
import type { Limits } from '#core/limits';
import { errnoOf, fileError, renameDurably } from '../durable.ts';
import { makeRing, stopRing } from '../layer/ring.ts';
import { besideModule, inThread } from '../threads.ts';
import type { LayerParts, OpenImage, PartMaking } from '../volumes/driver.ts';
import type { PartAnswer, PartJob } from './part-thread.ts';

/** Parts in `folder`, by the digest of their layer; a name vouches for the content. Unfinished ones end in `.tmp`. */
export function createParts(folder: string): LayerParts {
  const pathOf = (digest: Digest): string => join(folder, hexOf(digest));
  return {
    begin(id, limits) {
      const path = join(folder, `${id}.tmp`);
      const clean = mkdir(folder, { recursive: true, mode: 0o700 }).then(() => rm(path, { force: true }));
      return makingOf(path, pathOf, clean, limits);
    },

    tidy: (id) => remove(join(folder, `${id}.tmp`)),

    async fill(digest, { image, lowers }: OpenImage, limits) {
      try {
        await rename(pathOf(digest), image);
      } catch (error) {
        if (errnoOf(error) === 'ENOENT') return null;
        throw fileError(error, 'rename', pathOf(digest));
      }
      const answer = await runPart({ finish: { form: 'image', path: image, lowers }, limits });
      if (!answer.ok) throw fromErrorRecord(answer.error);
      return answer;
    },

    drop: (digest) => remove(pathOf(digest)),

    async list() {
      const names = await readdir(folder).catch((error: unknown) => {
        if (errnoOf(error) === 'ENOENT') return [];
        throw fileError(error, 'list', folder);
      });
      const sizes = names.map(async (name) => ({ name, bytes: (await stat(join(folder, name))).size }));
      return Promise.all(sizes);
    },

    remove: (name) => remove(join(folder, name)),
  };
}

async function remove(path: string): Promise<void> {
  await unlink(path).catch((error: unknown) => {
    if (errnoOf(error) !== 'ENOENT') throw fileError(error, 'remove', path);
  });
}

function makingOf(
  path: string,
  pathOf: (digest: Digest) => string,
  clean: Promise<unknown>,
  limits: Limits,
): PartMaking {
  const ring = makeRing();
  const made = clean.then(() => runPart({ make: { path, ring }, limits }));
  // A part is a help: without it the layer is read from its blob, which also tells what is wrong with it.
  const whole = made.then(
    ({ ok }) => ok,
    () => false,
  );
  return {
    ring,
    async keep(digest) {
      if (await whole) await renameDurably(path, pathOf(digest));
      else await rm(path, { force: true });
    },
    async drop() {
      stopRing(ring);
      await whole;
      await rm(path, { force: true });
    },
  };
}

const thread = besideModule(import.meta.url, './part-thread');
const runPart = (job: PartJob): Promise<PartAnswer> => inThread(thread, job);
