/**
 * What work may cost, in counts that do not depend on the speed of the machine: what was measured when a
 * line was last changed, and a little for what varies. A change that costs more has to say here why; one
 * that costs less lowers the line.
 */

/** System calls on files for an entry of a layer more, by driver; most entries are small files. */
export const callsPerEntry = {
  /** Makes each file twice: in the base, and in the copy that an activation is. */
  copy: 23,
  /** openat2, attributes, close, and what a folder costs shared by its files. */
  overlay: 6.5,
  /** Entries go into one image; what is left is bookkeeping. */
  erofs: 2,
} as const;

/** Of one pull of three small layers with its activation, nothing there before. */
export const perPull = {
  /** Steps of runs, each written before what it leads to begins; copy has one volume, the others three. */
  commits: { copy: 37, overlay: 49, erofs: 49 },
  /** fsync, fdatasync, syncfs: of the database, the blobs, the volumes, their folders. */
  syncs: { copy: 106, overlay: 138, erofs: 138 },
  /** For a thousand entries more: none is synced by itself. */
  syncsForMore: 25,
  /** Bytes of bodies, for each byte of the layers: none twice. */
  sent: 1.01,
  /** Bytes that reach the disk, for each byte of (hardly compressible) layers: the blob, the base; some database. */
  written: { copy: 3.7, overlay: 2.9, erofs: 2.9 },
} as const;

/** Of one more activation of an image that is there, and of taking it down, by two commands. */
export const perActivation = {
  commits: 9,
  syncs: { copy: 36, overlay: 35, erofs: 35 },
} as const;

/** What a command loads from a checkout, without Node's own modules. */
export const modules = {
  /** The command line itself. */
  '--help': { count: 52, packages: ['commander'] },
  /** And a state directory, a database and two statements; zod checks the settings that are given. */
  images: {
    count: 202,
    packages: [`@koromix/koffi-linux-${process.arch}`, 'better-sqlite3', 'commander', 'koffi', 'zod'],
  },
} as const;

/** Of a state directory with many images, for each blob in it. */
export const perBlob = {
  /** One look at each file; listing them is a call for thousands. */
  verify: 1.05,
  /** Nothing to remove: the folder is listed, and compared with the rows. */
  gc: 0.05,
  /** Removing an image: of blobs that are not its own none is looked at. */
  rmOfOthers: 0.01,
  /** And for each of its own. */
  rmOfOwn: 1.5,
} as const;

/** Blobs are removed many at a time: removing an image syncs as often as removing a small one. */
export const syncsOfRm = 25;
