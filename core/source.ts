import type { DiffId, Digest } from './ids.ts';

/** A bucket: families of plain layers under a prefix, or OCI layouts. Its form is older than the others', so it has no `kind`. */
export interface S3Source {
  kind?: never;
  /** `https://host[:port]`, or null for AWS itself. */
  endpoint: string | null;
  region: string;
  bucket: string;
  /** Empty, or ends with `/`. A family is `<prefix><family>/`. */
  prefix: string;
  anonymous: boolean;
  /** Plain HTTP to another machine was asked for. */
  insecure: boolean;
}

/** An OCI image layout in a folder of this machine. */
export interface LayoutSource {
  kind: 'layout';
  /** Absolute. */
  path: string;
}

/** One repository of an OCI registry. */
export interface RegistrySource {
  kind: 'registry';
  /** `https://host[:port]`; `http` for loopback, or where plain HTTP was asked for. */
  endpoint: string;
  /** `library/debian` */
  repository: string;
  /** Credential files are not looked at. */
  anonymous: boolean;
  /** Plain HTTP to another machine was asked for. */
  insecure: boolean;
}

/** Where layers come from. Holds no secrets: credentials are found in the environment when needed. */
export type Source = S3Source | LayoutSource | RegistrySource;

/** Which image of a layout or a registry is wanted. A digest decides alone; a tag is for people then. */
export interface ImageChoice {
  tag: string | null;
  digest: Digest | null;
  /** `os/architecture[/variant]`, or null for that of this machine. */
  platform: string | null;
}

/** What an OCI manifest says of an image beforehand. */
export interface ImageManifest {
  /** Of the manifest, not of the index that led to it. */
  digest: Digest;
  mediaType: string;
  /** Bytes. */
  size: number;
  /** Of the config, whose text the database keeps. */
  config: Digest;
  /** `os/architecture[/variant]`, as the config says. */
  platform: string;
  /** What each layer must be when it is uncompressed. */
  diffIds: DiffId[];
}

type S3Place = Pick<S3Source, 'kind' | 'endpoint' | 'region' | 'bucket'>;

/** What a place is named by: all of a source but how it is asked. */
type Place = S3Place | LayoutSource | Pick<RegistrySource, 'kind' | 'endpoint' | 'repository'>;

/** The server and the namespace on it that an object's key belongs to: part of the identity of downloads. */
export function placeOf(source: Place): { endpoint: string; bucket: string } {
  switch (source.kind) {
    case 'layout':
      return { endpoint: 'oci:', bucket: source.path };
    case 'registry':
      return { endpoint: source.endpoint, bucket: source.repository };
    default:
      // AWS has one name for several places, told apart by their region.
      return { endpoint: source.endpoint ?? `aws:${source.region}`, bucket: source.bucket };
  }
}

/** As a person would write it: `s3://bucket/prefix`, `oci:/folder`, `registry.example/repository`. */
export function sourceText(
  source: Pick<S3Source, 'kind' | 'bucket' | 'prefix'> | Exclude<Place, S3Place>,
): string {
  switch (source.kind) {
    case 'layout':
      return `oci:${source.path}`;
    case 'registry':
      return `${new URL(source.endpoint).host}/${source.repository}`;
    default:
      return `s3://${source.bucket}/${source.prefix}`;
  }
}

/** The server that was named, or null where there is none: AWS itself, a folder. */
export const endpointText = (source: Place): string | null =>
  source.kind === 'layout' ? null : source.endpoint;

/** `:tag@sha256:…`, as far as it was said; empty for a family. */
export const choiceText = (choice: ImageChoice | null): string =>
  choice === null
    ? ''
    : `${choice.tag === null ? '' : `:${choice.tag}`}${choice.digest === null ? '' : `@${choice.digest}`}`;
