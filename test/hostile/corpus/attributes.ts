import { builderTime, type Case, defaults, sized } from '../../support/layer-cases.ts';
import { base256, dir, file, gnuLong, symlink } from '../../support/tar-builder.ts';

const longest = 'n'.repeat(255);

export const attributes: Case[] = [
  {
    rule: '31, 69',
    title: 'owner, set-uid bits and capabilities survive together',
    root: true,
    layers: [
      [
        file('ping', 'x', {
          mode: 0o4755,
          uid: 11,
          gid: 12,
          pax: {
            'SCHILY.xattr.security.capability': Buffer.from(
              '0100000200200000000000000000000000000000',
              'hex',
            ),
          },
        }),
        file('sticky', 'x', { mode: 0o7777 }),
      ],
    ],
    expect: {
      './ping': {
        mode: 0o4755,
        uid: 11,
        gid: 12,
        xattrs: { 'security.capability': '0100000200200000000000000000000000000000' },
      },
      './sticky': { mode: 0o7777 },
    },
  },
  {
    rule: '32',
    title: 'a link has owner and time of its own; its mode is ignored',
    root: true,
    layers: [
      [file('f', 'x', { mode: 0o600 }), symlink('l', 'f', { uid: 5, gid: 6, mode: 0o4777, mtime: 7 })],
    ],
    expect: {
      './l': { uid: 5, gid: 6, mtimeNs: 7n * 10n ** 9n },
      './f': { mode: 0o600, uid: 0, mtimeNs: builderTime },
    },
  },
  {
    rule: '33, 34',
    title: 'xattrs with any bytes, in both spellings; SCHILY wins',
    layers: [
      [
        file('f', 'x', {
          pax: {
            'SCHILY.xattr.user.raw': Buffer.from([0, 10, 61, 255]),
            'LIBARCHIVE.xattr.user.raw': 'b3RoZXI',
            'LIBARCHIVE.xattr.user.b%3Dd': 'AAEC',
          },
        }),
      ],
    ],
    expect: { './f': { xattrs: { 'user.raw': '000a3dff', 'user.b=d': '000102' } } },
  },
  {
    rule: '35',
    title: 'marks of overlayfs and labels of the host are dropped',
    layers: [
      [file('d/low')],
      [
        dir('d', {
          pax: {
            'SCHILY.xattr.trusted.overlay.opaque': 'y',
            'SCHILY.xattr.trusted.overlay.redirect': '/etc',
            'SCHILY.xattr.user.overlay.opaque': 'y',
            'SCHILY.xattr.security.selinux': 'evil',
            'SCHILY.xattr.user.ok': '1',
          },
        }),
      ],
    ],
    expect: { './d/low': {}, './d': { xattrs: { 'user.ok': '31' } } },
    warns: ['xattr_dropped'],
  },
  {
    rule: '33',
    title: 'xattrs of the kinds user, trusted and security, on files and directories',
    root: true,
    layers: [
      [
        file('f', 'x', {
          pax: {
            'SCHILY.xattr.user.a': '1',
            'SCHILY.xattr.trusted.b': '2',
            'SCHILY.xattr.security.c': '3',
            'SCHILY.xattr.user.empty': '',
          },
        }),
        dir('d', { pax: { 'SCHILY.xattr.trusted.b': '2', 'SCHILY.xattr.user.a': Buffer.from([0xff]) } }),
        symlink('l', 'f', { pax: { 'SCHILY.xattr.trusted.b': '2' } }),
      ],
    ],
    expect: {
      './f': { xattrs: { 'user.a': '31', 'trusted.b': '32', 'security.c': '33', 'user.empty': '' } },
      './d': { xattrs: { 'trusted.b': '32', 'user.a': 'ff' } },
      './l': { xattrs: { 'trusted.b': '32' } },
    },
  },
  {
    rule: '33',
    title: 'an xattr of no known kind is told, not fatal',
    layers: [[file('f', 'x', { pax: { 'SCHILY.xattr.nokind': '1', 'SCHILY.xattr.odd.kind': '1' } })]],
    expect: { './f': { xattrs: {} } },
    warns: ['xattr_refused'],
  },
  {
    rule: '33',
    title: 'an xattr with a name longer than the kernel keeps',
    layers: [[file('f', 'x', { pax: { [`SCHILY.xattr.user.${'n'.repeat(256)}`]: '1' } })]],
    fails: 'layer_unsupported',
    names: 'f',
  },
  {
    rule: '33',
    title: 'an xattr with a value longer than the kernel keeps',
    layers: [[file('f', 'x', { pax: { 'SCHILY.xattr.user.v': 'x'.repeat(70_000) } })]],
    fails: 'layer_unsupported',
    names: 'f',
  },
  {
    rule: '33',
    title: 'a capability that is none',
    root: true,
    layers: [[file('f', 'x', { pax: { 'SCHILY.xattr.security.capability': 'nonsense' } })]],
    fails: 'layer_corrupt',
    names: 'f',
  },
  {
    rule: '71',
    title: 'an ACL that is none',
    layers: [
      [file('f', 'x', { pax: { 'SCHILY.xattr.system.posix_acl_access': Buffer.from('0200000001', 'hex') } })],
    ],
    fails: 'layer_corrupt',
    names: 'f',
  },
  {
    rule: '70, 71',
    title: 'file flags and ACLs as text are not for Linux',
    layers: [[file('f', 'x', { pax: { 'SCHILY.fflags': 'uchg', 'SCHILY.acl.access': 'user::rwx' } })]],
    expect: { './f': { mode: 0o644, xattrs: {} } },
  },
  {
    rule: '33',
    title: 'user xattrs on what cannot have them are told, not fatal',
    layers: [[symlink('l', 'x', { pax: { 'SCHILY.xattr.user.a': 'b' } })]],
    expect: { './l': { xattrs: {} } },
    warns: ['xattr_refused'],
  },
  {
    rule: '71',
    title: 'an ACL of a directory is not handed down to what a layer puts into it',
    root: true,
    layers: [
      [
        dir('d', {
          mode: 0o755,
          pax: {
            'SCHILY.xattr.system.posix_acl_default': Buffer.from(
              '0200000001000700ffffffff020006000500000004000500ffffffff10000700ffffffff20000500ffffffff',
              'hex',
            ),
          },
        }),
      ],
      [file('d/f'), { name: 'd/p', type: '6' }, dir('d/e'), file('d/i/j')],
    ],
    expect: {
      './d/f': { xattrs: {}, mode: 0o644 },
      './d/p': { xattrs: {} },
      './d/e': { xattrs: {} },
      './d/i': defaults,
    },
  },
  {
    rule: '69',
    title: 'a set-gid directory hands its group to nobody',
    root: true,
    layers: [
      [dir('d', { mode: 0o2775, gid: 50 })],
      [file('d/f'), dir('d/e'), symlink('d/l', 'x'), file('d/i/j')],
    ],
    expect: { './d/f': { gid: 0 }, './d/e': { gid: 0, mode: 0o755 }, './d/l': { gid: 0 }, './d/i': defaults },
  },
  {
    rule: '37',
    title: 'devices and FIFOs',
    root: true,
    layers: [
      [
        { name: 'c', type: '3', major: 4095, minor: 1_048_575, mode: 0o6620, uid: 1, mtime: 3 },
        { name: 'b', type: '4', major: 8, minor: 1 },
        { name: 'p', type: '6', mode: 0o666 },
      ],
    ],
    expect: {
      './c': { type: 'char', rdev: '4095:1048575', mode: 0o6620, uid: 1, mtimeNs: 3n * 10n ** 9n },
      './b': { type: 'block', rdev: '8:1' },
      './p': { type: 'fifo', mode: 0o666 },
    },
  },
  {
    rule: '37',
    title: 'device numbers beyond 12 and 20 bits',
    layers: [[{ name: 'c', type: '3', major: 4096, minor: 0 }]],
    fails: 'layer_corrupt',
  },
  {
    rule: '39',
    title: 'owners by octal, base-256 and PAX',
    root: true,
    layers: [
      [
        file('a', '', { uid: 0o7777777, gid: 100 }),
        file('b', '', { uid: base256(8, 4_294_967_294n), gid: base256(8, 3_000_000n) }),
        file('c', '', { pax: { uid: '4294967294', gid: '70000' } }),
      ],
    ],
    expect: {
      './a': { uid: 0o7777777, gid: 100 },
      './b': { uid: 4_294_967_294, gid: 3_000_000 },
      './c': { uid: 4_294_967_294, gid: 70_000 },
    },
  },
  ...[base256(8, 0xffffffffn), base256(8, -1n), base256(8, 1n << 40n)].map(
    (uid, i): Case => ({
      rule: '39',
      title: `an owner out of range (${i})`,
      layers: [[file('a', '', { uid })]],
      fails: 'layer_corrupt',
    }),
  ),
  {
    rule: '39',
    title: 'an owner in PAX that is none',
    layers: [[file('a', '', { pax: { uid: '-1' } })]],
    fails: 'layer_corrupt',
  },
  {
    rule: '40',
    title: 'times to the nanosecond, beyond 32 bits, and clamped',
    layers: [
      [
        file('ns', '', { pax: { mtime: '1350244992.0239601089' } }),
        file('late', '', { pax: { mtime: '4300000000.123456789' } }),
        file('big', '', { mtime: base256(12, 4_300_000_000n) }),
        file('neg', '', { pax: { mtime: '-1.5' } }),
        file('neg2', '', { mtime: base256(12, -5n) }),
        file('huge', '', { pax: { mtime: '99999999999999999999' } }),
      ],
    ],
    expect: {
      './ns': { mtimeNs: 1_350_244_992_023_960_108n },
      './late': { mtimeNs: 4_300_000_000_123_456_789n },
      './big': { mtimeNs: 4_300_000_000_000_000_000n },
      './neg': { mtimeNs: 0n },
      './neg2': { mtimeNs: 0n },
      './huge': { mtimeNs: 0n },
    },
    warns: ['time_clamped'],
  },
  {
    rule: '40',
    title: 'a time that is none',
    layers: [[file('a', '', { pax: { mtime: 'NaN' } })]],
    fails: 'layer_corrupt',
  },
  {
    rule: '55, 56',
    title: 'names are bytes: not UTF-8, not folded, not normalised',
    layers: [
      [
        { name: Buffer.from('a\xff\xfe', 'latin1'), data: '1' },
        { name: Buffer.from('a\xff\xfd', 'latin1'), data: '2' },
        file('Case'),
        file('case'),
        file('\u00e9'),
        file('e\u0301'),
        file('new\nline'),
        file('\u2028'),
        symlink('l', 'x', { link: Buffer.from('t\xff', 'latin1') }),
      ],
    ],
    expect: {
      './a\xff\xfe': sized('1'),
      './a\xff\xfd': sized('2'),
      './Case': {},
      './case': {},
      './new\nline': {},
      './l': { target: 't\xff' },
    },
  },
  {
    rule: '57',
    title: 'parts of exactly NAME_MAX, a marker of that length, and a path beyond PATH_MAX',
    layers: [
      [gnuLong('L', `${longest}/${longest}`), file('y', 'x'), gnuLong('L', 'y'.repeat(251)), file('y', 'x')],
      [
        gnuLong('L', `.wh.${'y'.repeat(251)}`),
        file('y', 'x'),
        gnuLong('L', `${'a/'.repeat(1000)}z`),
        file('y', 'x'),
      ],
    ],
    expect: {
      [`./${longest}/${longest}`]: sized('x'),
      [`./${'y'.repeat(251)}`]: null,
      [`./${'a/'.repeat(1000)}z`]: sized('x'),
    },
  },
  {
    rule: '57',
    title: 'a part longer than NAME_MAX',
    layers: [[gnuLong('L', 'x'.repeat(256)), file('y')]],
    fails: 'layer_unsupported',
  },
  {
    rule: '57',
    title: 'a link target longer than PATH_MAX',
    layers: [[gnuLong('K', 'x'.repeat(4096)), symlink('y', '')]],
    fails: 'layer_unsupported',
  },
  { rule: '57', title: 'a link to nothing', layers: [[symlink('y', '')]], fails: 'layer_corrupt' },
];
