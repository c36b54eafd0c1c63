import type { Digest } from '#core/ids';
import type { Waiting } from '../object-source.ts';
import type { Descriptor, IndexDocument } from './documents.ts';

/** Bytes of a manifest or an index, with the type that whoever gave them says they have (or empty). */
export interface Document {
  bytes: Buffer;
  mediaType: string;
}

/**
 * Where the documents of images are read from: a layout or a repository of a registry. Gives bytes as they
 * are; whoever asks judges them. Fails as ObjectSource does, and with `reference_not_found`.
 */
export interface ImageRepository {
  /** Where it is, for people. */
  readonly subject: string;
  /** What this tag names: a document, or the entries of a layout's index that carry it; without one, of the only image (a layout) or of `latest` (a registry). */
  tagged(tag: string | null, waiting: Waiting): Promise<Document | IndexDocument>;
  /** A manifest or an index by its digest. */
  document(digest: Digest, waiting: Waiting): Promise<Document>;
  /** A config: a small blob. */
  blob(descriptor: Descriptor, waiting: Waiting): Promise<Buffer>;
  /** The key of a layer, as `openRange` of the source wants it. */
  keyOf(digest: Digest): string;
}
