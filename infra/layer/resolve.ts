import { S_IFDIR, S_IFLNK, S_IFMT } from '../sys.ts';
import type { DirNode } from './dir-node.ts';
import { hostile } from './errors.ts';
import type { LayerTree } from './layer-tree.ts';
import { keyOf } from './path.ts';

const linksMax = 40; // as the kernel (MAXSYMLINKS)

/**
 * The directory that the names lead to, following symlinks as a chroot into the tree would: absolute
 * targets start at the root, `..` stops there (cases 3 and 27). Debian's `lib -> usr/lib` must be
 * followed, and nothing may lead out.
 *
 * With `create`, what is missing is made, also behind a dead link (case 4), and a file in the way is
 * replaced (case 11). Without, the result is null when there is no such directory.
 * `layer_hostile` after 40 links.
 */
export function resolveDir(
  tree: LayerTree,
  names: readonly string[],
  create: boolean,
  entry: Buffer,
): DirNode | null {
  let node = tree.root;
  let links = 0;
  const ahead = [...names].reverse();
  for (let name = ahead.pop(); name !== undefined; name = ahead.pop()) {
    if (name === '' || name === '.') continue;
    if (name === '..') {
      node = node.parent ?? node;
      continue;
    }
    const known = node.children?.get(name);
    if (known !== undefined) {
      node = known;
      continue;
    }
    const found = tree.lookup(node, name);
    const type = 'stat' in found ? found.stat.mode & S_IFMT : 0;
    if (type === S_IFDIR) {
      node = tree.adopt(node, name, found);
    } else if (type === S_IFLNK) {
      links++;
      if (links > linksMax) throw hostile('a loop of symlinks on the way', entry);
      const target = keyOf(tree.readlink(node, name, found));
      if (target.startsWith('/')) node = tree.root;
      ahead.push(...target.split('/').reverse());
    } else if (create) {
      if (found.at === 'here' || found.at === 'gone') tree.unlink(node, name);
      node = tree.makeDir(node, name);
      node.implied = true;
    } else {
      return null;
    }
  }
  return node;
}
