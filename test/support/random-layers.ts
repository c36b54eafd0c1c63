import type { Random } from './random.ts';
import {
  block,
  dir,
  file,
  gnuLong,
  hardlink,
  opaque,
  symlink,
  type TarEntry,
  whiteout,
} from './tar-builder.ts';
import { type SparseFormat, sparse, sparseFormats } from './tar-sparse.ts';

/** What a layer of chance may hold. */
export interface Palette {
  /** Devices: only root can make them. */
  devices: boolean;
  sparse: readonly SparseFormat[];
  /** Xattrs that only root can set. */
  rootXattrs: boolean;
  /** `user.` xattrs on what cannot have them. */
  specialXattrs: boolean;
  /** Sparse files without any data. */
  sparseEmpty: boolean;
}

/** All that the readers know. */
export const everything: Palette = {
  devices: true,
  rootXattrs: true,
  specialXattrs: true,
  sparseEmpty: true,
  sparse: sparseFormats,
};

/** Few names, so that layers collide all the time. */
const names = ['a', 'b', 'c', 'd'];
const longName = 'n'.repeat(120);

const pathOf = (r: Random) => {
  const parts = Array.from({ length: 1 + r.below(3) }, () => r.pick(names));
  if (r.chance(0.03)) parts.push(longName);
  return parts.join('/');
};

/** The same place by another way: `/a`, `./a`, `x/../a`, `../../a`, `a//b`. */
function spelled(r: Random, path: string): string {
  if (!r.chance(0.1)) return path;
  return r.pick([`/${path}`, `./${path}`, `../../${path}`, `zz/../${path}`, path.replace('/', '//./')]);
}

const capability = Buffer.from('0100000200200000000000000000000000000000', 'hex');

function paxOf(r: Random, { rootXattrs }: Palette, userXattrs: boolean): Record<string, string | Buffer> {
  const pax: Record<string, string | Buffer> = {};
  if (userXattrs && r.chance(0.15)) pax['SCHILY.xattr.user.x'] = String(r.below(9));
  if (userXattrs && r.chance(0.05)) pax['SCHILY.xattr.user.y'] = Buffer.from([0, 10, 61, r.below(256)]);
  if (rootXattrs && r.chance(0.1)) pax['SCHILY.xattr.trusted.t'] = String(r.below(9));
  if (r.chance(0.2)) pax.mtime = `${1000 + r.below(1000)}.${r.below(1_000_000_000)}`;
  if (r.chance(0.05)) pax.uid = String(r.pick([70_000, 2 ** 31 + 5, 4_294_967_294]));
  return pax;
}

function attributesOf(r: Random, palette: Palette, special = false): TarEntry {
  const pax = paxOf(r, palette, !special || palette.specialXattrs);
  return {
    mode: r.pick([0o755, 0o700, 0o644, 0o1777, 0o2755, 0o4711, 0o500, 0]),
    uid: r.below(3),
    gid: r.below(3),
    mtime: 1000 + r.below(1000),
    ...(Object.keys(pax).length > 0 ? { pax } : {}),
  };
}

function sparseOf(
  r: Random,
  { sparse: formats, sparseEmpty: empty }: Palette,
  path: string,
  attributes: TarEntry,
): Buffer {
  const pieces: { offset: number; length: number }[] = [];
  let end = 0;
  for (let count = r.below(4) + (empty ? 0 : 1); count > 0; count--) {
    const offset = end + r.below(9000);
    pieces.push({ offset, length: 1 + r.below(700) });
    end = offset + (pieces.at(-1)?.length ?? 0);
  }
  const data = 'sparse data '.repeat(200).slice(
    0,
    pieces.reduce((sum, { length }) => sum + length, 0),
  );
  const { mode, uid, gid, mtime } = attributes;
  const plain = { mode: mode ?? 0o644, uid: uid ?? 0, gid: gid ?? 0, mtime: mtime ?? 0 };
  return sparse(r.pick(formats), path, pieces, end + r.below(9000), data, plain);
}

/** With a long name, the GNU way, when it does not fit the header. */
function named(entry: TarEntry): Buffer {
  const { name = '', link = '' } = entry;
  return Buffer.concat([
    ...(name.length > 100 ? [gnuLong('L', name)] : []),
    ...(link.length > 100 ? [gnuLong('K', link)] : []),
    block(entry),
  ]);
}

function entryOf(r: Random, i: number, palette: Palette): Buffer {
  const path = pathOf(r);
  const at = spelled(r, path);
  const kind = r.below(100);
  const attributes = attributesOf(r, palette, kind >= 68 && kind < 74);
  if (kind < 28) return named(file(at, `data ${i} ${r.below(1000)}`, withCapability(r, attributes, palette)));
  if (kind < 47) return named(dir(at, attributes));
  if (kind < 49) return block(dir('.', attributes));
  if (kind < 60) {
    const target = r.pick([pathOf(r), `/${pathOf(r)}`, `../${pathOf(r)}`, '..', '../../../..', 'nowhere']);
    const { uid = 0, mtime = 0 } = attributes;
    return named(symlink(at, target, { uid, mtime }));
  }
  if (kind < 68) return named(hardlink(at, spelled(r, pathOf(r)), { mode: 0o4777, uid: 9 }));
  if (kind < 71) return named({ name: at, type: '6', ...attributes });
  if (kind < 74 && palette.devices)
    return named({
      name: at,
      type: r.pick(['3', '4']),
      major: 1 + r.below(9),
      minor: r.below(300),
      ...attributes,
    });
  if (kind < 77 && palette.sparse.length > 0) return sparseOf(r, palette, path, attributes);
  if (kind < 90) return named(whiteout(at));
  if (kind < 98) return named(opaque(path.includes('/') ? path.slice(0, path.lastIndexOf('/')) : path));
  return block(opaque(''));
}

function withCapability(r: Random, attributes: TarEntry, { rootXattrs }: Palette): TarEntry {
  if (!rootXattrs || !r.chance(0.05)) return attributes;
  return { ...attributes, pax: { ...attributes.pax, 'SCHILY.xattr.security.capability': capability } };
}

/** The entries of a layer, each with what stands before its header, as bytes: 1 to 12 of all types, odd spellings, markers. */
export function randomEntries(r: Random, palette: Palette): Buffer[] {
  return Array.from({ length: 1 + r.below(12) }, (_, i) => entryOf(r, i, palette));
}
