import { builderTime, type Case, defaults, sized } from '../../support/layer-cases.ts';
import { dir, file, symlink, whiteout } from '../../support/tar-builder.ts';

export const changes: Case[] = [
  {
    rule: '7',
    title: 'a file over a full directory, a directory over a file',
    layers: [
      [dir('d'), file('d/x/y/z'), file('f')],
      [file('d', 'now'), dir('f'), file('f/g')],
    ],
    expect: { './d': sized('now'), './f': { type: 'dir' }, './f/g': {} },
  },
  {
    rule: '7',
    title: 'a directory over a file over a directory shows nothing of the first',
    layers: [[file('d/old')], [file('d'), dir('d'), file('d/new')]],
    expect: { './d/old': null, './d/new': {} },
  },
  {
    rule: '7, 2.1',
    title: 'a directory over a directory takes the new attributes and keeps the contents',
    root: true,
    layers: [
      [dir('d', { mode: 0o700, uid: 1, pax: { 'SCHILY.xattr.user.old': '1' } }), file('d/x')],
      [dir('d', { mode: 0o2775, uid: 2, mtime: 99, pax: { 'SCHILY.xattr.user.new': '2' } })],
    ],
    expect: {
      './d': { mode: 0o2775, uid: 2, mtimeNs: 99n * 10n ** 9n, xattrs: { 'user.new': '32' } },
      './d/x': {},
    },
  },
  {
    rule: '8',
    title: 'the root takes the attributes of its entry',
    root: true,
    layers: [
      [dir('.', { mode: 0o711, uid: 3, gid: 4, mtime: 55, pax: { 'SCHILY.xattr.user.r': 'x' } }), file('a')],
    ],
    expect: { '.': { mode: 0o711, uid: 3, gid: 4, mtimeNs: 55n * 10n ** 9n, xattrs: { 'user.r': '78' } } },
  },
  {
    rule: '8',
    title: 'a root that no entry names has the defaults, and keeps what a lower layer gave it',
    layers: [[dir('./', { mode: 0o750, mtime: 77 })], [file('a')]],
    expect: { '.': { mode: 0o750, mtimeNs: 77n * 10n ** 9n } },
  },
  { rule: '8', title: 'no entry for the root at all', layers: [[file('a')]], expect: { '.': defaults } },
  {
    rule: '10',
    title: 'missing parents get the defaults, the same on every day',
    layers: [[file('a/b/c')]],
    expect: { './a': defaults, './a/b': defaults },
  },
  {
    rule: '10',
    title: 'a directory changed without an entry keeps mode, owner, xattrs and mtime of the layer below',
    root: true,
    layers: [
      [
        dir('tmp', {
          mode: 0o1777,
          uid: 8,
          gid: 9,
          pax: { mtime: '1000.000000007', 'SCHILY.xattr.user.t': 'v' },
        }),
        file('tmp/gone'),
      ],
      [file('tmp/a/b'), whiteout('tmp/gone')],
      [file('tmp/c')],
    ],
    expect: {
      './tmp': { mode: 0o1777, uid: 8, gid: 9, mtimeNs: 1000n * 10n ** 9n + 7n, xattrs: { 'user.t': '76' } },
      './tmp/gone': null,
    },
  },
  {
    rule: '11',
    title: 'a parent that is a file is replaced by a directory',
    layers: [
      [file('a'), dir('d'), file('d/f')],
      [file('a/b/c'), file('d/f/g')],
    ],
    expect: { './a': { type: 'dir' }, './a/b/c': {}, './d/f': { type: 'dir' }, './d/f/g': {} },
  },
  {
    rule: '28',
    title: 'of equal names the last one wins, with a warning',
    layers: [[file('a', 'one'), file('a', 'three'), dir('d', { mode: 0o700 }), dir('d', { mode: 0o711 })]],
    expect: { './a': sized('three'), './d': { mode: 0o711 } },
    warns: ['duplicate_entry'],
  },
  {
    rule: '29, 30',
    title: 'read-only directories with contents, and their times',
    layers: [
      [
        dir('d', { mode: 0o555, mtime: 5 }),
        file('d/e/f'),
        dir('d/e', { mode: 0o500, mtime: 6 }),
        file('d/z'),
      ],
    ],
    expect: {
      './d': { mode: 0o555, mtimeNs: 5n * 10n ** 9n },
      './d/e': { mode: 0o500, mtimeNs: 6n * 10n ** 9n },
    },
  },
  {
    rule: '29',
    title: 'a deferred directory that is replaced in the end is not touched',
    layers: [
      [
        dir('d', { mode: 0o700, mtime: 5 }),
        file('d/x'),
        symlink('d', 'e'),
        dir('e', { mode: 0o711, mtime: 6 }),
      ],
    ],
    expect: {
      './e': { mode: 0o711, mtimeNs: 6n * 10n ** 9n },
      './d': { type: 'symlink', mtimeNs: builderTime },
    },
  },
];
