import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { fails, nameOf, only, read, reads } from '../../support/read-tar.ts';
import {
  base256,
  block,
  dir,
  file,
  gnuLong,
  hardlink,
  header,
  pax,
  paxRecord,
  symlink,
  tar,
  zeroBlocks,
} from '../../support/tar-builder.ts';

describe('tar headers', () => {
  it('reads all types (51)', () => {
    const types = reads(
      file('f', 'x'),
      file('g', 'x', { type: '\0' }),
      file('h', 'x', { type: '7' }),
      hardlink('l', 'f'),
      symlink('s', 'f'),
      { name: 'c', type: '3', major: 1, minor: 2 },
      { name: 'b', type: '4', major: 1, minor: 2 },
      dir('d'),
      { name: 'p', type: '6' },
      { name: 'D', type: 'D', data: 'Yname\0\0' },
    ).map(({ type }) => type);
    assert.deepEqual(types, [
      'file',
      'file',
      'file',
      'hardlink',
      'symlink',
      'char',
      'block',
      'dir',
      'fifo',
      'dir',
    ]);
  });

  it('passes over labels, refuses what it does not know (51)', () => {
    const { entries, warnings } = read(
      tar({ type: 'V', name: 'label' }, { type: 'N', data: 'x'.repeat(600) }, file('a')),
      512,
    );
    assert.deepEqual([entries.map(nameOf), warnings], [['a'], ['tar_label']]);
    for (const type of ['M', 'A', 'E', 'I', 'X', 'Z', '8', ' ', '\xff'])
      fails(tar({ type }), 'layer_unsupported');
  });

  it('a name that ends with a slash is a directory, also after PAX, but never with data (50)', () => {
    assert.equal(only(file('d/', '')).type, 'dir');
    assert.equal(only(file('d/', '', { type: '\0', format: 'v7' })).type, 'dir');
    assert.equal(only(file('d', '', { pax: { path: 'long/' } })).type, 'dir');
    fails(tar(file('d/', 'data')), 'layer_corrupt');
  });

  it('sizes of types without data are only hints (17)', () => {
    const entries = reads(
      dir('d', { size: 4096 }),
      symlink('s', 'x', { size: 10 }),
      { name: 'p', type: '6', size: 99 },
      file('f'),
    );
    assert.deepEqual(entries.map(nameOf), ['d/', 's', 'p', 'f']);
    assert.deepEqual(
      entries.map(({ size }) => size),
      [0, 0, 0, 1],
    );
  });

  it('joins the prefix for ustar only (49)', () => {
    const long = 'p'.repeat(155);
    assert.equal(nameOf(only({ name: 'n'.repeat(100), prefix: long })), `${long}/${'n'.repeat(100)}`);
    const patch = (out: Buffer) => void out.write('prefix', 345);
    assert.equal(nameOf(only({ name: 'n', format: 'gnu', patch })), 'n');
    assert.equal(nameOf(only({ name: 'n', format: 'v7', patch })), 'n');
    const star = (out: Buffer) => {
      out.write('x'.repeat(131), 345);
      out.write('00000000000\0', 476);
      out.write('tar\0', 508, 'latin1');
    };
    assert.equal(nameOf(only({ name: 'n', patch: star })), `${'x'.repeat(131)}/n`);
  });

  it('numbers: octal with blanks, none, base-256 to 63 bits, garbage (41, 42)', () => {
    assert.equal(only(file('a', 'abc', { size: Buffer.from('          3 ') })).size, 3);
    assert.equal(only(file('a', 'abc', { size: Buffer.from('\0 00000003\0 ') })).size, 3);
    assert.equal(only(file('a', '', { size: Buffer.alloc(12) })).size, 0);
    assert.equal(only(file('a', '', { size: Buffer.from(' '.repeat(12)) })).size, 0);
    assert.equal(only(file('a', 'abc', { size: base256(12, 3n) })).size, 3);
    assert.equal(only(file('a', '', { uid: base256(8, 4_294_967_294n) })).uid, 4_294_967_294);
    for (const size of ['9', '0x10', '1 2', '-1', '+1', '1e3'])
      fails(tar(file('a', '', { size: Buffer.from(size.padEnd(12, '\0')) })), 'layer_corrupt');
    for (const value of [-1n, 1n << 60n, 1n << 70n])
      fails(tar(file('a', '', { size: base256(12, value) })), 'layer_corrupt');
  });

  it('checksums: unsigned or signed, nothing else (43)', () => {
    const high = header({ name: Buffer.from('caf\xe9', 'latin1') });
    const signed = high.reduce((sum, byte, i) => {
      const own = i >= 148 && i < 156 ? 0x20 : byte;
      return sum + (own >= 0x80 ? own - 256 : own);
    }, 0);
    const checksum = Buffer.from(`${signed.toString(8).padStart(6, '0')}\0 `);
    assert.equal(
      only({ name: Buffer.from('caf\xe9', 'latin1'), checksum }).path.toString('latin1'),
      'caf\xe9',
    );
    fails(tar({ checksum: Buffer.from('000000\0 ') }), 'layer_corrupt');
    fails(tar({ checksum: Buffer.from('zzzzzz\0 ') }), 'layer_corrupt');
  });

  it('the end: two zero blocks, one, none; and cut short (59, 60)', () => {
    const whole = block(file('a', 'x'.repeat(700)));
    for (const zeros of [0, 1, 2, 20])
      assert.equal(read(Buffer.concat([whole, zeroBlocks(zeros)]), 512).entries.length, 1);
    assert.equal(read(Buffer.alloc(0), 512).entries.length, 0);
    for (const cut of [100, 512, 600, 1211, 1300, 1535]) fails(whole.subarray(0, cut), 'layer_corrupt');
    fails(Buffer.concat([whole, zeroBlocks(1), block(file('b'))]), 'layer_corrupt');
  });

  it('owners and devices out of range (37, 39)', () => {
    for (const uid of [0xffffffffn, 1n << 33n, -1n]) {
      fails(tar(file('a', '', { uid: base256(8, uid) })), 'layer_corrupt');
      fails(tar(file('a', '', { gid: base256(8, uid) })), 'layer_corrupt');
    }
    fails(tar({ type: '3', major: 4096 }), 'layer_corrupt');
    fails(tar({ type: '4', minor: base256(8, 1n << 20n) }), 'layer_corrupt');
    assert.equal(only(file('a', '', { major: base256(8, 1n << 40n) })).major, 0);
  });

  it('bytes stay bytes in names, targets and PAX values (55)', () => {
    const odd = Buffer.from('\xff\xfe\n=\x01', 'latin1');
    const entry = only({ name: 'x', type: '2', link: 'y', pax: { path: odd, linkpath: odd } });
    assert.deepEqual([entry.path, entry.link], [odd, odd]);
  });
});

describe('GNU long names', () => {
  it('L and K, both, the last of each kind (46, 48)', () => {
    const entry = only(
      gnuLong('L', 'first'),
      gnuLong('K', 'x'.repeat(300)),
      gnuLong('L', 'y'.repeat(300)),
      symlink('short', 'short'),
    );
    assert.equal(nameOf(entry), 'y'.repeat(300));
    assert.equal(entry.link.toString(), 'x'.repeat(300));
  });

  it('end at the first NUL, also with data behind it (48)', () => {
    assert.equal(nameOf(only(gnuLong('L', 'name\0junk'), file('short'))), 'name');
  });

  it('win over PAX, as in Go; and never end an archive (46)', () => {
    assert.equal(nameOf(only(gnuLong('L', 'gnu'), file('short', 'x', { pax: { path: 'pax' } }))), 'gnu');
    fails(tar(gnuLong('L', 'name')), 'layer_corrupt');
    fails(gnuLong('K', 'name'), 'layer_corrupt');
  });
});

describe('PAX', () => {
  it('overrides the header for the next entry only', () => {
    const [first, second] = reads(
      file('a', 'abcd', {
        pax: { path: 'p', size: '4', uid: '100000', gid: '5', mtime: '12.5', comment: 'x' },
        size: 0,
      }),
      file('b'),
    );
    assert.deepEqual([first?.uid, first?.gid, first?.mtime], [100_000, 5, { sec: 12, nsec: 500_000_000 }]);
    assert.deepEqual([first?.data, second?.uid, second && nameOf(second)], ['abcd', 0, 'b']);
  });

  it('the last header and the last of equal keys win; an empty value is none (46)', () => {
    const body = Buffer.concat([paxRecord('path', 'one'), paxRecord('path', 'two')]);
    assert.equal(
      nameOf(only(block({ type: 'x', data: paxRecord('uid', '7') }), file('a', 'x', { pax: body }))),
      'two',
    );
    assert.equal(
      only(block({ type: 'x', data: paxRecord('uid', '7') }), file('a', 'x', { pax: body })).uid,
      0,
    );
    assert.equal(nameOf(only(file('a', 'x', { pax: { path: '' } }))), 'a');
  });

  it('values may hold newlines, equals signs and NULs where no text is meant (44)', () => {
    const value = Buffer.from('5 a=b\n\0=\n', 'latin1');
    const entry = only(file('a', 'x', { pax: { 'SCHILY.xattr.user.v': value } }));
    assert.deepEqual(entry.xattrs, [{ name: Buffer.from('user.v'), value }]);
    fails(tar(file('a', 'x', { pax: { path: 'a\0b' } })), 'layer_corrupt');
    fails(tar(file('a', 'x', { pax: { linkpath: 'a\0b' } })), 'layer_corrupt');
    fails(tar(file('a', 'x', { pax: { 'SCHILY.xattr.a\0b': 'x' } })), 'layer_corrupt');
  });

  it('broken records are errors (44)', () => {
    for (const body of [
      '4 =\n',
      '6 k=v',
      '7 k=v\n',
      '99 key=value\n',
      '5 kv\n',
      '06 =v\n',
      'x k=v\n',
      '-6 k=v\n',
      '+6 k=v\n',
      ' 6 k=v\n',
      '6k=v\n',
      '99999999999999999999 k=v\n',
      '\0',
    ])
      fails(tar(file('a', 'x', { pax: Buffer.from(body) })), 'layer_corrupt');
  });

  it('broken numbers are errors (44, 45)', () => {
    for (const records of [
      { size: '-1' },
      { size: '1.5' },
      { size: '99999999999999999999' },
      { uid: '4294967295' },
      { gid: '-1' },
      { mtime: 'now' },
      { mtime: '1.2.3' },
      { mtime: '' + '.5' },
    ])
      fails(tar(file('a', 'x', { pax: records })), 'layer_corrupt');
  });

  it('a global header is read over, whatever it says (47)', () => {
    const entry = only({ type: 'g', data: pax({ path: 'evil', size: '9' }) }, file('a', 'x'));
    assert.deepEqual([nameOf(entry), entry.data], ['a', 'x']);
  });

  it('a size does not count for the headers between (45, CVE-2025-62518)', () => {
    const entries = reads(
      block({ type: 'x', data: paxRecord('size', '1024') }),
      gnuLong('L', 'long'),
      file('a', 'x'.repeat(1024), { size: 0 }),
      file('b'),
    );
    assert.deepEqual(entries.map(nameOf), ['long', 'b']);
  });

  it('xattrs of bsdtar, and broken ones (34)', () => {
    const one = (records: Record<string, string>) => only(file('a', 'x', { pax: records })).xattrs;
    assert.deepEqual(one({ 'LIBARCHIVE.xattr.user.%25%0a': 'AP8' }), [
      { name: Buffer.from('user.%\n'), value: Buffer.from([0, 255]) },
    ]);
    assert.deepEqual(one({ 'LIBARCHIVE.xattr.user.a': 'AP8=', 'SCHILY.xattr.user.a': 'x' }), [
      { name: Buffer.from('user.a'), value: Buffer.from('x') },
    ]);
    for (const [key, value] of [
      ['user.%', 'AA'],
      ['user.%zz', 'AA'],
      ['user.a', '*'],
      ['user.a', 'A'],
      ['', 'AA'],
      ['user.%00', 'AA'],
    ])
      fails(tar(file('a', 'x', { pax: { [`LIBARCHIVE.xattr.${key}`]: value ?? '' } })), 'layer_corrupt');
    fails(tar(file('a', 'x', { pax: { 'SCHILY.xattr.': 'x' } })), 'layer_corrupt');
  });
});
