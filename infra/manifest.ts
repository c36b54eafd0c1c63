import { z } from 'zod';
import { FlydError, unrecoverable } from '#core/errors';
import { type ManifestLayer, manifestName } from '#core/family';
import { parseDigest } from '#core/ids';
import type { Limits } from '#core/limits';
import type { S3Source } from '#core/source';
import type { ObjectSource, Waiting } from './object-source.ts';

/**
 * `<prefix>/<family>/manifest.json`: `{"layers": [{"name": "00-base.tar.gz", "size": 1234,
 * "digest": "sha256:..."}]}`, or the array alone. `key`, the whole key, may stand for `name`;
 * `digest`, of the object as stored, may be left out. Fields that are not known are ignored.
 */
const layerSchema = z
  .object({
    name: z.string().min(1).max(1024).optional(),
    key: z.string().min(1).max(1024).optional(),
    size: z.int().positive(),
    digest: z
      .string()
      .transform((text, context) => {
        const digest = parseDigest(text);
        if (digest === null) context.addIssue({ code: 'custom', message: 'not sha256: and 64 hex digits' });
        return digest;
      })
      .nullish(),
  })
  .refine((layer) => (layer.name === undefined) !== (layer.key === undefined), 'give either name or key');

const layersSchema = z.array(layerSchema);
const manifestSchema = z.union([z.object({ layers: layersSchema }), layersSchema]);

/**
 * The layers that the family's manifest names, or null when it has none. `prefix` is the family's.
 * Fails as ObjectSource does, and with `manifest_invalid`, `limit_exceeded`.
 */
export async function readManifest(
  objects: ObjectSource,
  { source, prefix, limits }: { source: S3Source; prefix: string; limits: Limits },
  waiting: Waiting = {},
): Promise<ManifestLayer[] | null> {
  let bytes: Buffer;
  try {
    bytes = await objects.readSmall(source, `${prefix}${manifestName}`, limits.manifestBytesMax, waiting);
  } catch (error) {
    if (error instanceof FlydError && error.code === 'object_missing') return null;
    throw error;
  }
  return parseManifest(bytes, prefix, limits);
}

/** The layers that a manifest's bytes name. Fails with `manifest_invalid`, `limit_exceeded`. */
export function parseManifest(bytes: Buffer, prefix: string, limits: Limits): ManifestLayer[] {
  const subject = `${prefix}${manifestName}`;
  const invalid = (what: string, cause?: unknown) =>
    unrecoverable('manifest_invalid', what, { subject, cause });
  if (bytes.length > limits.manifestBytesMax)
    throw unrecoverable('limit_exceeded', `the manifest has more than ${limits.manifestBytesMax} bytes`, {
      subject,
    });
  let json: unknown;
  try {
    json = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch (error) {
    throw invalid('the manifest is not JSON', error);
  }
  const parsed = manifestSchema.safeParse(json);
  if (!parsed.success) throw invalid(`the manifest is not valid: ${firstIssue(parsed.error)}`);
  const entries = Array.isArray(parsed.data) ? parsed.data : parsed.data.layers;
  if (entries.length > limits.layersMax)
    throw unrecoverable('limit_exceeded', `the manifest names ${entries.length} layers`, { subject });

  const layers = new Map<string, ManifestLayer>();
  for (const { name, key, size, digest } of entries) {
    const whole = key ?? `${prefix}${name}`;
    const own = whole.startsWith(prefix) ? whole.slice(prefix.length) : '';
    if (own === '' || own.includes('/') || own === manifestName)
      throw invalid(`the manifest names something that is no layer of this family: ${JSON.stringify(whole)}`);
    if (layers.has(whole)) throw invalid(`the manifest names ${JSON.stringify(whole)} twice`);
    layers.set(whole, { key: whole, size, digest: digest ?? null });
  }
  return [...layers.values()];
}

/** The first thing that is wrong, and where: `layers.0.size: expected number`. */
function firstIssue(error: z.ZodError): string {
  let issue: { path: PropertyKey[]; message: string } | undefined = error.issues[0];
  const path: PropertyKey[] = [];
  // A union reports what is wrong with each of its forms; the first form is the documented one.
  while (issue !== undefined) {
    path.push(...issue.path);
    const deeper = 'errors' in issue ? (issue.errors as (typeof issue)[][]) : [];
    const next = deeper.flat().find((one) => one.path.length > 0) ?? deeper[0]?.[0];
    if (next === undefined) break;
    issue = next;
  }
  return `${path.map(String).join('.')}: ${issue?.message ?? 'unknown'}`;
}
