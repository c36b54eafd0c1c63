import { type Case, defaults, sized } from '../../support/layer-cases.ts';
import { dir, file, hardlink, symlink, type TarEntry } from '../../support/tar-builder.ts';
import type { Entry } from '../../support/tree.ts';

/**
 * Every type of entry over every other, at one name `x`: in one layer, over a lower layer's, and through a
 * lower layer's symlink. A directory over a directory keeps its contents; whatever else was there is
 * gone with all below it, and nothing is written through it (rules 5 to 7; OCI image-spec, layer.md).
 */
interface Kind {
  entry: (at: string) => TarEntry;
  expect: Partial<Entry>;
  root?: true;
}

const kinds: Readonly<Record<string, Kind>> = {
  'a file': { entry: (at) => file(at, 'new file'), expect: { type: 'file', ...sized('new file') } },
  'a directory': { entry: (at) => dir(at, { mode: 0o711 }), expect: { type: 'dir', mode: 0o711 } },
  'a link to a directory': {
    entry: (at) => symlink(at, '/target'),
    expect: { type: 'symlink', target: '/target' },
  },
  'a link to a file': {
    entry: (at) => symlink(at, '/target/kept'),
    expect: { type: 'symlink', target: '/target/kept' },
  },
  'a dead link': { entry: (at) => symlink(at, 'nowhere'), expect: { type: 'symlink', target: 'nowhere' } },
  'a hard link': { entry: (at) => hardlink(at, 'other'), expect: { type: 'file', ...sized('other') } },
  'a FIFO': { entry: (at) => ({ name: at, type: '6' }), expect: { type: 'fifo' } },
  'a device': {
    entry: (at) => ({ name: at, type: '3', major: 1, minor: 3 }),
    expect: { type: 'char', rdev: '1:3' },
    root: true,
  },
};

const around = [
  dir('d', { mode: 0o750 }),
  dir('target', { mode: 0o700 }),
  file('target/kept', 'kept'),
  file('other'),
];
const untouched = { './target': { mode: 0o700 }, './target/kept': sized('kept'), './other': sized('other') };

const pairs = Object.entries(kinds).flatMap(([first, was]) =>
  Object.entries(kinds).map(([second, is]) => ({ first, was, second, is })),
);

export const types: Case[] = pairs.flatMap(({ first, was, second, is }): Case[] => {
  const child = first === 'a directory' ? [file('d/x/child')] : [];
  const keeps = first === 'a directory' && second === 'a directory';
  const expect = { ...untouched, './d/x': is.expect, './d/x/child': keeps ? {} : null };
  const root = was.root === true || is.root === true;
  const before = [...around, was.entry('d/x'), ...child];
  const after = is.entry('d/x');
  return [
    { rule: '7', title: `${second} over ${first}`, layers: [[...before, after]], expect, root },
    {
      rule: '5, 6, 7',
      title: `${second} over ${first} of a lower layer`,
      layers: [before, [after]],
      expect: { ...expect, './d': { mode: 0o750 } },
      root,
    },
    {
      rule: '3, 7',
      title: `${second} over ${first}, through a lower layer's link`,
      layers: [[...before, symlink('way', 'd')], [is.entry('way/x')]],
      expect: { ...expect, './way': { type: 'symlink' } },
      root,
    },
    {
      rule: '11, 7',
      title: `an entry below ${first}, once that was ${second}`,
      layers: [[...around, is.entry('d/x')], [was.entry('d/x')], [file('d/x/new')]],
      expect: belowOf(first),
      root,
    },
  ];
});

/** Where `d/x/new` must be: in the directory, or where the link to one leads, else in a directory made anew. */
function belowOf(first: string): NonNullable<Case['expect']> {
  if (first === 'a link to a directory') return { './target/new': {}, './d/x': { type: 'symlink' } };
  if (first === 'a link to a file') return { './target/kept': { type: 'dir' }, './target/kept/new': {} };
  if (first === 'a dead link') return { './d/nowhere': defaults, './d/nowhere/new': {} };
  return { './d/x': { type: 'dir' }, './d/x/new': {} };
}
