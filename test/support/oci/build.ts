import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import { type DiffId, type Digest, hexOf } from '#core/ids';
import { type TarEntry, tarOf } from '../tar.ts';

/** A descriptor as documents have it, with whatever a test puts into it. */
export interface BuiltDescriptor {
  mediaType: string;
  digest: Digest;
  size: number;
  platform?: { os: string; architecture: string; variant?: string };
  annotations?: Record<string, string>;
  urls?: string[];
}

export interface BuiltImage {
  descriptor: BuiltDescriptor;
  config: BuiltDescriptor;
  layers: { descriptor: BuiltDescriptor; diffId: DiffId; stored: Buffer }[];
}

export type Packing = 'gzip' | 'zstd' | 'none';

export interface ImageWish {
  layers: { entries: readonly TarEntry[]; packing?: Packing; urls?: string[] }[];
  architecture?: string;
  variant?: string;
  /** Types of Docker's schema 2 instead of OCI's. */
  docker?: boolean;
  /** The `config` inside the config. */
  config?: Record<string, unknown>;
  /** Instead of what the layers really unpack to. */
  diffIds?: readonly string[];
  /** Changes the manifest before it is written. */
  change?: (manifest: Record<string, unknown>) => void;
}

const oci = 'application/vnd.oci.image';
const dockerLayer = 'application/vnd.docker.image.rootfs.diff.tar';
const packers: Record<Packing, (raw: Buffer) => Buffer> = {
  gzip: (raw) => gzipSync(raw),
  zstd: (raw) => zstdCompressSync(raw),
  none: (raw) => raw,
};

export const digestOf = (bytes: Buffer | string): Digest =>
  `sha256:${createHash('sha256').update(bytes).digest('hex')}` as Digest;

/** An OCI image layout in `dir` that tests build piece by piece; made by the specification, by no code of flyd. */
export function buildLayout(dir: string) {
  const blobs = join(dir, 'blobs', 'sha256');
  mkdirSync(blobs, { recursive: true });
  writeFileSync(join(dir, 'oci-layout'), JSON.stringify({ imageLayoutVersion: '1.0.0' }));
  const entries: BuiltDescriptor[] = [];
  const pathOf = (digest: Digest): string => join(blobs, hexOf(digest));
  writeIndex();

  function writeIndex(): void {
    writeFileSync(join(dir, 'index.json'), JSON.stringify({ schemaVersion: 2, manifests: entries }));
  }

  function put(mediaType: string, content: Buffer | string | object): BuiltDescriptor {
    const bytes =
      typeof content === 'string' || Buffer.isBuffer(content)
        ? Buffer.from(content)
        : Buffer.from(JSON.stringify(content));
    const digest = digestOf(bytes);
    writeFileSync(pathOf(digest), bytes);
    return { mediaType, digest, size: bytes.length };
  }

  function image(wish: ImageWish): BuiltImage {
    const { architecture = 'amd64', variant, docker = false } = wish;
    const layers = wish.layers.map(({ entries: files, packing = 'gzip', urls }) => {
      const raw = tarOf(files);
      const stored = packers[packing](raw);
      const plain = docker ? dockerLayer : `${oci}.layer.v1.tar`;
      const end = packing === 'none' ? '' : `${docker ? '.' : '+'}${packing}`;
      const descriptor = { ...put(`${plain}${end}`, stored), ...(urls === undefined ? {} : { urls }) };
      return { descriptor, diffId: digestOf(raw) as string as DiffId, stored };
    });
    const config = put(docker ? 'application/vnd.docker.container.image.v1+json' : `${oci}.config.v1+json`, {
      os: 'linux',
      architecture,
      ...(variant === undefined ? {} : { variant }),
      config: wish.config ?? {},
      rootfs: { type: 'layers', diff_ids: wish.diffIds ?? layers.map(({ diffId }) => diffId) },
    });
    const type = docker ? 'application/vnd.docker.distribution.manifest.v2+json' : `${oci}.manifest.v1+json`;
    const manifest: Record<string, unknown> = {
      schemaVersion: 2,
      mediaType: type,
      config,
      layers: layers.map(({ descriptor }) => descriptor),
    };
    wish.change?.(manifest);
    const platform = { os: 'linux', architecture, ...(variant === undefined ? {} : { variant }) };
    return { descriptor: { ...put(type, manifest), platform }, config, layers };
  }

  return {
    dir,
    put,
    image,
    pathOf,
    /** A nested index of these. */
    index: (manifests: readonly BuiltDescriptor[], docker = false): BuiltDescriptor => {
      const type = docker
        ? 'application/vnd.docker.distribution.manifest.list.v2+json'
        : `${oci}.index.v1+json`;
      return put(type, { schemaVersion: 2, mediaType: type, manifests });
    },
    /** Puts a descriptor into `index.json`, under this tag. */
    tag(descriptor: BuiltDescriptor, tag: string | null): void {
      entries.push(
        tag === null
          ? descriptor
          : { ...descriptor, annotations: { 'org.opencontainers.image.ref.name': tag } },
      );
      writeIndex();
    },
    tags: () => entries,
    read: (digest: Digest): Buffer | null =>
      existsSync(pathOf(digest)) ? readFileSync(pathOf(digest)) : null,
  };
}

export type BuiltLayout = ReturnType<typeof buildLayout>;
