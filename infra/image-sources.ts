import type { Limits } from '#core/limits';
import type { Platform } from '#core/platform';
import type { ImageChoice, RegistrySource, S3Source, Source } from '#core/source';
import type { ObjectSource, RangeSource, Waiting } from './object-source.ts';
import { folderFiles, openFolderRange } from './oci/folder.ts';
import { type LayoutFiles, layoutRepository } from './oci/layout.ts';
import type { ImageRepository } from './oci/repository.ts';
import { type ResolvedImage, resolveImage } from './oci/resolve.ts';

/**
 * One interface for all sources: an image becomes an ordered list of descriptors, and of each a range of
 * bytes can be opened. Families of plain layers are listed by their own rules (core/family.ts); their
 * layers are opened here like all others.
 */
export interface ImageSources extends RangeSource {
  /**
   * The chosen image of a layout or registry. In a bucket the layout is at `prefix`; elsewhere that says
   * nothing. Fails as `resolveImage` and the source do.
   */
  resolve(
    source: Source,
    wanted: { choice: ImageChoice | null; prefix: string },
    waiting?: Waiting,
  ): Promise<ResolvedImage>;
}

/** A registry, as far as images want it. */
export interface Registry extends RangeSource<RegistrySource> {
  repository(source: RegistrySource): ImageRepository;
}

export interface ImageSourcesOptions {
  objects: ObjectSource;
  registry: Registry;
  limits: Limits;
  /** What this machine is. */
  host: Platform;
}

const anyImage: ImageChoice = { tag: null, digest: null, platform: null };

export function createImageSources({ objects, registry, limits, host }: ImageSourcesOptions): ImageSources {
  const repositoryOf = (source: Source, prefix: string): ImageRepository => {
    if (source.kind === 'registry') return registry.repository(source);
    const files = source.kind === 'layout' ? folderFiles(source) : bucketFiles(objects, source, prefix);
    return layoutRepository(files, limits);
  };
  return {
    resolve: (source, { choice, prefix }, waiting = {}) =>
      resolveImage(repositoryOf(source, prefix), choice ?? anyImage, { limits, host }, waiting),
    openRange(source, wanted, waiting) {
      if (source.kind === 'registry') return registry.openRange(source, wanted, waiting);
      if (source.kind === 'layout') return openFolderRange(source, wanted, waiting);
      return objects.openRange(source, wanted, waiting);
    },
  };
}

/** The small files of a layout under a prefix of a bucket. */
const bucketFiles = (objects: ObjectSource, source: S3Source, prefix: string): LayoutFiles => ({
  subject: `s3://${source.bucket}/${prefix}`,
  keyOf: (path) => `${prefix}${path}`,
  read: (path, maxBytes, waiting) => objects.readSmall(source, `${prefix}${path}`, maxBytes, waiting),
});
