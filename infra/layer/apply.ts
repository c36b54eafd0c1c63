import type { ErrorCode } from '#core/error-codes';
import { FlydError, quotaHint } from '#core/errors';
import type { Limits } from '#core/limits';
import { isErrno, printable, SysError } from '../sys/error.ts';
import { AttributeSetter } from './attributes.ts';
import type { DirNode } from './dir-node.ts';
import { DiskMaker } from './disk-maker.ts';
import { exceeded, hostile } from './errors.ts';
import { innerPath } from './path.ts';
import { type Placing, placeDir, placeFile, placeHardlink, placeSpecial, placeSymlink } from './place.ts';
import { Report } from './report.ts';
import { resolveDir } from './resolve.ts';
import type { BlockReader } from './source.ts';
import { type Entry, TarReader } from './tar.ts';
import { Tree } from './tree.ts';
import { carryOut, type Marker, markerPrefix, opaqueName } from './whiteout.ts';

export type ApplyLimits = Pick<
  Limits,
  | 'layerEntriesMax'
  | 'layerLogicalBytesMax'
  | 'layerPhysicalBytesMax'
  | 'paxBytesMax'
  | 'pathBytesMax'
  | 'pathDepthMax'
  | 'xattrBytesMax'
  | 'sparseFragmentsMax'
  | 'trailingBytesMax'
>;

export interface ApplyTarget {
  /** The folder that becomes the image's root. In overlay's form it must be empty. */
  rootfs: string;
  form: 'flat' | 'overlay';
  lowers: readonly string[];
  privileged: boolean;
}

export interface Applied {
  entries: number;
  /** Bytes of data written to files. */
  bytes: number;
  report: Report;
}

const aufsPrefix = '.wh..wh.';

/**
 * Applies a layer's raw tar to a tree: a changeset over what is there, not a mere extraction (OCI
 * image-spec, layer.md). `onEntry` is called before each entry and may throw to stop between two.
 * Errors of the layer are unrecoverable and name the entry; those of the system name it as well.
 */
export function applyLayer(
  blocks: BlockReader,
  target: ApplyTarget,
  limits: ApplyLimits,
  onEntry: (entries: number) => void = () => {},
): Applied {
  const tree = new Tree({ ...target, entriesMax: limits.layerEntriesMax });
  try {
    return applyTo(tree, blocks, limits, { onEntry, defer: null });
  } finally {
    tree.close();
  }
}

/** Applies a layer to an open tree, but for the markers that `defer` takes. */
export function applyTo(
  tree: Tree,
  blocks: BlockReader,
  limits: ApplyLimits,
  { onEntry, defer }: { onEntry: (entries: number) => void; defer: ((marker: Marker) => void) | null },
): Applied {
  const report = new Report();
  const reader = new TarReader(blocks, limits, report);
  const maker = new DiskMaker(tree, new AttributeSetter(tree.privileged, report), report, reader);
  const applier = new Applier({ tree, maker, report, limits }, limits, defer);
  for (let entry = reader.next(); entry !== null; entry = reader.next()) {
    onEntry(applier.entries);
    applier.apply(entry);
  }
  drain(blocks, limits.trailingBytesMax, report);
  maker.finish();
  return { entries: applier.entries, bytes: applier.physical, report };
}

/** Gives each entry its place in a tree, or carries out what it marks. */
export class Applier {
  entries = 0;
  physical = 0;
  #logical = 0;
  readonly #placing: Placing;
  readonly #limits: ApplyLimits;
  readonly #defer: ((marker: Marker) => void) | null;

  /** `defer` takes the markers of deletions, which are then carried out later by others. */
  constructor(placing: Placing, limits: ApplyLimits, defer: ((marker: Marker) => void) | null = null) {
    this.#placing = placing;
    this.#limits = limits;
    this.#defer = defer;
  }

  /** Takes the next entry. Errors of the layer, and of the system, name it. */
  apply(entry: Entry): void {
    naming(entry, () => this.#apply(entry));
  }

  #apply(entry: Entry): void {
    const { tree, report } = this.#placing;
    const { parts, clamped } = innerPath(entry.path, this.#limits);
    if (clamped) report.warn('path_outside', entry.path);
    if (isBookkeeping(parts, entry)) {
      report.warn('aufs_metadata', entry.path);
      return;
    }
    const leaf = parts.pop();
    if (leaf?.startsWith(markerPrefix)) {
      this.#marker(parts, leaf, entry);
      return;
    }
    this.#count(entry);
    if (leaf === undefined) {
      this.#root(entry);
      return;
    }
    const node = resolveDir(tree, parts, true, entry.path);
    if (node === null) throw new TypeError('resolving with create gives a directory');
    tree.materialise(node);
    this.#place(node, leaf, entry);
  }

  #place(node: DirNode, leaf: string, entry: Entry): void {
    const placing = this.#placing;
    if (entry.type === 'file') placeFile(placing, node, leaf, entry);
    else if (entry.type === 'dir') placeDir(placing, node, leaf, entry);
    else if (entry.type === 'symlink') placeSymlink(placing, node, leaf, entry);
    else if (entry.type === 'hardlink') placeHardlink(placing, node, leaf, entry);
    else placeSpecial(placing, node, leaf, entry);
  }

  /** Cases 8 and 9: the root has attributes like any directory, and can be nothing else (CVE-2021-29136). */
  #root(entry: Entry): void {
    if (entry.type !== 'dir')
      throw hostile('the root of the image as something else than a directory', entry.path);
    this.#placing.tree.root.own = entry;
  }

  /** A name that begins with `.wh.` is an instruction, whatever its type; it never becomes visible. */
  #marker(parts: string[], leaf: string, entry: Entry): void {
    const { tree } = this.#placing;
    const hidden = leaf.slice(markerPrefix.length);
    if (hidden === '' || hidden === '.' || hidden === '..')
      throw hostile('a whiteout of no name, or of the directory itself', entry.path); // case 24
    if (this.#defer !== null) {
      this.#defer({ parts, leaf });
      return;
    }
    const node = resolveDir(tree, parts, false, entry.path);
    if (node === null) return; // nothing there to hide (case 22)
    carryOut(this.#placing, node, leaf);
  }

  /** Limits are checked before anything is written. */
  #count(entry: Entry): void {
    const { layerEntriesMax, layerLogicalBytesMax, layerPhysicalBytesMax } = this.#limits;
    this.entries++;
    this.#logical += entry.size;
    this.physical += entry.stored;
    if (this.entries > layerEntriesMax) throw exceeded('layerEntriesMax', layerEntriesMax, entry.path);
    if (this.#logical > layerLogicalBytesMax)
      throw exceeded('layerLogicalBytesMax', layerLogicalBytesMax, entry.path);
    if (this.physical > layerPhysicalBytesMax)
      throw exceeded('layerPhysicalBytesMax', layerPhysicalBytesMax, entry.path);
  }
}

/**
 * Case 25: what AUFS kept in the root of its branches is passed over; the same names anywhere else are an
 * error, and so is an opaque mark that has children. Any other name with `.wh.` on the way to an entry
 * is a directory like others (case 26): only the last part of a name makes a marker.
 */
function isBookkeeping(parts: readonly string[], entry: Entry): boolean {
  const at = parts.findIndex((part) => part.startsWith(aufsPrefix));
  if (at === -1 || (parts[at] === opaqueName && at === parts.length - 1)) return false;
  if (at > 0 || parts[at] === opaqueName) throw hostile('bookkeeping of AUFS below the root', entry.path);
  return true;
}

/** Errors of the system get the entry's name; a full disk is said as such. */
export function naming<T>(entry: Pick<Entry, 'path'>, act: () => T): T {
  try {
    return act();
  } catch (error) {
    const subject = printable(entry.path);
    if (error instanceof FlydError && !(error instanceof SysError)) throw withSubject(error, subject);
    const details = { op: 'volume.unpack', subject, cause: error };
    if (isErrno(error, 'EDQUOT'))
      throw new FlydError('recoverable', 'no_space', `${subject}: a quota is used up`, {
        ...details,
        hint: quotaHint,
        facts: { errno: 'EDQUOT' },
      });
    if (isErrno(error, 'ENOSPC'))
      throw new FlydError('recoverable', 'no_space', `${subject}: the volume is full`, details);
    if (isErrno(error, 'ENAMETOOLONG', 'EMLINK', 'EFBIG', 'EOVERFLOW'))
      throw new FlydError('unrecoverable', 'layer_unsupported', `${subject}: ${text(error)}`, details);
    const kind = error instanceof SysError ? error.kind : 'recoverable';
    throw new FlydError(kind, 'system_call', `${subject}: ${text(error)}`, details);
  }
}

function withSubject(error: FlydError, subject: string): FlydError {
  if (error.subject !== undefined) return error;
  const { kind, code, op, hint, facts, cause } = error;
  return new FlydError(kind, code as ErrorCode, `${subject}: ${error.message}`, {
    op,
    subject,
    hint,
    facts,
    cause,
  });
}

const text = (error: unknown): string => (error instanceof Error ? error.message : String(error));
const zeros = Buffer.alloc(64 * 1024);

/** Reads to the end: all of it counts in the diffID (case 59). What is not zero is no use to anyone (case 61). */
export function drain(blocks: BlockReader, trailingBytesMax: number, report: Report): void {
  let trailing = 0;
  for (let bytes = blocks.take(zeros.length); bytes.length > 0; bytes = blocks.take(zeros.length)) {
    if (bytes.equals(zeros.subarray(0, bytes.length))) continue;
    if (trailing === 0) report.warn('trailing_data', Buffer.from('/'));
    trailing += bytes.length;
    if (trailing > trailingBytesMax) throw exceeded('trailingBytesMax', trailingBytesMax);
  }
}
