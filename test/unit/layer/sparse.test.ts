import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { fails, nameOf, only, type Read, reads } from '../../support/read-tar.ts';
import { base256, dir, file, paxRecord, tar, zeroBlocks } from '../../support/tar-builder.ts';
import { oldGnu, pair } from '../../support/tar-sparse.ts';

const oct = (value: number, length = 12) => Buffer.from(`${value.toString(8).padStart(length - 1, '0')}\0`);

describe('sparse files', () => {
  const at = (offset: number, length: number) => pair({ offset, length });

  it('old GNU, with extension blocks (52)', () => {
    for (const count of [0, 1, 4, 5, 25, 26, 50]) {
      const pairs = Array.from({ length: count }, (_, i) => at(i * 1000, 10));
      const [entry, next] = reads(oldGnu('sparse', pairs, 100_000, 'x'.repeat(10 * count)), file('next'));
      assert.equal(entry?.type, 'file');
      assert.equal(entry?.size, 100_000);
      assert.equal(entry?.sparse?.fragments.length, count);
      assert.equal(entry?.data.length, 10 * count);
      assert.equal(next && nameOf(next), 'next');
    }
  });

  it('old GNU, broken maps (52)', () => {
    const bad = (pairs: Buffer[], realSize: number, bytes: number) =>
      fails(
        Buffer.concat([oldGnu('sparse', pairs, realSize, 'x'.repeat(bytes)), zeroBlocks(2)]),
        'layer_corrupt',
      );
    bad([at(0, 10), at(5, 10)], 100, 20);
    bad([at(50, 10), at(0, 10)], 100, 20);
    bad([at(95, 10)], 100, 10);
    bad([at(0, 10)], 100, 11);
    bad([at(0, 10)], 100, 9);
    bad([Buffer.concat([base256(12, -8n), oct(8)])], 100, 8);
    bad([Buffer.concat([base256(12, 1n << 62n), oct(8)])], 100, 8);
    fails(
      oldGnu(
        'sparse',
        Array.from({ length: 30 }, (_, i) => at(i, 1)),
        100,
        '',
      ).subarray(0, 1000),
      'layer_corrupt',
    );
    const pairs = Array.from({ length: 60 }, (_, i) => at(i * 2, 1));
    fails(oldGnu('sparse', pairs, 1000, 'x'.repeat(60)), 'limit_exceeded', { sparseFragmentsMax: 40 });
    fails(tar({ name: 'ustar', type: 'S' }), 'layer_corrupt');
  });

  const wanted = [
    { offset: 2, length: 3 },
    { offset: 10, length: 4 },
    { offset: 20, length: 0 },
  ];
  const same = (entry: Read) => {
    assert.deepEqual(entry.sparse, { realSize: 20, fragments: wanted });
    assert.deepEqual([nameOf(entry), entry.type, entry.size, entry.data], ['real', 'file', 20, 'abcdefg']);
  };

  it('PAX 0.0: records that repeat (53)', () => {
    const records = [
      paxRecord('GNU.sparse.size', '20'),
      paxRecord('GNU.sparse.numblocks', '3'),
      ...wanted.flatMap(({ offset, length }) => [
        paxRecord('GNU.sparse.offset', String(offset)),
        paxRecord('GNU.sparse.numbytes', String(length)),
      ]),
    ];
    const [entry, next] = reads(file('real', 'abcdefg', { pax: Buffer.concat(records) }), file('next'));
    assert.ok(entry !== undefined);
    same(entry);
    assert.equal(next?.data, 'next');
    fails(tar(file('a', 'abc', { pax: Buffer.concat(records.slice(0, 3)) })), 'layer_corrupt');
    fails(tar(file('a', 'abc', { pax: { 'GNU.sparse.numbytes': '1' } })), 'layer_corrupt');
  });

  it('PAX 0.1: a list (53)', () => {
    const records = {
      'GNU.sparse.size': '20',
      'GNU.sparse.name': 'real',
      'GNU.sparse.numblocks': '3',
      'GNU.sparse.map': '2,3,10,4,20,0',
    };
    same(only(file('GNUSparseFile.0/real', 'abcdefg', { pax: records })));
    for (const broken of [
      { 'GNU.sparse.map': '2,3,10' },
      { 'GNU.sparse.map': '2,3,10,4,20,x' },
      { 'GNU.sparse.map': '2,3,-1,4,20,0' },
      { 'GNU.sparse.map': '2,3,4,4,20,0' },
      { 'GNU.sparse.map': '2,3,10,4,21,0' },
      { 'GNU.sparse.map': '2,3,10,3,20,0' },
      { 'GNU.sparse.numblocks': '2' },
      { 'GNU.sparse.size': '13' },
      { 'GNU.sparse.size': 'x' },
    ])
      fails(tar(file('a', 'abcdefg', { pax: { ...records, ...broken } })), 'layer_corrupt');
    fails(tar(dir('d', { pax: records })), 'layer_corrupt');
    fails(tar(file('a', 'abcdefg', { pax: records })), 'limit_exceeded', { sparseFragmentsMax: 2 });
  });

  it('PAX 1.0: a map before the data (53)', () => {
    const records = {
      'GNU.sparse.major': '1',
      'GNU.sparse.minor': '0',
      'GNU.sparse.name': 'real',
      'GNU.sparse.realsize': '20',
    };
    const map = (text: string) => text.padEnd(Math.ceil(text.length / 512) * 512, '\0');
    const of = (text: string, data = 'abcdefg') => file('x', map(text) + data, { pax: records });
    const [entry, next] = reads(of('3\n2\n3\n10\n4\n20\n0\n'), file('next'));
    assert.ok(entry !== undefined);
    same(entry);
    assert.equal(next?.data, 'next');

    const many = Array.from({ length: 300 }, (_, i) => `${i * 100}\n1\n`).join('');
    const large = only(
      file('x', map(`300\n${many}`) + 'y'.repeat(300), {
        pax: { ...records, 'GNU.sparse.realsize': '40000' },
      }),
    );
    assert.deepEqual([large.sparse?.fragments.length, large.data], [300, 'y'.repeat(300)]);

    for (const broken of [
      '',
      '3\n2\n3\n10\n',
      'x\n',
      '-1\n',
      '3\n2\n3\n10\n4\n20\nx\n',
      '1\n0\n8\n',
      '\n',
      '9'.repeat(600),
    ])
      fails(tar(of(broken)), 'layer_corrupt');
    fails(tar(of('99999999999\n')), 'limit_exceeded');
    fails(tar(file('x', 'short', { pax: records })), 'layer_corrupt');
    fails(tar(file('x', '', { pax: { ...records, 'GNU.sparse.major': '2' } })), 'layer_corrupt');
    fails(
      tar(file('x', map('0\n'), { pax: { 'GNU.sparse.major': '1', 'GNU.sparse.minor': '0' } })),
      'layer_corrupt',
    );
  });
});
