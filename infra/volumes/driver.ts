import type { Digest } from '#core/ids';
import type { Limits } from '#core/limits';
import type { SharedRing } from '../layer/ring-memory.ts';

/**
 * The contract between flyd and whatever keeps root filesystems on a host.
 *
 * A volume holds `rootfs/` and is filled once: create -> open -> (filled) -> close. After that it is
 * sealed: nobody writes to it again, and it can be the parent of other volumes and the base of
 * activations. An activation is a read-write (or read-only) snapshot of a sealed volume:
 * snapshot -> mount -> unmount -> discard.
 *
 * Every method can be called again after a crash at any point of an earlier call: it looks at the
 * world first, then does what is missing. "Already so" is success; "already gone" is success for
 * unmount, discard and remove. Ids and device numbers were committed to the database before the
 * first call. All errors are FlydErrors.
 */
export type DriverName = 'devmapper' | 'btrfs' | 'erofs' | 'overlay' | 'copy';

export interface VolumeSpec {
  /** `vol-` and 16 hex digits. */
  id: string;
  /** The sealed volume below, whose tree this one starts from. */
  parent: VolumeSpec | null;
  /** Thin device id, for drivers that have such; else null. */
  device: number | null;
  /** Virtual size of the file system, for drivers that have such; else null. */
  sizeBytes: number | null;
}

/** How a volume is to be filled. */
export type OpenVolume = OpenTree | OpenImage;

interface Opened {
  /** The volume's folder. */
  root: string;
  /**
   * In overlay's form: the `rootfs` folders, or the images, of the volumes below, nearest first, to copy
   * implicit parents and link targets from.
   */
  lowers: string[];
  /** Whether trusted.* xattrs and mknod work here (root), or user.overlay.* must serve. */
  privileged: boolean;
}

/** In `rootfs/` of the folder, which exists. */
export interface OpenTree extends Opened {
  /** `flat`: deletions are carried out. `overlay`: they become overlayfs whiteouts and opaque marks. */
  form: 'flat' | 'overlay';
}

/** In an EROFS image of overlay's form. */
export interface OpenImage extends Opened {
  form: 'image';
  /** The file that is to be made. */
  image: string;
}

export interface ActivationSpec {
  /** `act-` and 16 hex digits. */
  id: string;
  base: VolumeSpec;
  device: number | null;
  /** Null: as large as the base. */
  sizeBytes: number | null;
  readOnly: boolean;
  /** Allow set-uid programs; else nosuid. */
  suid: boolean;
  /** Allow device nodes; else nodev. */
  dev: boolean;
  /** Owner of the root folder of the tree, if it must change. */
  owner: { uid: number; gid: number } | null;
  /** `device`: map it and mount nothing. */
  attach: 'mount' | 'device';
  /** Where it is to be mounted: `<mount root>/<id>`. */
  mountPoint: string;
}

export interface ActivationPlace {
  /** The mount point, or null where nothing is mounted. */
  path: string | null;
  /** The folder to chroot into, or null for an attached device. */
  rootfs: string | null;
  /** The block device, or null. */
  device: string | null;
}

export interface Support {
  /** Whether the driver can work here. */
  usable: boolean;
  /** One line: why, or why not. */
  reason: string;
  /** The command that mends it, when not usable. */
  fix: string | null;
  /** Things that work, but not as one would want in production. */
  warnings: string[];
}

export interface Space {
  /** What runs out: `pool data`, `pool metadata`, `bytes of <path>`, `inodes of <path>`. */
  what: string;
  free: number;
  total: number;
  unit: 'bytes' | 'inodes';
}

/**
 * Layers that are prepared while they are fetched, before it is known on which volumes they stand. They are
 * a help and no more: what is not there, or not whole, is read from its blob.
 */
export interface LayerParts {
  /**
   * Starts to prepare a layer from the raw bytes that somebody writes into the ring. Of one `id`, which
   * becomes a file name, there is one at a time; what a killed one left is replaced.
   */
  begin(id: string, limits: Limits): PartMaking;
  /** Removes what a killed one left of an `id` that is not prepared again. Nothing there is fine. */
  tidy(id: string): Promise<void>;
  /**
   * Fills an open volume with what was prepared of its layer, which is used up by that. Null when nothing was,
   * or nothing that fits onto the volumes below: the volume is as empty as before. What it
   * filled is on the disk. Fails as unpacking does.
   */
  fill(digest: Digest, volume: OpenVolume, limits: Limits): Promise<Filled | null>;
  /** Removes what was prepared of a layer that needs no filling. Nothing there is fine. */
  drop(digest: Digest): Promise<void>;
  /** Everything that is there, whole or not. */
  list(): Promise<{ name: string; bytes: number }[]>;
  remove(name: string): Promise<void>;
}

export interface PartMaking {
  /** Takes the raw bytes of the layer; stopped when it cannot be prepared. */
  ring: SharedRing;
  /** The layer has come whole and has this digest: gives the part its name. */
  keep(digest: Digest): Promise<void>;
  /** Ends it, and leaves nothing. */
  drop(): Promise<void>;
}

/** What filling a volume did: entries of the layer, bytes in files, odd things met. */
export interface Filled {
  entries: number;
  bytes: number;
  warnings: { code: string; count: number; example: string }[];
}

export interface VolumeDriver {
  readonly name: DriverName;
  /** Null for a driver that prepares nothing. */
  readonly parts: LayerParts | null;
  /** What an activation can be asked for. */
  readonly can: { attachDevice: boolean; grow: boolean };
  /** `layer`: one volume for each layer. `image`: one volume for the whole chain. */
  granularity(layers: number): 'layer' | 'image';
  /** Looks only; changes nothing. */
  probe(): Promise<Support>;
  /** Makes the driver ready for work: folders, pool, loops. */
  ready(): Promise<void>;
  /** A free thin device id, at random, that neither `taken` nor the pool knows; null for drivers without. */
  chooseDevice(taken: (device: number) => boolean): Promise<number | null>;
  /** The virtual size for a volume whose parent has `parentBytes`; null for drivers without. */
  chooseSize(parentBytes: number | null): number | null;

  /** Makes the volume: empty, or a clone of its parent. A leftover of the same id is removed first: the result is clean. */
  create(volume: VolumeSpec): Promise<void>;
  /** Makes a created volume writable on this host, under nodev, nosuid, noexec where it is a mount. */
  open(volume: VolumeSpec): Promise<OpenVolume>;
  /** Undoes open: unmounts and deactivates, errors checked. The filler has synced already. */
  close(volume: VolumeSpec): Promise<void>;
  remove(volume: VolumeSpec): Promise<void>;

  snapshot(activation: ActivationSpec): Promise<void>;
  mount(activation: ActivationSpec): Promise<ActivationPlace>;
  /** With `force: false`, fails with `activation_busy` and names the holders when a process holds it. */
  unmount(activation: ActivationSpec): Promise<void>;
  discard(activation: ActivationSpec): Promise<void>;

  /** Ids of everything of flyd's that exists in the world for this driver, whether the database knows it or not. */
  inventory(): Promise<{ volumes: string[]; activations: string[] }>;
  /** What could run out during a pull. */
  space(): Promise<Space[]>;
  /** Throws when what the volumes are on is full or broken: that says more than the write which failed. */
  assertRoom?(): Promise<void>;
}
