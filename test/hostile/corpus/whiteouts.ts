import { type Case, defaults, sized } from '../../support/layer-cases.ts';
import { dir, file, hardlink, opaque, symlink, whiteout } from '../../support/tar-builder.ts';

export const whiteouts: Case[] = [
  {
    rule: '18',
    title: 'a whiteout spares what its own layer wrote, before it or after',
    layers: [
      [file('x', 'old'), file('y', 'old'), file('z')],
      [file('x', 'new!'), whiteout('x'), whiteout('y'), file('y', 'new!'), whiteout('z')],
    ],
    expect: { './x': sized('new!'), './y': sized('new!'), './z': null },
  },
  {
    rule: '19',
    title: 'whiteout, then the directory anew: nothing of the lower one shows',
    layers: [
      [dir('x', { mode: 0o700, mtime: 9 }), file('x/old'), dir('w', { mode: 0o700 }), file('w/old')],
      [whiteout('x'), file('x/y'), whiteout('w'), dir('w', { mode: 0o711 }), file('w/new')],
    ],
    expect: { './x': defaults, './x/old': null, './x/y': {}, './w': { mode: 0o711 }, './w/old': null },
  },
  {
    rule: '19',
    title: 'the same with the whiteout last',
    layers: [
      [dir('x', { mode: 0o700, mtime: 9 }), file('x/old'), dir('w', { mode: 0o700 }), file('w/old')],
      [file('x/y'), whiteout('x'), dir('w', { mode: 0o711 }), file('w/new'), whiteout('w')],
    ],
    expect: { './x': defaults, './x/old': null, './x/y': {}, './w': { mode: 0o711 }, './w/old': null },
  },
  {
    rule: '20',
    title: 'a whiteout inside what is whited out',
    layers: [
      [dir('a'), file('a/b')],
      [whiteout('a'), whiteout('a/b')],
    ],
    expect: { './a': null },
  },
  {
    rule: '20',
    title: 'the same the other way round',
    layers: [
      [dir('a'), file('a/b')],
      [whiteout('a/b'), whiteout('a')],
    ],
    expect: { './a': null },
  },
  {
    rule: '21',
    title: 'opaque last in the stream spares entries and the directories on the way to them',
    layers: [
      [dir('a', { mode: 0o700 }), file('a/old'), dir('a/b', { mode: 0o700 }), file('a/b/old')],
      [file('a/b/c'), opaque('a')],
    ],
    expect: { './a': { mode: 0o700 }, './a/old': null, './a/b': defaults, './a/b/old': null, './a/b/c': {} },
  },
  {
    rule: '21',
    title: 'opaque first in the stream',
    layers: [
      [dir('a', { mode: 0o700 }), file('a/old'), dir('a/b', { mode: 0o700 }), file('a/b/old')],
      [opaque('a'), file('a/b/c')],
    ],
    expect: { './a': { mode: 0o700 }, './a/old': null, './a/b': defaults, './a/b/old': null, './a/b/c': {} },
  },
  {
    rule: '21',
    title: 'opaque through a link spares what was written by the real name',
    layers: [
      [dir('real'), file('real/old'), symlink('l', 'real')],
      [file('real/new'), opaque('l')],
    ],
    expect: { './real/new': {}, './real/old': null, './l': { type: 'symlink' } },
  },
  {
    rule: '21',
    title: 'an opaque root',
    layers: [
      [file('a'), dir('d', { mode: 0o700 }), file('d/x'), file('e/f')],
      [file('d/y'), opaque(''), file('g')],
    ],
    expect: { './a': null, './d': defaults, './d/x': null, './d/y': {}, './e': null, './g': {} },
  },
  {
    rule: '22',
    title: 'whiteouts where there is nothing make nothing',
    layers: [[file('a')], [whiteout('x/y'), opaque('z/w'), whiteout('b'), whiteout('a/b')]],
    expect: { './x': null, './z': null, './a': { type: 'file' } },
  },
  {
    rule: '22',
    title: 'in the lowest layer, too',
    layers: [[whiteout('x/y'), opaque('z'), whiteout('b'), file('a')]],
    expect: { './x': null, './z': null, './a': {} },
  },
  {
    rule: '23',
    title: 'whiteouts in an opaque directory leave no ghosts',
    layers: [
      [file('d/a'), file('d/b'), file('d/c')],
      [whiteout('d/a'), opaque('d'), whiteout('d/b'), file('d/n')],
    ],
    expect: { './d/a': null, './d/b': null, './d/c': null, './d/n': {} },
  },
  ...['.wh.', 'd/.wh.', '.wh..', '.wh...', 'd/.wh...'].map(
    (name): Case => ({
      rule: '24',
      title: `the marker ${name}`,
      layers: [[file('d/x')], [{ name }]],
      fails: 'layer_hostile',
    }),
  ),
  {
    rule: '25',
    title: 'bookkeeping of AUFS is passed over',
    layers: [
      [file('a'), { name: '.wh..wh.aufs' }, dir('.wh..wh.plnk'), file('.wh..wh.plnk/1'), dir('.wh..wh.orph')],
    ],
    expect: { './a': {}, './.wh..wh.plnk': null, './.wh..wh.aufs': null },
    warns: ['aufs_metadata'],
  },
  {
    rule: '25',
    title: 'a hard link into it is an error',
    layers: [[file('.wh..wh.plnk/1'), hardlink('a', '.wh..wh.plnk/1')]],
    fails: 'layer_corrupt',
  },
  ...['a/.wh..wh.plnk', 'a/.wh..wh.aufs', 'a/.wh..wh.orph/x', '.wh..wh..opq/x', 'a/.wh..wh..opq/x'].map(
    (name): Case => ({
      rule: '25',
      title: `bookkeeping of AUFS where AUFS has none: ${name}`,
      layers: [[file('a/b')], [file(name)]],
      fails: 'layer_hostile',
      names: name,
    }),
  ),
  {
    rule: '26',
    title: 'only the last part of a name makes a marker: a directory .wh.etc is a real one',
    layers: [
      [dir('etc', { mode: 0o711 }), file('etc/kept')],
      [file('.wh.etc/passwd', 'x'), file('d/.wh./y', 'x')],
      [file('.wh.etc/more', 'x'), whiteout('.wh.etc/passwd')],
    ],
    expect: {
      './etc': { mode: 0o711 },
      './etc/kept': {},
      './.wh.etc': defaults,
      './.wh.etc/passwd': null,
      './.wh.etc/more': {},
      './d/.wh./y': {},
    },
  },
  {
    rule: '18, 20',
    title: 'a whiteout of a parent of what its own layer wrote',
    layers: [
      [file('a/b/old'), file('a/old')],
      [file('a/b/new'), whiteout('a')],
    ],
    expect: { './a': defaults, './a/b': defaults, './a/b/new': {}, './a/b/old': null, './a/old': null },
  },
  {
    rule: '24',
    title: 'a whiteout of a way that leads up hides what it leads to',
    layers: [[file('a/x'), file('b')], [{ name: 'a/../.wh.b' }]],
    expect: { './a/x': {}, './b': null },
  },
  {
    rule: '27',
    title: 'a whiteout through a link that leads out hides nothing outside',
    layers: [
      [symlink('out', '../../outside'), dir('d')],
      [whiteout('out/secret'), opaque('out')],
    ],
    expect: { './out': { type: 'symlink' }, './outside': null },
  },
  {
    rule: '2.1',
    title: 'the type of a marker does not matter, and it never becomes visible',
    layers: [
      [file('a'), file('b'), file('c')],
      [dir('.wh.a'), symlink('.wh.b', '/x'), hardlink('.wh.c', 'nowhere')],
    ],
    expect: { './a': null, './b': null, './c': null, './.wh.a': null },
  },
  {
    rule: '27',
    title: 'a whiteout through a link deletes in the target, inside the root',
    layers: [[dir('etc'), file('etc/f'), file('etc/g'), symlink('local', '/etc')], [whiteout('local/f')]],
    expect: { './etc/f': null, './etc/g': {}, './local': { type: 'symlink' } },
  },
  {
    rule: '27',
    title: 'a whiteout of a link deletes the link only',
    layers: [[file('etc/f'), symlink('l', 'etc')], [whiteout('l')]],
    expect: { './l': null, './etc/f': {} },
  },
  {
    rule: '15, 18',
    title: 'a whiteout of the lower target of a hard link leaves the link',
    layers: [[file('t', 'data')], [hardlink('h', 't'), whiteout('t')]],
    expect: { './t': null, './h': { size: 4, linkGroup: '' } },
  },
  {
    rule: '15, 18',
    title: 'a hard link to what is already whited out',
    layers: [[file('t')], [whiteout('t'), hardlink('h', 't')]],
    fails: 'layer_corrupt',
  },
  {
    rule: '19, 21',
    title: 'three layers: deleted, made again, and again deleted in part',
    layers: [
      [file('a/b/1'), file('a/c/1')],
      [whiteout('a'), file('a/b/2')],
      [whiteout('a/b/2'), file('a/c/3')],
    ],
    expect: { './a/b/1': null, './a/b/2': null, './a/c/1': null, './a/c/3': {}, './a/b': defaults },
  },
  {
    rule: '19, CVE-2021-32803',
    title: 'a directory that was looked into, then whited out, then made again',
    layers: [
      [dir('a', { mode: 0o700 }), file('a/x'), file('a/z')],
      [whiteout('a/x'), whiteout('a'), file('a/y')],
    ],
    expect: { './a': defaults, './a/x': null, './a/y': {}, './a/z': null },
  },
  {
    rule: '11, 19',
    title: 'a directory that was looked into, then a file, then a directory again',
    layers: [
      [file('b/c/old'), dir('b/a', { mode: 0o700 })],
      [whiteout('b/c/none'), file('b'), file('b/a/new')],
    ],
    expect: { './b/c': null, './b/a': defaults, './b/a/new': {} },
  },
  {
    rule: '20, 21',
    title: 'a directory that was looked into, below one that became opaque',
    layers: [[file('a/c/old')], [dir('a/a'), whiteout('a/c/none'), opaque(''), opaque('a/c')]],
    expect: { './a/a': {}, './a/c': null },
  },
  {
    rule: '10, 19',
    title: 'an implicit directory takes nothing from below an opaque one',
    layers: [[dir('a/c', { mode: 0o700 }), file('a/c/old')], [whiteout('a'), file('a/b')], [file('a/c/new')]],
    expect: { './a/c': defaults, './a/c/old': null, './a/c/new': {} },
  },
  {
    rule: '10, 7',
    title: 'nor from below a file that a directory replaced again',
    layers: [
      [dir('a/c', { mode: 0o700 }), file('a/c/old')],
      [file('a')],
      [dir('a', { mode: 0o711 })],
      [file('a/c/new')],
    ],
    expect: { './a': { mode: 0o711 }, './a/c': defaults, './a/c/old': null },
  },
  {
    rule: '36',
    title: 'a character device 0/0',
    layers: [[file('x')], [{ name: 'x', type: '3', major: 0, minor: 0 }]],
    fails: 'layer_hostile',
  },
];
