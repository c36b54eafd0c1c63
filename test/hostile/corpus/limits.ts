import { type Case, defaults, runCases, sized } from '../support/layer-cases.ts';
import { base256, block, dir, file, gnuLong, paxRecord, zeroBlocks } from '../support/tar-builder.ts';

const limits: Case[] = [
  {
    rule: '58, CVE-2024-28863',
    title: 'pathDepthMax',
    layers: [[gnuLong('L', 'd/'.repeat(1025)), dir('x')]],
    fails: 'limit_exceeded',
  },
  {
    rule: '57',
    title: 'pathBytesMax',
    layers: [[gnuLong('L', 'a/../'.repeat(4000)), dir('x')]],
    fails: 'limit_exceeded',
  },
  {
    rule: 'bombs',
    title: 'layerEntriesMax',
    layers: [[file('a'), file('b'), file('c')]],
    limits: { layerEntriesMax: 2 },
    fails: 'limit_exceeded',
  },
  {
    rule: 'bombs',
    title: 'layerEntriesMax counts directories that no entry names',
    layers: [[file('a/b/c/d')]],
    limits: { layerEntriesMax: 2 },
    fails: 'limit_exceeded',
  },
  {
    rule: 'bombs',
    title: 'layerPhysicalBytesMax',
    layers: [[file('a', 'x'.repeat(1000))]],
    limits: { layerPhysicalBytesMax: 999 },
    fails: 'limit_exceeded',
  },
  {
    rule: '54',
    title: 'layerLogicalBytesMax',
    layers: [
      [
        file('a', '', {
          pax: {
            'GNU.sparse.major': '0',
            'GNU.sparse.minor': '1',
            'GNU.sparse.size': '99999999999999',
            'GNU.sparse.map': '',
          },
        }),
      ],
    ],
    fails: 'limit_exceeded',
  },
  {
    rule: '48',
    title: 'paxBytesMax, long name',
    layers: [[gnuLong('L', 'x'.repeat(1 << 20)), file('a')]],
    fails: 'limit_exceeded',
  },
  {
    rule: '44',
    title: 'paxBytesMax, PAX header',
    layers: [[file('a', '', { pax: { comment: 'x'.repeat(1 << 20) } })]],
    fails: 'limit_exceeded',
  },
  {
    rule: '47',
    title: 'paxBytesMax, global header',
    layers: [[{ type: 'g', data: 'x'.repeat((1 << 20) + 1) }]],
    fails: 'limit_exceeded',
  },
  {
    rule: 'bombs',
    title: 'xattrBytesMax',
    layers: [[file('a', '', { pax: { 'SCHILY.xattr.user.x': 'x'.repeat(300_000) } })]],
    fails: 'limit_exceeded',
  },
  {
    rule: '53, CVE-2025-58183',
    title: 'sparseFragmentsMax, format 1.0',
    layers: [
      [
        file('a', '100001\n'.padEnd(512, '\0'), {
          pax: {
            'GNU.sparse.major': '1',
            'GNU.sparse.minor': '0',
            'GNU.sparse.realsize': '9',
            'GNU.sparse.name': 'a',
          },
        }),
      ],
    ],
    fails: 'limit_exceeded',
  },
  {
    rule: '61',
    title: 'trailingBytesMax',
    layers: [[file('a'), zeroBlocks(2), Buffer.alloc(200_000, 'x')]],
    limits: { trailingBytesMax: 1000 },
    fails: 'limit_exceeded',
  },
];

const archives: Case[] = [
  { rule: '62', title: 'an empty layer of zeros', layers: [[]], expect: { '.': defaults } },
  {
    rule: '61',
    title: 'what follows the end is told and not unpacked',
    layers: [[file('a'), zeroBlocks(2), block(file('b'))]],
    expect: { './a': {}, './b': null },
    warns: ['trailing_data'],
  },
  {
    rule: '59',
    title: 'data behind a single zero block',
    layers: [[file('a'), zeroBlocks(1), block(file('b'))]],
    fails: 'layer_corrupt',
  },
  {
    rule: '43',
    title: 'a wrong checksum',
    layers: [[file('a', 'x', { checksum: Buffer.from('000001\0 ') })]],
    fails: 'layer_corrupt',
  },
  {
    rule: '51',
    title: 'an unknown type',
    layers: [[file('a', '', { type: 'Q' })]],
    fails: 'layer_unsupported',
  },
  {
    rule: '51',
    title: 'a part of a multi-volume archive',
    layers: [[file('a', '', { type: 'M' })]],
    fails: 'layer_unsupported',
  },
  {
    rule: '41',
    title: 'a negative size',
    layers: [[file('a', '', { size: base256(12, -512n) })]],
    fails: 'layer_corrupt',
  },
  {
    rule: '45, CVE-2025-62518, CVE-2026-53655',
    title: 'a PAX size does not count for the headers between it and its entry',
    layers: [
      [
        block({ type: 'x', data: paxRecord('size', '4') }),
        gnuLong('L', 'long-name'),
        file('short', 'data'),
        file('next'),
      ],
    ],
    expect: { './long-name': sized('data'), './next': {}, './short': null },
  },
  {
    rule: '46',
    title: 'a PAX header and then the end',
    layers: [[block({ type: 'x', data: paxRecord('path', 'a') })]],
    fails: 'layer_corrupt',
  },
  {
    rule: '10',
    title: 'errors name their entry',
    layers: [[file('good'), file('bad/one', '', { uid: base256(8, -1n) })]],
    fails: 'layer_corrupt',
  },
];

runCases('limits', limits);
runCases('archives', archives);
