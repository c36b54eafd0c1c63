import type { DiffId, Digest } from './ids.ts';

export type { Source } from './source.ts';

/** One layer object as a listing or a manifest names it. */
export interface LayerRef {
  key: string;
  /** Empty where only the digest names the bytes: a blob of an OCI layout or a registry. */
  etag: string;
  size: number;
  /** Known before the download, from a manifest or a lock file: only then may it skip one. */
  digest: Digest | null;
}

/** A layer whose bytes are in the blob store, whole and verified. */
export interface LayerBlob {
  key: string;
  etag: string;
  /** Bytes as stored. */
  size: number;
  digest: Digest;
  diffId: DiffId;
  /** Bytes when uncompressed. */
  rawSize: number;
  mediaType: LayerMediaType;
  /** It was whole before this run asked for it. */
  reused: boolean;
  /** Bytes that came over the network for this run. */
  fetched: number;
}

export type Compression = 'none' | 'gzip' | 'zstd';
export type LayerMediaType =
  | 'application/vnd.oci.image.layer.v1.tar'
  | 'application/vnd.oci.image.layer.v1.tar+gzip'
  | 'application/vnd.oci.image.layer.v1.tar+zstd';

export const mediaTypeOf = (compression: Compression): LayerMediaType =>
  compression === 'none'
    ? 'application/vnd.oci.image.layer.v1.tar'
    : `application/vnd.oci.image.layer.v1.tar+${compression}`;

export const driverNames = ['devmapper', 'btrfs', 'erofs', 'overlay', 'copy'] as const;
export type DriverName = (typeof driverNames)[number];

/** How an activation is to be made; stored with the run, so that a resume makes the same. */
export interface ActivationOptions {
  /** A name of the user's, unique among live activations. */
  name: string | null;
  /** Null: as large as the base. */
  sizeBytes: number | null;
  readOnly: boolean;
  suid: boolean;
  dev: boolean;
  owner: { uid: number; gid: number } | null;
  attach: 'mount' | 'device';
  /** It need not outlive a reboot: `flyd resume` removes it instead of mounting it again. */
  ephemeral?: boolean;
}

/** Where an activation is: what a person mounts, enters or hands to a microVM. */
export interface ActivationResult {
  id: string;
  /** The mount point, or null where nothing is mounted. */
  path: string | null;
  /** The folder to chroot into, or null for an attached device. */
  rootfs: string | null;
  device: string | null;
  driver: DriverName;
}
