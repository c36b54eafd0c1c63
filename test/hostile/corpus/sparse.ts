import type { Case } from '../../support/layer-cases.ts';
import { base256, dir, file, paxRecord, type TarEntry } from '../../support/tar-builder.ts';
import { oldGnu, type Piece, sparse, sparseFormats } from '../../support/tar-sparse.ts';

const piece = (offset: number, length: number): Piece => ({ offset, length });
const data = 'abcdefg';
const pieces = [piece(2, 3), piece(5000, 4), piece(10_000, 0)];
/** Of 10,000 bytes: NULs but for `abc` at 2 and `defg` at 5000. */
const sha256 = '810f6c148e538d342b413766adaa1b792dea2ad745123e7ec9a61bce752807b6';

const broken: [string, Piece[]][] = [
  ['overlap', [piece(0, 4), piece(2, 3)]],
  ['go back', [piece(50, 4), piece(0, 3)]],
  ['leave the file', [piece(95, 7)]],
  ['are more than the data', [piece(0, 8)]],
  ['are less than the data', [piece(0, 6)]],
  ['lie beyond 2^53', [piece(2 ** 60, 7)]],
];

const every: Case[] = sparseFormats.flatMap((format): Case[] => [
  {
    rule: '52, 53, 54',
    title: `${format}: data at their places, NULs between`,
    layers: [[sparse(format, 'real', pieces, 10_000, data), file('next')]],
    expect: { './real': { size: 10_000, sha256 }, './next': {} },
  },
  {
    rule: '52, 53',
    title: `${format}: no data at all, and no size at all`,
    layers: [[sparse(format, 'hole', [], 5000, ''), sparse(format, 'none', [], 0, ''), file('next')]],
    expect: { './hole': { size: 5000 }, './none': { size: 0 }, './next': {} },
  },
  ...broken.map(
    ([what, map]): Case => ({
      rule: '52, 53',
      title: `${format}: pieces that ${what}`,
      layers: [[sparse(format, 'real', map, 100, data)]],
      fails: 'layer_corrupt',
      names: 'real',
    }),
  ),
  {
    rule: '53, CVE-2025-58183, CVE-2026-32288',
    title: `${format}: more pieces than the limit`,
    layers: [
      [
        sparse(
          format,
          'real',
          Array.from({ length: 60 }, (_, i) => piece(i * 2, 1)),
          1000,
          'x'.repeat(60),
        ),
      ],
    ],
    limits: { sparseFragmentsMax: 40 },
    fails: 'limit_exceeded',
  },
  {
    rule: '54',
    title: `${format}: more than a layer may claim`,
    layers: [[sparse(format, 'real', [], 2 ** 40, '')]],
    fails: 'limit_exceeded',
    names: 'real',
  },
]);

const v1 = { 'GNU.sparse.major': '1', 'GNU.sparse.minor': '0' };
const corrupt = (rule: string, title: string, ...entries: (TarEntry | Buffer)[]): Case => ({
  rule,
  title,
  layers: [entries],
  fails: 'layer_corrupt',
});

export const sparseFiles: Case[] = [
  ...every,
  corrupt(
    '52',
    'a negative offset',
    oldGnu('f', [Buffer.concat([base256(12, -8n), base256(12, 8n)])], 9, data),
  ),
  corrupt('52', 'S without GNU magic has no map', { name: 'f', type: 'S' }),
  corrupt('52, 60', 'a map in extension blocks that is cut short', {
    ...file('f'),
    type: 'S',
    format: 'gnu',
    patch: (out) => void out.fill(1, 482, 483),
  }),
  corrupt('53', 'records of 0.0 out of order', file('f', 'a', { pax: { 'GNU.sparse.numbytes': '1' } })),
  corrupt(
    '53',
    'a map of 0.0 that is cut short',
    file('f', 'a', {
      pax: Buffer.concat([paxRecord('GNU.sparse.size', '9'), paxRecord('GNU.sparse.offset', '1')]),
    }),
  ),
  corrupt('53', 'a count that is not the map’s', {
    ...file('f', data),
    pax: { 'GNU.sparse.size': '20', 'GNU.sparse.numblocks': '9', 'GNU.sparse.map': '2,7' },
  }),
  ...['3\n2\n3\n', 'x\n', '-1\n', '\n', '9'.repeat(512)].map((map) =>
    corrupt(
      '53',
      `a map of 1.0 that says ${JSON.stringify(map.slice(0, 12))}`,
      file('f', map.padEnd(512, '\0'), { pax: { ...v1, 'GNU.sparse.realsize': '20' } }),
    ),
  ),
  {
    rule: '53, CVE-2025-58183',
    title: 'a map of 1.0 that announces more pieces than the limit',
    layers: [[file('f', '100001\n'.padEnd(512, '\0'), { pax: { ...v1, 'GNU.sparse.realsize': '9' } })]],
    fails: 'limit_exceeded',
  },
  corrupt('53', 'a format that does not exist', file('f', '', { pax: { 'GNU.sparse.major': '2' } })),
  corrupt('53', '1.0 without a size', file('f', '0\n'.padEnd(512, '\0'), { pax: v1 })),
  corrupt('53', 'a sparse directory', dir('d', { pax: { 'GNU.sparse.size': '0', 'GNU.sparse.map': '' } })),
  corrupt('52, 53', 'two formats at once', {
    ...file('f'),
    type: 'S',
    format: 'gnu',
    pax: { 'GNU.sparse.size': '1', 'GNU.sparse.map': '0,1' },
  }),
  {
    rule: '1, 53',
    title: 'a name in the sparse records is clamped like any other',
    layers: [
      [
        file('f', data, {
          pax: { 'GNU.sparse.size': '7', 'GNU.sparse.map': '0,7', 'GNU.sparse.name': '../../outside/x' },
        }),
      ],
    ],
    expect: { './outside/x': { size: 7 } },
    warns: ['path_outside'],
  },
];
