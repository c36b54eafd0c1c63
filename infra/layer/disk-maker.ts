import { isErrno } from '../sys/error.ts';
import { check, close, linkat, mknodat, S_IFBLK, S_IFCHR, S_IFIFO, symlinkat, tryOpenat } from '../sys.ts';
import type { AttributeSetter } from './attributes.ts';
import { copyUp } from './copy-up.ts';
import type { DirNode } from './dir-node.ts';
import { writeBody } from './file-data.ts';
import { finishDirectories } from './finish.ts';
import type { Below, Maker } from './layer-tree.ts';
import { newFileFlags } from './open-below.ts';
import { bytesOf } from './path.ts';
import type { Report } from './report.ts';
import type { Entry, TarReader } from './tar.ts';
import type { Tree } from './tree.ts';

const EEXIST = -17;

/** Makes entries on the disk, by system calls relative to their open directory. */
export class DiskMaker implements Maker {
  readonly #tree: Tree;
  readonly #attributes: AttributeSetter;
  readonly #report: Report;
  readonly #reader: TarReader;

  constructor(tree: Tree, attributes: AttributeSetter, report: Report, reader: TarReader) {
    this.#tree = tree;
    this.#attributes = attributes;
    this.#report = report;
    this.#reader = reader;
  }

  file(node: DirNode, name: string, entry: Entry): boolean {
    const leaf = bytesOf(name);
    const mode = this.#attributes.firstMode(entry, node);
    const fd = tryOpenat(this.#tree.fd(node), leaf, newFileFlags, mode);
    if (fd === EEXIST) return false;
    check(fd, 'openat', leaf);
    try {
      writeBody(fd, entry, this.#reader);
      this.#attributes.file(fd, mode, entry, node, entry.path);
    } finally {
      close(fd);
    }
    return true;
  }

  symlink(node: DirNode, name: string, entry: Entry): boolean {
    const leaf = bytesOf(name);
    const dir = this.#tree.fd(node);
    if (!isNew(() => symlinkat(entry.link, dir, leaf))) return false;
    this.#attributes.node(dir, leaf, true, entry, node, entry.path);
    return true;
  }

  special(node: DirNode, name: string, entry: Entry): boolean {
    const leaf = bytesOf(name);
    const dir = this.#tree.fd(node);
    const type = entry.type === 'char' ? S_IFCHR : entry.type === 'block' ? S_IFBLK : S_IFIFO;
    if (!isNew(() => mknodat(dir, leaf, type | 0o600, entry.major, entry.minor))) return false;
    this.#attributes.node(dir, leaf, false, entry, node, entry.path);
    return true;
  }

  link(from: DirNode, leaf: string, node: DirNode, name: string): 'made' | 'taken' | 'missing' {
    try {
      const fromFd = this.#tree.fd(from); // gone when it was what stood at the name
      linkat(fromFd, bytesOf(leaf), this.#tree.fd(node), bytesOf(name));
      return 'made';
    } catch (error) {
      if (isErrno(error, 'EEXIST')) return 'taken';
      if (isErrno(error, 'ENOENT')) return 'missing';
      throw error;
    }
  }

  copyUp(node: DirNode, name: string, below: Below, entry: Entry): void {
    copyUp(this.#tree, node, name, below, this.#attributes, this.#report, entry.path);
  }

  /** Character device 0/0, which Linux lets anybody make since 5.8. */
  whiteout(node: DirNode, name: string): void {
    mknodat(this.#tree.fd(node), bytesOf(name), S_IFCHR, 0, 0);
  }

  finish(): void {
    finishDirectories(this.#tree, this.#attributes);
  }
}

/** Says whether the call made something; false when something was there. */
function isNew(make: () => void): boolean {
  try {
    make();
    return true;
  } catch (error) {
    if (isErrno(error, 'EEXIST')) return false;
    throw error;
  }
}
