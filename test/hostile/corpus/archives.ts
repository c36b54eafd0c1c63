import type { Case } from '../../support/layer-cases.ts';
import { defaults, sized } from '../../support/layer-cases.ts';
import {
  base256,
  block,
  dir,
  file,
  gnuLong,
  hardlink,
  header,
  paxRecord,
  symlink,
  type TarEntry,
  tar,
  zeroBlocks,
} from '../../support/tar-builder.ts';

/** The sum of a header, changed by `by`, as its checksum field. */
function checksumOff(entry: TarEntry, by: number): TarEntry {
  const sum = Number.parseInt(header(entry, entry.data?.length ?? 0).toString('latin1', 148, 154), 8) + by;
  return { ...entry, checksum: Buffer.from(`${sum.toString(8).padStart(6, '0')}\0 `) };
}

const corrupt = (rule: string, title: string, ...entries: (TarEntry | Buffer)[]): Case => ({
  rule,
  title,
  layers: [entries],
  fails: 'layer_corrupt',
});

/** Where no header can be read there is no name to tell; the error says behind which entry. */
const noHeader = (rule: string, title: string, ...entries: (TarEntry | Buffer)[]): Case => ({
  ...corrupt(rule, title, ...entries),
  names: null,
});

/** An archive that ends here: what `tar` adds is taken off again by `raw`. */
const cut = (rule: string, title: string, at: number, names: string | null): Case => ({
  rule,
  title,
  raw: [Buffer.concat([block(file('first')), block(file('name', 'x'.repeat(700)))]).subarray(0, 1024 + at)],
  fails: 'layer_corrupt',
  names,
});

const numbers: Case[] = [
  ...['9', '0x10', '1 2', '-1', '+1', '1e3', '1.5'].map((text) =>
    corrupt('42', `a size of ${text}`, file('f', '', { size: Buffer.from(text.padEnd(12, '\0'), 'latin1') })),
  ),
  ...(['mode', 'uid', 'gid', 'mtime'] as const).map((field) =>
    corrupt('42', `${field} in no octal digits`, file('f', '', { [field]: Buffer.from('89abcdef') })),
  ),
  corrupt('41', 'a negative mode is no set-uid root', file('f', '', { mode: base256(8, -1n) })),
  corrupt('41', 'a huge mode', file('f', '', { mode: base256(8, 1n << 54n) })),
  ...[-1n, -512n, 1n << 53n, 1n << 62n, 1n << 80n].map((size) =>
    corrupt('41', `a size of ${size} in base-256`, file('f', '', { size: base256(12, size) })),
  ),
  {
    rule: '41, 54',
    title: 'a header of 512 bytes that claims a pebibyte',
    layers: [[file('f', '', { size: base256(12, 1n << 50n) })]],
    fails: 'limit_exceeded',
  },
  corrupt('41, 60', 'a size within the limits, and nothing there', file('f', '', { size: 1 << 30 })),
  {
    rule: '42',
    title: 'numbers between blanks and NULs, and none at all',
    layers: [
      [
        file('a', 'abc', { size: Buffer.from('          3 ') }),
        file('b', 'abc', { size: Buffer.from('\0 00000003\0 ') }),
        file('c', '', { size: Buffer.alloc(12), mode: Buffer.from('    644 ') }),
      ],
    ],
    expect: { './a': { size: 3 }, './b': { size: 3 }, './c': { size: 0, mode: 0o644 } },
  },
];

const headers: Case[] = [
  noHeader('43', 'a wrong checksum', file('a', 'x', { checksum: Buffer.from('000001\0 ') })),
  noHeader('43', 'a checksum that is one too high', checksumOff(file('a', 'x'), 1)),
  noHeader('43', 'a checksum that is one too low', checksumOff(file('a', 'x'), -1)),
  noHeader('43', 'a checksum in no octal digits', file('a', 'x', { checksum: Buffer.from('zzzzzz\0 ') })),
  ...['Q', 'M', 'A', 's', '8', '\xff'].map(
    (type): Case => ({
      rule: type === 's' ? '51, 68' : '51',
      title: `an entry of the type ${type === 's' ? 's (a socket, which tar cannot hold)' : JSON.stringify(type)}`,
      layers: [[file('a', '', { type })]],
      fails: 'layer_unsupported',
    }),
  ),
  {
    rule: '51',
    title: 'labels are passed over, 7 is a file, D a directory',
    layers: [
      [
        { name: 'label', type: 'V' },
        { name: 'rest', type: 'N', data: 'x'.repeat(600) },
        file('seven', 'x', { type: '7' }),
        { name: 'dump', type: 'D', data: 'Yname\0\0' },
      ],
    ],
    expect: { './seven': sized('x'), './dump': { type: 'dir' }, './label': null, './rest': null },
    warns: ['tar_label'],
  },
  {
    rule: '49, 50',
    title: 'the prefix counts in ustar only; a trailing slash is a directory',
    layers: [
      [
        file('n', 'x', { prefix: 'pre' }),
        file('g', 'x', { format: 'gnu', patch: (out) => void out.write('no', 345) }),
        file('v', 'x', { format: 'v7', patch: (out) => void out.write('no', 345) }),
        file('d/', '', { type: '\0', format: 'v7' }),
      ],
    ],
    expect: { './pre/n': {}, './g': {}, './v': {}, './no': null, './d': { type: 'dir' } },
  },
  corrupt('50', 'a name of a directory, with data', file('d/', 'data')),
  {
    rule: '17',
    title: 'sizes of what has no data are hints and are not skipped',
    layers: [[dir('d', { size: 4096 }), symlink('s', 'x', { size: 10 }), { name: 'p', type: '6', size: 99 }]],
    expect: { './d': {}, './s': {}, './p': { type: 'fifo' } },
  },
];

const pax: Case[] = [
  ...[
    ['too long', '99 key=value\n'],
    ['too short', '7 key=value\n'],
    ['of zero', '0 k=v\n'],
    ['negative', '-6 k=v\n'],
    ['with a plus', '+6 k=v\n'],
    ['beyond all numbers', '99999999999999999999 k=v\n'],
    ['without an end of line', '6 k=v'],
    ['without a key', '5 =v\n'],
    ['without a value', '5 kv\n'],
  ].map(([what, text]) =>
    corrupt('44', `a PAX record ${what}`, file('a', 'x', { pax: Buffer.from(text ?? '') })),
  ),
  corrupt('44', 'a NUL in a PAX path', file('a', 'x', { pax: { path: 'a\0b' } })),
  corrupt('44', 'a NUL in a key', file('a', 'x', { pax: { 'SCHILY.xattr.user.\0': 'x' } })),
  ...['-1', '1.5', '0x1', '99999999999999999999'].map((size) =>
    corrupt('45', `a PAX size of ${size}`, file('a', 'x', { pax: { size } })),
  ),
  corrupt('45', 'a PAX size that is larger than the data', file('a', 'x', { pax: { size: '99999' } })),
  noHeader(
    '45',
    'a PAX size that is smaller: what follows is no header',
    file('a', 'y'.repeat(2000), { pax: { size: '1' } }),
  ),
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
    rule: '45, CVE-2025-62518',
    title: 'an archive inside a file stays inside, when only the PAX size shows that it is one',
    layers: [
      [file('outer.tar', tar(file('smuggled')).toString('latin1'), { size: 0, pax: { size: '2048' } })],
    ],
    expect: { './outer.tar': { size: 2048 }, './smuggled': null },
  },
  {
    rule: '47',
    title: 'a global PAX header changes nothing, whatever it says',
    layers: [
      [
        { type: 'g', data: Buffer.concat([paxRecord('path', '../evil'), paxRecord('size', '9')]) },
        file('a', 'x'),
        { type: 'g', data: 'not even records' },
        file('b', 'x'),
      ],
    ],
    expect: { './a': sized('x'), './b': sized('x'), './evil': null },
  },
  {
    rule: '46',
    title: 'of several PAX headers the last one counts, of equal keys too',
    layers: [
      [
        block({ type: 'x', data: paxRecord('path', 'first') }),
        file('c', 'x', { pax: Buffer.concat([paxRecord('path', 'second'), paxRecord('path', 'third')]) }),
      ],
    ],
    expect: { './third': {}, './first': null, './second': null, './c': null },
  },
  corrupt('46', 'a PAX header and then the end', block({ type: 'x', data: paxRecord('path', 'a') })),
];

const gnu: Case[] = [
  corrupt('48', 'a GNU long name and then the end', gnuLong('L', 'name')),
  {
    rule: '48, 60',
    title: 'a GNU long name that is cut short',
    raw: [gnuLong('L', 'x'.repeat(600)).subarray(0, 800)],
    fails: 'layer_corrupt',
  },
  {
    rule: '48',
    title: 'a long name ends at its first NUL, or where its data end',
    layers: [
      [
        gnuLong('L', 'name\0junk'),
        file('short1', 'x'),
        block({ name: '././@LongLink', type: 'L', format: 'gnu', data: 'no-nul' }),
        file('short2', 'x'),
      ],
    ],
    expect: { './name': {}, './no-nul': {}, './short1': null, './short2': null },
  },
  {
    rule: '46, 48',
    title: 'a long link and a long name speak for one entry, not for the next',
    layers: [
      [gnuLong('K', 'long-target'), gnuLong('L', 'long-name'), hardlink('l', 'short'), file('b')],
      [gnuLong('K', 'b'), hardlink('c', 'x')],
    ],
    fails: 'layer_corrupt',
    names: 'long-name',
  },
];

const ends: Case[] = [
  { rule: '62', title: 'an empty layer of zeros', layers: [[]], expect: { '.': defaults } },
  { rule: '62', title: 'a layer of no bytes at all', raw: [Buffer.alloc(0)], expect: { '.': defaults } },
  cut('60', 'a header that is cut short', 100, null),
  cut('60', 'a body that is not there', 512, 'name'),
  cut('60', 'a body that is cut short', 512 + 600, 'name'),
  cut('60', 'padding that is cut short', 512 + 1000, 'name'),
  ...[0, 1, 2, 20].map(
    (zeros): Case => ({
      rule: '59',
      title: `${zeros} blocks of zeros at the end`,
      raw: [Buffer.concat([block(file('a')), zeroBlocks(zeros)])],
      expect: { './a': {} },
    }),
  ),
  corrupt('59', 'data behind a single zero block', file('a'), zeroBlocks(1), block(file('b'))),
  {
    rule: '61',
    title: 'a second archive behind the end is told and not unpacked',
    layers: [[file('a'), zeroBlocks(2), block(file('b'))]],
    expect: { './a': {}, './b': null },
    warns: ['trailing_data'],
  },
  {
    rule: '61',
    title: 'garbage behind the end is told',
    raw: [Buffer.concat([tar(file('a')), Buffer.from('no block at all')])],
    expect: { './a': {} },
    warns: ['trailing_data'],
  },
];

export const archives: Case[] = [...numbers, ...headers, ...pax, ...gnu, ...ends];
