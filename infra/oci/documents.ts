import { z } from 'zod';
import { type FlydError, unrecoverable } from '#core/errors';
import { type DiffId, type Digest, parseDigest } from '#core/ids';
import type { Limits } from '#core/limits';
import { type Platform, parsePlatform } from '#core/platform';

// The JSON of the OCI image-spec (descriptor.md, image-index.md, manifest.md, config.md) and its Docker
// schema 2 twins. Real images carry more fields than these: what is not read is not judged.

/** One blob that a document names. */
export interface Descriptor {
  mediaType: string;
  digest: Digest;
  /** Bytes. */
  size: number;
  /** Null where it says none, or says nonsense. */
  platform: Platform | null;
  annotations: Readonly<Record<string, string>>;
}

export interface IndexDocument {
  kind: 'index';
  manifests: Descriptor[];
}

export interface ManifestDocument {
  kind: 'manifest';
  config: Descriptor;
  layers: Descriptor[];
}

export interface ConfigDocument {
  platform: Platform;
  diffIds: DiffId[];
}

export const indexTypes: readonly string[] = [
  'application/vnd.oci.image.index.v1+json',
  'application/vnd.docker.distribution.manifest.list.v2+json',
];
export const manifestTypes: readonly string[] = [
  'application/vnd.oci.image.manifest.v1+json',
  'application/vnd.docker.distribution.manifest.v2+json',
];
const configTypes: readonly string[] = [
  'application/vnd.oci.image.config.v1+json',
  'application/vnd.docker.container.image.v1+json',
];
/** Non-distributable ones are deprecated but must be readable (layer.md); their `urls` are never asked. */
const layerType =
  /^application\/vnd\.(?:oci\.image\.layer\.(?:nondistributable\.)?v1\.tar(?:\+(?:gzip|zstd))?|docker\.image\.rootfs\.(?:foreign\.)?diff\.tar(?:\.(?:gzip|zstd))?)$/;

export const refName = 'org.opencontainers.image.ref.name';

const descriptorSchema = z.object({
  mediaType: z.string().max(255).default(''),
  digest: z.string().max(512),
  size: z.int().nonnegative(),
  platform: z
    .object({ os: z.string(), architecture: z.string(), variant: z.string().optional() })
    .optional()
    .catch(undefined),
  annotations: z.record(z.string(), z.string()).optional().catch(undefined),
});

const indexSchema = z.object({ mediaType: z.string().optional(), manifests: z.array(descriptorSchema) });
const manifestSchema = z.object({
  mediaType: z.string().optional(),
  config: descriptorSchema,
  layers: z.array(descriptorSchema),
});
const configSchema = z.object({
  os: z.string(),
  architecture: z.string(),
  variant: z.string().optional(),
  rootfs: z.object({ type: z.literal('layers'), diff_ids: z.array(z.string()) }),
});

/** Entries of one index: more platforms than any image has, less than fills a memory. */
const indexEntriesMax = 1000;

const invalid = (subject: string, what: string, cause?: unknown): FlydError =>
  unrecoverable('manifest_invalid', what, {
    subject,
    hint: 'the image is broken at its source: have it pushed again',
    cause,
  });

/**
 * An index or a manifest, told apart by what it is: its own `mediaType`, that of the descriptor or answer
 * that led to it, else its fields. Two that contradict each other are refused (CVE-2021-41190). Fails with
 * `manifest_invalid`, `layer_unsupported` (schema 1, an artifact), `limit_exceeded`.
 */
export function parseImageDocument(
  bytes: Buffer,
  told: string,
  subject: string,
  limits: Limits,
): IndexDocument | ManifestDocument {
  const json = parseJson(bytes, subject);
  const own = typeof json.mediaType === 'string' ? json.mediaType : '';
  const known = [...indexTypes, ...manifestTypes];
  if (own !== '' && told !== '' && known.includes(told) && own !== told)
    throw invalid(subject, `the document says it is ${own}, it was announced as ${told}`);
  const type = own === '' ? told : own;
  if (json.schemaVersion === 1 || type.startsWith('application/vnd.docker.distribution.manifest.v1+'))
    throw unsupported(subject, 'the manifest has the old Docker schema 1');
  if ('manifests' in json && ('layers' in json || 'config' in json))
    throw invalid(subject, 'the document is an index and a manifest at once');
  if (indexTypes.includes(type) || (!manifestTypes.includes(type) && 'manifests' in json))
    return indexOf(json, subject);
  if (manifestTypes.includes(type) || 'layers' in json) return manifestOf(json, subject, limits);
  throw unsupported(subject, `there is no image in a ${type === '' ? 'document without a type' : type}`);
}

function indexOf(json: object, subject: string): IndexDocument {
  const { manifests } = checked(indexSchema, json, subject);
  if (manifests.length > indexEntriesMax)
    throw unrecoverable('limit_exceeded', `the index has more than ${indexEntriesMax} entries`, { subject });
  // An entry with a digest of another algorithm is none that we can fetch; the others may do.
  return {
    kind: 'index',
    manifests: manifests.flatMap((each) => {
      const digest = parseDigest(each.digest);
      return digest === null ? [] : [descriptorOf(each, digest)];
    }),
  };
}

function manifestOf(json: object, subject: string, limits: Limits): ManifestDocument {
  const { config, layers } = checked(manifestSchema, json, subject);
  if (!configTypes.includes(config.mediaType))
    throw unsupported(
      subject,
      `this is no image but an artifact: its config is ${config.mediaType || 'untyped'}`,
    );
  if (layers.length === 0) throw invalid(subject, 'the manifest names no layers');
  if (layers.length > limits.layersMax)
    throw unrecoverable(
      'limit_exceeded',
      `the image has ${layers.length} layers, ${limits.layersMax} are allowed`,
      {
        subject,
        hint: 'raise the limit layersMax if you trust the source',
      },
    );
  for (const { mediaType } of layers)
    if (!layerType.test(mediaType)) throw unsupported(subject, `a layer is ${mediaType || 'untyped'}`);
  for (const { size } of layers) if (size === 0) throw invalid(subject, 'a layer has no bytes');
  const sha256 = (each: z.output<typeof descriptorSchema>): Descriptor => {
    const digest = parseDigest(each.digest);
    if (digest === null) throw unsupported(subject, `a digest is not sha256: ${each.digest.slice(0, 80)}`);
    return descriptorOf(each, digest);
  };
  return { kind: 'manifest', config: sha256(config), layers: layers.map(sha256) };
}

/** What the config says of platform and layers; `manifest_invalid` unless it has a diffID for each layer. */
export function parseConfig(bytes: Buffer, layers: number, subject: string): ConfigDocument {
  const { os, architecture, variant, rootfs } = checked(configSchema, parseJson(bytes, subject), subject);
  const platform = parsePlatform([os, architecture, ...(variant ? [variant] : [])].join('/'));
  if (platform === null) throw invalid(subject, 'the config names a platform that cannot be one');
  if (rootfs.diff_ids.length !== layers)
    throw invalid(
      subject,
      `the config has ${rootfs.diff_ids.length} diff_ids, the manifest ${layers} layers`,
    );
  const diffIds = rootfs.diff_ids.map((text) => {
    const digest = parseDigest(text);
    if (digest === null) throw invalid(subject, 'a diff_id of the config is not sha256: and 64 hex digits');
    return digest as string as DiffId;
  });
  return { platform, diffIds };
}

function descriptorOf(
  { mediaType, size, platform, annotations }: z.output<typeof descriptorSchema>,
  digest: Digest,
): Descriptor {
  const { os = '', architecture = '', variant } = platform ?? {};
  return {
    mediaType,
    digest,
    size,
    platform: parsePlatform([os, architecture, ...(variant ? [variant] : [])].join('/')),
    annotations: annotations ?? {},
  };
}

function parseJson(bytes: Buffer, subject: string): Record<string, unknown> {
  let json: unknown;
  try {
    json = JSON.parse(new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes));
  } catch (error) {
    throw invalid(subject, 'the document is not JSON', error);
  }
  if (typeof json !== 'object' || json === null || Array.isArray(json))
    throw invalid(subject, 'the document is no JSON object');
  return json as Record<string, unknown>;
}

function checked<Schema extends z.ZodType>(schema: Schema, json: object, subject: string): z.output<Schema> {
  const parsed = schema.safeParse(json);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  throw invalid(
    subject,
    `the document is not valid: ${issue?.path.map(String).join('.')}: ${issue?.message}`,
  );
}

const unsupported = (subject: string, what: string): FlydError =>
  unrecoverable('layer_unsupported', what, {
    subject,
    hint: 'flyd reads images of OCI and of Docker schema 2, with digests of sha256',
  });
