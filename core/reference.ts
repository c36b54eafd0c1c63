import { type Digest, parseDigest } from './ids.ts';

/** A name of an image, in its parts, before anybody looks where it is. */
export type Reference =
  | { kind: 'layout'; path: string; tag: string | null; digest: Digest | null }
  | { kind: 's3'; bucket: string; path: string; tag: string | null; digest: Digest | null }
  | {
      kind: 'registry';
      /** `registry.example[:port]` */
      host: string;
      repository: string;
      tag: string | null;
      digest: Digest | null;
    };

/** Distribution-spec, "Pulling manifests". */
const tagPattern = /^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$/;
const repositoryPattern =
  /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:\/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*$/;
const hostPattern = /^(?:[A-Za-z0-9](?:[A-Za-z0-9.-]{0,252})|\[[0-9a-fA-F:.]{2,45}\])(?::\d{1,5})?$/;
/** `ref.name` of a layout may be a whole name of a registry; what a terminal must not get is out. */
const refNamePattern = /^[A-Za-z0-9][A-Za-z0-9._:/+-]{0,254}$/;

/**
 * `oci:FOLDER[:TAG]`, `s3://BUCKET/PREFIX[:TAG]`, `HOST[:PORT]/REPOSITORY[:TAG]`, each with `@sha256:…` at
 * the end if one wants. Null for what is none of these: a family, or a mistake. The first part of a
 * registry's name has a dot or a port, or is `localhost`, as everywhere.
 */
export function parseReference(text: string): Reference | null {
  const at = text.lastIndexOf('@');
  const digest = at === -1 ? null : parseDigest(text.slice(at + 1));
  if (at !== -1 && digest === null) return null;
  const name = at === -1 ? text : text.slice(0, at);
  if (name.startsWith('oci:')) return layout(name.slice('oci:'.length), digest);
  if (name.startsWith('s3://')) return bucket(name.slice('s3://'.length), digest);
  return registry(name, digest);
}

/** The folder ends at the first colon, as with other tools, whose tags may have more of them. */
function layout(rest: string, digest: Digest | null): Reference | null {
  const [path, tag] = cut(rest, rest.indexOf(':'));
  if (path === '' || (tag !== null && !refNamePattern.test(tag))) return null;
  return { kind: 'layout', path, tag, digest };
}

function bucket(rest: string, digest: Digest | null): Reference | null {
  const slash = rest.indexOf('/');
  if (slash < 1) return null;
  const [path, tag] = cut(rest.slice(slash + 1), rest.slice(slash + 1).indexOf(':'));
  const trimmed = path.replace(/\/+$/, '');
  if (trimmed === '' || (tag !== null && !refNamePattern.test(tag))) return null;
  return { kind: 's3', bucket: rest.slice(0, slash), path: trimmed, tag, digest };
}

function registry(name: string, digest: Digest | null): Reference | null {
  const slash = name.indexOf('/');
  const host = name.slice(0, Math.max(0, slash));
  if (!hostPattern.test(host) || !(/[.:]/.test(host) || host === 'localhost')) return null;
  const rest = name.slice(slash + 1);
  const [repository, tag] = cut(rest, rest.lastIndexOf(':'));
  if (!repositoryPattern.test(repository) || repository.length > 255) return null;
  if (tag !== null && !tagPattern.test(tag)) return null;
  return { kind: 'registry', host, repository, tag, digest };
}

const cut = (text: string, at: number): [string, string | null] =>
  at === -1 ? [text, null] : [text.slice(0, at), text.slice(at + 1)];
