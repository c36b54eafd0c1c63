import { builderTime, type Case, defaults, sized } from '../../support/layer-cases.ts';
import { dir, file, hardlink, symlink, whiteout } from '../../support/tar-builder.ts';

/** Links `l1` to `l<count>`, each to the one before it, the first to `end`. */
const chain = (count: number) =>
  Array.from({ length: count }, (_, i) => symlink(`l${i + 1}`, i === 0 ? 'end' : `l${i}`));

export const breakouts: Case[] = [
  {
    rule: '1',
    title: '.. is kept inside, with a warning',
    layers: [[file('../../../../outside/a'), file('x/../../b'), file('c/./d//e')]],
    expect: { './outside/a': { type: 'file' }, './b': { type: 'file' }, './c/d/e': { type: 'file' } },
    warns: ['path_outside'],
  },
  {
    rule: '2, CVE-2021-32804',
    title: 'absolute names, also with many slashes and roots, are relative',
    layers: [[file('/etc/a'), file('///b'), file('/./../c')]],
    expect: { './etc/a': {}, './b': {}, './c': {} },
  },
  {
    rule: 'CVE-2021-37713, CVE-2021-37701',
    title: 'backslashes and drive letters are plain bytes',
    layers: [[file('C:..\\x'), symlink('a\\b', '/etc'), file('a/b/passwd')]],
    expect: { './C:..\\x': { type: 'file' }, './a/b/passwd': { type: 'file' } },
  },
  {
    rule: '3',
    title: 'a parent that is a link to an absolute place is followed inside the root',
    layers: [[symlink('a', '/etc'), file('a/passwd', 'mine')]],
    expect: { './a': { type: 'symlink' }, './etc/passwd': sized('mine') },
  },
  {
    rule: '3',
    title: 'an absolute target starts at the root, also from deep below',
    layers: [[symlink('d/e/l', '/etc/f'), file('d/e/l/x'), whiteout('d/e/l/y')]],
    expect: { './etc/f/x': {}, './d/e/etc': null },
  },
  {
    rule: '3',
    title: 'usrmerge: a later layer writes through lib -> usr/lib',
    layers: [[dir('usr'), dir('usr/lib', { mode: 0o711 }), symlink('lib', 'usr/lib')], [file('lib/foo')]],
    expect: {
      './usr/lib': { mode: 0o711, mtimeNs: builderTime },
      './usr/lib/foo': {},
      './lib': { type: 'symlink' },
    },
  },
  {
    rule: '3, CVE-2026-26960',
    title: 'a chain of links with .. ends at the root',
    layers: [
      [
        symlink('a', '../../../..'),
        symlink('b', 'a/../..'),
        symlink('c', 'b/outside'),
        file('c/secret', 'new'),
      ],
    ],
    expect: { './outside/secret': sized('new'), './c': { type: 'symlink' } },
  },
  {
    rule: '3',
    title: 'a loop of links is refused',
    layers: [[symlink('a', 'b'), symlink('b', 'a'), file('a/x')]],
    fails: 'layer_hostile',
  },
  {
    rule: '4',
    title: 'behind a dead link the directory is made where it points',
    layers: [[symlink('a', '/made/here'), file('a/x')]],
    expect: { './made/here/x': {}, './made': defaults, './a': { type: 'symlink' } },
  },
  {
    rule: '5',
    title: 'a file replaces a link and is not written through it',
    layers: [
      [file('target', 'old'), symlink('l', 'target'), symlink('m', '/outside/secret')],
      [file('l', 'new'), file('m')],
    ],
    expect: { './target': sized('old'), './l': { type: 'file', size: 3 }, './m': { type: 'file' } },
  },
  {
    rule: '6',
    title: 'a directory replaces a link to a directory',
    layers: [
      [dir('real'), file('real/x'), symlink('l', 'real')],
      [dir('l'), file('l/y')],
    ],
    expect: { './l': { type: 'dir' }, './l/y': {}, './real/x': {}, './real/y': null },
  },
  {
    rule: 'CVE-2021-32803, CVE-2021-37712',
    title: 'a directory that becomes a link in mid-stream is not remembered as a directory',
    layers: [[dir('a'), file('a/x'), symlink('a', '/etc'), file('a/passwd', 'mine')]],
    expect: { './a': { type: 'symlink' }, './etc/passwd': sized('mine'), './etc/x': null },
    warns: ['duplicate_entry'],
  },
  {
    rule: 'CVE-2021-32803',
    title: 'the same in depth, with a parent that becomes a link',
    layers: [[dir('a/b/c'), file('a/b/c/x'), symlink('a/b', '../d'), dir('d/c'), file('a/b/c/y')]],
    expect: { './a/b': { type: 'symlink' }, './d/c/y': {}, './d/c/x': null },
  },
  {
    rule: '3, 11',
    title: 'a file on the way, behind a link, becomes a directory where it is',
    layers: [[file('real/f', 'x'), symlink('l', 'real/f')], [file('l/x')]],
    expect: { './real/f': { type: 'dir' }, './real/f/x': {}, './l': { type: 'symlink' } },
  },
  {
    rule: '3',
    title: 'a chain of links as long as the kernel follows, and one that is longer',
    layers: [
      [dir('end'), ...chain(40), file('l40/x')],
      [symlink('l41', 'l40'), file('l41/y')],
    ],
    fails: 'layer_hostile',
    names: 'l41/y',
  },
  {
    rule: '3',
    title: 'a link to itself',
    layers: [[symlink('me', 'me'), file('me/x')]],
    fails: 'layer_hostile',
    names: 'me/x',
  },
  {
    rule: '5, CVE-2026-23950',
    title:
      'names that collide when folded are different entries, and a link under one is none under the other',
    layers: [
      [
        symlink('Dir', '/outside'),
        dir('dir'),
        file('dir/x'),
        symlink('ß', '/outside'),
        dir('ss'),
        file('ss/y'),
      ],
    ],
    expect: { './dir/x': {}, './ss/y': {}, './Dir': { type: 'symlink' }, './outside': null },
  },
  {
    rule: '9, CVE-2021-29136',
    title: 'the root cannot become a link',
    layers: [[{ name: '.', type: '2', link: '/outside' }, file('x')]],
    fails: 'layer_hostile',
  },
  {
    rule: '9',
    title: 'the root cannot become a file',
    layers: [[file('./', 'data', { type: '7' })]],
    fails: 'layer_corrupt',
  },
  {
    rule: '9',
    title: 'the root cannot become a hard link',
    layers: [[hardlink('/', 'x')]],
    fails: 'layer_hostile',
  },
  {
    rule: '12, CVE-2026-24842, CVE-2026-23745',
    title: 'targets of hard links stay inside, by .., absolute or through links',
    layers: [[symlink('up', '../..'), hardlink('h', '../outside/secret')]],
    fails: 'layer_corrupt',
  },
  {
    rule: '12',
    title: 'a hard link through a directory link',
    layers: [
      [dir('d'), file('d/f', 'data'), symlink('s', '/d'), hardlink('h', 's/f'), hardlink('i', '/../d/f')],
    ],
    expect: { './h': { linkGroup: './d/f' }, './i': { linkGroup: './d/f' } },
  },
  {
    rule: '13, CVE-2021-32760',
    title: 'a hard link to a link is the link itself, and its mode touches nothing else',
    layers: [[symlink('s', '/outside/secret'), hardlink('h', 's', { mode: 0o4777, uid: 7 })]],
    expect: { './h': { type: 'symlink', linkGroup: './h', uid: 0, target: '/outside/secret' } },
  },
  {
    rule: '14',
    title: 'a hard link ahead of its target',
    layers: [[hardlink('h', 'f'), file('f')]],
    fails: 'layer_corrupt',
  },
  {
    rule: '12',
    title: 'a hard link to a directory',
    layers: [[dir('d'), hardlink('h', 'd')]],
    fails: 'layer_hostile',
  },
  { rule: '12', title: 'a hard link to the root', layers: [[hardlink('h', '/')]], fails: 'layer_hostile' },
  {
    rule: '12',
    title: 'a hard link to itself changes nothing',
    layers: [[file('f', 'data'), hardlink('f', './f')]],
    expect: { './f': { size: 4, linkGroup: '' } },
  },
  {
    rule: '12',
    title: 'a hard link to itself, where there is nothing',
    layers: [[hardlink('f', 'f')]],
    fails: 'layer_corrupt',
    names: 'f',
  },
  ...['/outside/secret', '../../outside/secret', '../0-flat/x', '', '.', '..', '/'].map(
    (link): Case => ({
      rule: '12',
      title: `a hard link to ${JSON.stringify(link)}`,
      layers: [[dir('d'), hardlink('d/h', link)]],
      fails: /outside|flat/.test(link) ? 'layer_corrupt' : 'layer_hostile',
      names: 'd/h',
    }),
  ),
  {
    rule: '12, 3',
    title: 'a hard link through a loop',
    layers: [[symlink('a', 'b'), symlink('b', 'a'), hardlink('h', 'a/x')]],
    fails: 'layer_hostile',
    names: 'h',
  },
  {
    rule: '12',
    title: 'a hard link that replaces the directory its target is in',
    layers: [[dir('d'), file('d/f'), hardlink('d', 'd/f')]],
    fails: 'layer_corrupt',
  },
  {
    rule: '15',
    title: 'a hard link to a file of a lower layer',
    root: true,
    layers: [
      [
        file('low', 'data', {
          mode: 0o4751,
          uid: 5,
          gid: 6,
          mtime: 1234,
          pax: { 'SCHILY.xattr.user.a': 'b' },
        }),
      ],
      [dir('d'), hardlink('d/h', 'low')],
    ],
    expect: {
      './d/h': { size: 4, mode: 0o4751, uid: 5, gid: 6, linkGroup: './d/h', mtimeNs: 1234n * 10n ** 9n },
      './low': { linkGroup: './d/h', xattrs: { 'user.a': '62' } },
    },
  },
  {
    rule: '15',
    title: 'the same for a link, a FIFO and a device',
    root: true,
    layers: [
      [
        symlink('s', 'x'),
        { name: 'p', type: '6', mode: 0o622 },
        { name: 'c', type: '3', major: 1, minor: 3 },
      ],
      [hardlink('hs', 's'), hardlink('hp', 'p'), hardlink('hc', 'c')],
    ],
    expect: {
      './hs': { type: 'symlink', linkGroup: './hs' },
      './hp': { type: 'fifo', mode: 0o622, linkGroup: './hp' },
      './hc': { type: 'char', rdev: '1:3', linkGroup: './c' },
    },
  },
  {
    rule: '16, 17',
    title: 'a hard link with a body and other attributes: the body is passed over, the file stays as it is',
    layers: [
      [
        file('f', 'data', { mode: 0o600 }),
        hardlink('h', 'f', { data: 'EVIL', mode: 0o777 }),
        file('g', 'next'),
      ],
    ],
    expect: { './f': { size: 4, mode: 0o600, linkGroup: './f' }, './g': { size: 4 } },
    warns: ['link_with_body'],
  },
];
