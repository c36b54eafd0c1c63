import { S_IFDIR, S_IFMT } from '../sys.ts';
import { type DirNode, markWritten } from './dir-node.ts';
import { corrupt, hostile, unsupported } from './errors.ts';
import type { LayerTree, Maker } from './layer-tree.ts';
import { innerPath, type PathLimits } from './path.ts';
import type { Report } from './report.ts';
import { resolveDir } from './resolve.ts';
import type { Entry } from './tar.ts';
import { makeWhiteout } from './whiteout.ts';

/** What making entries needs, besides the entry and its place. */
export interface Placing {
  tree: LayerTree;
  maker: Maker;
  report: Report;
  limits: PathLimits;
}

/** A regular file: always a new inode, never one that is there (case 5). */
export function placeFile(placing: Placing, node: DirNode, name: string, entry: Entry): void {
  replacing(placing, node, name, entry, () => placing.maker.file(node, name, entry));
}

/** A directory: kept with its contents when there is one, else made; its attributes are set at the end (case 29). */
export function placeDir(placing: Placing, node: DirNode, name: string, entry: Entry): void {
  const { tree, report } = placing;
  const child = node.children?.get(name) ?? enterOrMake(placing, node, name, entry);
  tree.materialise(child);
  if (child.own !== null) report.warn('duplicate_entry', entry.path);
  child.own = entry;
  child.dirty = true;
  made(placing, node, name, entry);
}

function enterOrMake(placing: Placing, node: DirNode, name: string, entry: Entry): DirNode {
  const { tree } = placing;
  const found = tree.lookup(node, name);
  if ((found.at === 'here' || found.at === 'below') && (found.stat.mode & S_IFMT) === S_IFDIR)
    return tree.adopt(node, name, found);
  if (found.at === 'here' || found.at === 'gone') clear(placing, node, name, entry);
  return tree.makeDir(node, name);
}

export function placeSymlink(placing: Placing, node: DirNode, name: string, entry: Entry): void {
  if (entry.link.length === 0) throw corrupt('a symlink to nothing', entry.path);
  if (entry.link.length > 4095) throw unsupported('the target of the symlink is too long', entry.path);
  replacing(placing, node, name, entry, () => placing.maker.symlink(node, name, entry));
}

/** A device or FIFO. Without root, devices are left out and counted (case 37). */
export function placeSpecial(placing: Placing, node: DirNode, name: string, entry: Entry): void {
  const { tree, maker, report } = placing;
  if (entry.type === 'char' && entry.major === 0 && entry.minor === 0)
    throw hostile('a character device 0/0, which is a whiteout to overlayfs', entry.path);
  if (entry.type !== 'fifo' && !tree.privileged) {
    hide(placing, node, name, entry);
    report.warn('device_unprivileged', entry.path);
    return;
  }
  replacing(placing, node, name, entry, () => maker.special(node, name, entry));
}

/**
 * A hard link. The directory of the target is resolved like any other, its leaf is linked as it is,
 * symlinks too (cases 12 and 13). The header's own attributes say nothing about the file (case 16).
 */
export function placeHardlink(placing: Placing, node: DirNode, name: string, entry: Entry): void {
  const { tree, maker, report, limits } = placing;
  const target = innerPath(entry.link, limits);
  if (target.clamped) report.warn('path_outside', entry.path);
  const leaf = target.parts.pop();
  if (leaf === undefined) throw hostile('a hard link to the root', entry.path);
  const from = resolveDir(tree, target.parts, false, entry.path);
  const found = from === null ? null : tree.lookup(from, leaf);
  if (from === null || found === null || found.at === 'none' || found.at === 'gone')
    throw corrupt('a hard link to something that is not there', entry.path);
  if ((found.stat.mode & S_IFMT) === S_IFDIR) throw hostile('a hard link to a directory', entry.path);
  if (found.at === 'below') maker.copyUp(from, leaf, found, entry);
  if (from === node && leaf === name) {
    made(placing, node, name, entry);
    return;
  }
  let again = false;
  replacing(placing, node, name, entry, () => {
    const linked = maker.link(from, leaf, node, name);
    if (linked === 'missing')
      throw corrupt(
        again ? 'a hard link that replaces its own target' : 'a hard link to something that is not there',
        entry.path,
      );
    again = true;
    return linked === 'made';
  });
}

/** Makes something at a name where nothing may be: what is there is removed first, then (cases 5 and 7). */
function replacing(placing: Placing, node: DirNode, name: string, entry: Entry, make: () => boolean): void {
  if (!make()) {
    clear(placing, node, name, entry);
    if (!make()) throw hostile('somebody else makes files in the volume', entry.path);
  }
  made(placing, node, name, entry);
}

function clear({ tree, report }: Placing, node: DirNode, name: string, entry: Entry): void {
  if (node.written?.has(name) || !tree.hasBelow) report.warn('duplicate_entry', entry.path);
  tree.remove(node, name);
}

/** Nothing stands at the name afterwards, in the image: for an entry that cannot be made. */
function hide(placing: Placing, node: DirNode, name: string, entry: Entry): void {
  const { tree } = placing;
  if (tree.lookup(node, name).at === 'here') clear(placing, node, name, entry);
  if (tree.lookup(node, name).at === 'below') makeWhiteout(placing, node, name);
}

function made({ tree }: Placing, node: DirNode, name: string, entry: Entry): void {
  node.dirty = true;
  if (entry.type !== 'dir') tree.forget(node, name);
  if (tree.hasBelow) markWritten(node, name);
}
