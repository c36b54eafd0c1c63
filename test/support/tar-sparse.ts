import { base256, block, header, paxRecord, type TarEntry } from './tar-builder.ts';

/** Sparse files in the four forms that GNU tar has written over the years. */

/** A piece with data: where it belongs in the file, and how long it is. */
export interface Piece {
  offset: number;
  length: number;
}

/** What does not fit eleven octal digits is stored in base-256, as GNU tar does. */
const oct = (value: number): Buffer =>
  value < 8 ** 11 ? Buffer.from(`${value.toString(8).padStart(11, '0')}\0`) : base256(12, BigInt(value));
export const pair = ({ offset, length }: Piece): Buffer => Buffer.concat([oct(offset), oct(length)]);

/** GNU's old format: four pairs in the header, the others in blocks of 21, then the data. */
export function oldGnu(
  name: string,
  pairs: readonly Buffer[],
  realSize: number,
  data: string,
  more: TarEntry = {},
): Buffer {
  const rest = pairs.slice(4);
  const head = header(
    {
      ...more,
      name,
      type: 'S',
      format: 'gnu',
      patch: (out) => {
        Buffer.concat(pairs.slice(0, 4)).copy(out, 386);
        out[482] = rest.length > 0 ? 1 : 0;
        oct(realSize).copy(out, 483);
      },
    },
    data.length,
  );
  const blocks: Buffer[] = [];
  while (rest.length > 0) {
    const out = Buffer.alloc(512);
    Buffer.concat(rest.splice(0, 21)).copy(out);
    out[504] = rest.length > 0 ? 1 : 0;
    blocks.push(out);
  }
  const body = Buffer.alloc(Math.ceil(data.length / 512) * 512);
  body.write(data, 'latin1');
  return Buffer.concat([head, ...blocks, body]);
}

export type SparseFormat = 'old' | '0.0' | '0.1' | '1.0';
export const sparseFormats: readonly SparseFormat[] = ['old', '0.0', '0.1', '1.0'];

/** One honest sparse file; `data` is what its pieces hold, one after the other. */
export function sparse(
  format: SparseFormat,
  name: string,
  pieces: readonly Piece[],
  realSize: number,
  data: string,
  more: TarEntry = {},
): Buffer {
  const numbers = pieces.flatMap(({ offset, length }) => [offset, length]);
  if (format === 'old') return oldGnu(name, pieces.map(pair), realSize, data, more);
  if (format === '1.0') {
    const map = `${[pieces.length, ...numbers].join('\n')}\n`;
    const records = {
      'GNU.sparse.major': '1',
      'GNU.sparse.minor': '0',
      'GNU.sparse.name': name,
      'GNU.sparse.realsize': String(realSize),
    };
    const padded = map.padEnd(Math.ceil(map.length / 512) * 512, '\0');
    return block({ ...more, name: `GNUSparseFile.0/${name}`, data: padded + data, pax: records });
  }
  const head = [
    paxRecord('GNU.sparse.size', String(realSize)),
    paxRecord('GNU.sparse.numblocks', String(pieces.length)),
  ];
  if (format === '0.1') {
    const records = [
      ...head,
      paxRecord('GNU.sparse.name', name),
      paxRecord('GNU.sparse.map', numbers.join()),
    ];
    return block({ ...more, name: `GNUSparseFile.0/${name}`, data, pax: Buffer.concat(records) });
  }
  const records = pieces.flatMap(({ offset, length }) => [
    paxRecord('GNU.sparse.offset', String(offset)),
    paxRecord('GNU.sparse.numbytes', String(length)),
  ]);
  return block({ ...more, name, data, pax: Buffer.concat([...head, ...records]) });
}
