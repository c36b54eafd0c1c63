import { z } from 'zod';
import { FlydError, unrecoverable } from '#core/errors';
import { type Digest, hexOf } from '#core/ids';
import type { Limits } from '#core/limits';
import type { Waiting } from '../object-source.ts';
import { parseImageDocument, refName } from './documents.ts';
import type { ImageRepository } from './repository.ts';
import { notFound } from './resolve.ts';

/** Small files of a layout by their path in it (`index.json`); fails as ObjectSource.readSmall does. */
export interface LayoutFiles {
  /** Where the layout is, for people. */
  subject: string;
  read(path: string, maxBytes: number, waiting: Waiting): Promise<Buffer>;
  /** The key that the source knows a path by. */
  keyOf(path: string): string;
}

export const layoutMark = 'oci-layout';
export const layoutIndex = 'index.json';

const markSchema = z.object({ imageLayoutVersion: z.string() });

/** An OCI image layout (image-layout.md) as a repository, wherever its files are. */
export function layoutRepository(files: LayoutFiles, limits: Limits): ImageRepository {
  const { subject } = files;
  const pathOf = (digest: Digest): string => `blobs/sha256/${hexOf(digest)}`;
  const document = async (digest: Digest, waiting: Waiting) => ({
    bytes: await files.read(pathOf(digest), limits.manifestBytesMax, waiting),
    mediaType: '',
  });

  return {
    subject,
    async tagged(tag, waiting) {
      await checkMark(files, waiting);
      const bytes = await files.read(layoutIndex, limits.manifestBytesMax, waiting);
      const top = parseImageDocument(bytes, '', `${subject} ${layoutIndex}`, limits);
      if (top.kind !== 'index')
        throw unrecoverable('manifest_invalid', `${layoutIndex} is no index`, { subject });
      const named = (name: string | undefined): boolean => tag === null || name === tag;
      const found = top.manifests.filter(({ annotations }) => named(annotations[refName]));
      const tags = [...new Set(top.manifests.flatMap(({ annotations }) => annotations[refName] ?? []))];
      if (found.length === 0)
        throw notFound(
          subject,
          tag === null ? 'the layout has no image' : `the layout has no image with the tag ${tag}`,
          tags.length === 0
            ? 'none of its images has a tag: leave it out'
            : `it has ${tags.slice(0, 20).join(', ')}`,
        );
      if (tag === null && tags.length > 1)
        throw notFound(
          subject,
          'the layout has several images',
          `say which: ${tags.slice(0, 20).join(', ')}`,
        );
      return { kind: 'index', manifests: found };
    },
    document,
    blob: ({ digest }, waiting) => files.read(pathOf(digest), limits.manifestBytesMax, waiting),
    keyOf: (digest) => files.keyOf(pathOf(digest)),
  };
}

async function checkMark(files: LayoutFiles, waiting: Waiting): Promise<void> {
  const no = (what: string, cause?: unknown): FlydError =>
    unrecoverable('source_invalid', what, {
      subject: files.subject,
      hint: `a layout has the files ${layoutMark} and ${layoutIndex}: is the place right?`,
      cause,
    });
  let text: string;
  try {
    text = (await files.read(layoutMark, 4096, waiting)).toString('utf8');
  } catch (error) {
    if (error instanceof FlydError && error.code === 'object_missing')
      throw no('there is no OCI layout', error);
    throw error;
  }
  let mark: unknown;
  try {
    mark = JSON.parse(text);
  } catch (error) {
    throw no(`${layoutMark} is not JSON`, error);
  }
  const parsed = markSchema.safeParse(mark);
  if (!parsed.success) throw no(`${layoutMark} says no version`);
  if (!parsed.data.imageLayoutVersion.startsWith('1.'))
    throw no(`the layout has the version ${parsed.data.imageLayoutVersion.slice(0, 40)}, 1.0.0 is known`);
}
