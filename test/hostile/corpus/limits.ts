import type { Case } from '../../support/layer-cases.ts';
import { dir, file, gnuLong, zeroBlocks } from '../../support/tar-builder.ts';

export const limits: Case[] = [
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
    rule: '61',
    title: 'trailingBytesMax',
    layers: [[file('a'), zeroBlocks(2), Buffer.alloc(200_000, 'x')]],
    limits: { trailingBytesMax: 1000 },
    fails: 'limit_exceeded',
    names: null,
  },
];
