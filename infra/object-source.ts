import type { S3Source, Source } from '#core/source';

/** One object as a listing or a HEAD names it. The ETag is without its quotes. */
export interface ObjectFacts {
  key: string;
  etag: string;
  /** Bytes. */
  size: number;
}

/** An object's bytes from `start` to its end, with what the answer said of the object. */
export interface ObjectRange {
  etag: string;
  /** Bytes of the whole object, or null where the answer told none (a chunked 200). */
  size: number | null;
  /** The first byte that `body` yields: what was asked for, or 0 from a server that ignores ranges. */
  start: number;
  /** Ends early only by throwing. Leaving its loop closes the connection. */
  body: AsyncIterable<Buffer>;
}

export interface RangeRequest {
  key: string;
  /** Offset in bytes; below the object's size. */
  start: number;
  /** The version that is wanted: any other fails with `object_changed`. Null takes what is there. */
  etag: string | null;
}

export interface Waiting {
  /** Its reason is thrown when it aborts. */
  signal?: AbortSignal;
}

/** Whatever gives the bytes of a layer: the second half of each source, after its layers are known. */
export interface RangeSource<From extends Source = Source> {
  openRange(source: From, wanted: RangeRequest, waiting?: Waiting): Promise<ObjectRange>;
}

/**
 * The contract between flyd and whatever keeps objects. Every answer is compared with what was asked
 * for, because servers ignore conditions; no redirect is followed; nothing is retried (the engine
 * does). Everything thrown is a FlydError:
 * `object_missing` (pending); `source_unavailable` (recoverable); `object_changed`, `bucket_missing`,
 * `source_denied`, `source_insecure`, `source_invalid`, `source_protocol`, `limit_exceeded`
 * (unrecoverable); or the signal's reason.
 */
export interface ObjectSource extends RangeSource<S3Source> {
  /**
   * The objects directly under `prefix` (no further `/` in their names), ordered by the bytes of
   * their keys. All pages, up to a limit on keys and pages (`limit_exceeded`).
   */
  list(source: S3Source, prefix: string, waiting?: Waiting): Promise<ObjectFacts[]>;
  head(source: S3Source, key: string, waiting?: Waiting): Promise<ObjectFacts>;
  /** A whole small object; `limit_exceeded` as soon as it turns out larger than `maxBytes`. */
  readSmall(source: S3Source, key: string, maxBytes: number, waiting?: Waiting): Promise<Buffer>;
  /** Closes idle connections. */
  close(): void;
}
