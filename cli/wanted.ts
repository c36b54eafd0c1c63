import { basename, resolve } from 'node:path';
import { unrecoverable } from '#core/errors';
import { namePattern } from '#core/ids';
import { parsePlatform, platformText } from '#core/platform';
import { parseReference, type Reference } from '#core/reference';
import { choiceText, type ImageChoice, type Source } from '#core/source';
import { isLoopback } from '#infra/s3/endpoint';
import { type SourceSettings, sourceOf } from './source.ts';

/** What a pull is of. */
export interface Wanted {
  source: Source;
  /** What the image is called from now on. */
  family: string;
  choice: ImageChoice | null;
}

/**
 * What the person named: a family of the source that the settings name, or an image with its own place.
 * Fails with `usage`, `source_missing`, `source_invalid`, `source_insecure`.
 */
export function wantedOf(text: string, platform: string | null, settings: SourceSettings): Wanted {
  const chosen = platform === null ? null : parsePlatform(platform);
  if (platform !== null && chosen === null)
    throw unrecoverable('usage', 'a platform is os/architecture or os/architecture/variant', {
      op: 'pull',
      subject: platform,
      hint: '--platform linux/arm64',
    });
  const wish = { platform: chosen === null ? null : platformText(chosen) };
  const reference = parseReference(text);
  if (reference === null) {
    const choice = chosen === null ? null : { tag: null, digest: null, ...wish };
    return { source: sourceOf(settings), family: familyOf(text), choice };
  }
  const choice = { tag: reference.tag, digest: reference.digest, ...wish };
  const whole = choice.tag === null && choice.digest === null && chosen === null;
  if (reference.kind === 's3') {
    const { source, family } = inBucket(reference, settings);
    return { source, family, choice: whole ? null : choice };
  }
  const source = placeOf(reference, settings);
  const name = source.kind === 'layout' ? basename(source.path) : basename(source.repository);
  const shown = { ...choice, digest: choice.tag === null ? choice.digest : null };
  return { source, family: `${name}${choiceText(shown)}`, choice };
}

function inBucket(
  { bucket, path }: Reference & { kind: 's3' },
  settings: SourceSettings,
): Omit<Wanted, 'choice'> {
  const at = path.lastIndexOf('/');
  const source = sourceOf({ ...settings, source: `s3://${bucket}/${path.slice(0, at + 1)}` });
  return { source, family: familyOf(path.slice(at + 1)) };
}

function placeOf(reference: Reference & { kind: 'layout' | 'registry' }, settings: SourceSettings) {
  if (reference.kind === 'layout') return { kind: 'layout' as const, path: resolve(reference.path) };
  const { host, repository } = reference;
  const { anonymous, insecure } = settings;
  const url = `https://${host}`;
  if (!URL.canParse(url))
    throw unrecoverable('source_invalid', 'this is no host of a registry', { op: 'pull', subject: host });
  // Whoever is on the same machine needs no certificate; anybody else only when that was asked for.
  const scheme = insecure || isLoopback(new URL(url).hostname) ? 'http' : 'https';
  const endpoint = new URL(`${scheme}://${host}`).origin;
  return { kind: 'registry' as const, endpoint, repository, anonymous, insecure };
}

/** The family's name, if it can be one. */
function familyOf(text: string): string {
  if (namePattern.test(text)) return text;
  throw unrecoverable('usage', 'this names neither a family nor an image', {
    op: 'pull',
    subject: text,
    hint: 'a family is lower-case letters, digits, dots, dashes and underscores: flyd pull golang --source s3://bucket/prefix; an image is oci:FOLDER:TAG, s3://bucket/prefix or registry.example/repository:tag@sha256:...',
  });
}
