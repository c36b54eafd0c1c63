import { createHash } from 'node:crypto';
import { type FlydError, unrecoverable } from '#core/errors';
import { type Digest, digestOfHex } from '#core/ids';
import type { LayerRef } from '#core/image';
import type { Limits } from '#core/limits';
import { fit, type Platform, parsePlatform, platformText } from '#core/platform';
import type { ImageChoice, ImageManifest } from '#core/source';
import type { Waiting } from '../object-source.ts';
import {
  type Descriptor,
  type IndexDocument,
  type ManifestDocument,
  parseConfig,
  parseImageDocument,
} from './documents.ts';
import type { Document, ImageRepository } from './repository.ts';

/** An image as its documents describe it: all that is known before a layer is fetched. */
export interface ResolvedImage {
  layers: LayerRef[];
  manifest: ImageManifest;
  /** The config's bytes, which have the digest `manifest.config`. */
  config: Buffer;
}

export interface Resolving {
  limits: Limits;
  /** What this machine is, where the choice names no platform. */
  host: Platform;
}

/** An index of an index of an index is nobody's image. */
const nestingMax = 4;

/**
 * The image that is chosen: from tag or digest through nested indexes by platform to one manifest and its
 * config. Every document that was named by a digest has that digest, or it is `digest_mismatch`. Fails
 * with `reference_not_found`, `manifest_invalid`, `layer_unsupported`, `limit_exceeded`, `size_mismatch`,
 * and as the repository does.
 */
export async function resolveImage(
  repository: ImageRepository,
  choice: ImageChoice,
  { limits, host }: Resolving,
  waiting: Waiting,
): Promise<ResolvedImage> {
  const { subject } = repository;
  const wanted = choice.platform === null ? null : parsePlatform(choice.platform);
  let found: Document | IndexDocument =
    choice.digest === null
      ? await repository.tagged(choice.tag, waiting)
      : vouched(await repository.document(choice.digest, waiting), choice.digest, subject);
  for (let depth = 0; depth <= nestingMax; depth++) {
    const parsed = 'kind' in found ? found : parse(found, subject, limits);
    if (parsed.kind === 'manifest') {
      const { bytes, mediaType } = found as Document;
      const described = { digest: digestOf(bytes), size: bytes.length, mediaType };
      return describe(repository, { parsed, described, limits, waiting, wanted });
    }
    const next = choose(parsed, wanted ?? host, subject);
    refuseLarge(next.size, limits, subject);
    const { bytes } = vouched(await repository.document(next.digest, waiting), next.digest, subject);
    if (bytes.length !== next.size) throw sizeMismatch(subject, bytes.length, next);
    found = { bytes, mediaType: next.mediaType };
  }
  throw unrecoverable('limit_exceeded', `the indexes are nested more than ${nestingMax} deep`, { subject });
}

function parse(
  { bytes, mediaType }: Document,
  subject: string,
  limits: Limits,
): IndexDocument | ManifestDocument {
  refuseLarge(bytes.length, limits, subject);
  return parseImageDocument(bytes, mediaType, subject, limits);
}

interface Describing {
  parsed: ManifestDocument;
  described: { digest: Digest; size: number; mediaType: string };
  limits: Limits;
  waiting: Waiting;
  wanted: Platform | null;
}

async function describe(
  repository: ImageRepository,
  { parsed, described, limits, waiting, wanted }: Describing,
): Promise<ResolvedImage> {
  const { subject } = repository;
  refuseLarge(parsed.config.size, limits, subject);
  const config = await repository.blob(parsed.config, waiting);
  if (config.length !== parsed.config.size) throw sizeMismatch(subject, config.length, parsed.config);
  vouched({ bytes: config, mediaType: '' }, parsed.config.digest, subject);
  const { platform, diffIds } = parseConfig(config, parsed.layers.length, subject);
  if (wanted !== null && fit(wanted, platform) === 0)
    throw notFound(subject, `the image is for ${platformText(platform)}, not ${platformText(wanted)}`);
  return {
    layers: parsed.layers.map(({ digest, size }) => ({
      key: repository.keyOf(digest),
      etag: '',
      size,
      digest,
    })),
    manifest: { ...described, config: parsed.config.digest, platform: platformText(platform), diffIds },
    config,
  };
}

/** The entry of an index that fits best; the first of those that fit alike. Attestations fit nothing: unknown/unknown. */
function choose({ manifests }: IndexDocument, wanted: Platform, subject: string): Descriptor {
  const fits = manifests.map((entry) => ({
    entry,
    score: entry.platform === null ? 0 : fit(wanted, entry.platform),
  }));
  const best = fits.reduce<(typeof fits)[number] | null>(
    (found, each) => (each.score > (found?.score ?? 0) ? each : found),
    null,
  );
  if (best !== null) return best.entry;
  // An index may leave platforms out: then its only entry is meant, whatever it is for.
  const untold = manifests.filter(({ platform }) => platform === null);
  const [only] = untold;
  if (only !== undefined && untold.length === 1 && manifests.length === 1) return only;
  const offered = manifests.flatMap(({ platform }) => (platform === null ? [] : [platformText(platform)]));
  throw notFound(
    subject,
    `there is no image for ${platformText(wanted)}`,
    offered.length === 0
      ? 'its index names no platforms: choose by digest, name@sha256:…'
      : `it is there for ${offered.slice(0, 20).join(', ')}: --platform chooses`,
  );
}

export const notFound = (subject: string, what: string, hint?: string): FlydError =>
  unrecoverable('reference_not_found', what, { subject, hint });

function vouched(document: Document, digest: Digest, subject: string): Document {
  const found = digestOf(document.bytes);
  if (found === digest) return document;
  throw unrecoverable('digest_mismatch', `the document has the digest ${found}, ${digest} was asked for`, {
    subject,
    hint: 'the source is broken or lies: nothing of this image was kept',
  });
}

const sizeMismatch = (subject: string, bytes: number, { digest, size }: Descriptor): FlydError =>
  unrecoverable('size_mismatch', `the document ${digest} has ${bytes} bytes, ${size} were announced`, {
    subject,
    hint: 'the source is broken or lies: nothing of this image was kept',
  });

/** Manifests and configs stop at the same figure (distribution-spec, "Pushing manifests": 4 MiB). */
function refuseLarge(bytes: number, { manifestBytesMax }: Limits, subject: string): void {
  if (bytes > manifestBytesMax)
    throw unrecoverable('limit_exceeded', `a document of the image has more than ${manifestBytesMax} bytes`, {
      subject,
      hint: 'raise the limit manifestBytesMax if you trust the source',
    });
}

const digestOf = (bytes: Buffer): Digest => digestOfHex(createHash('sha256').update(bytes).digest('hex'));
