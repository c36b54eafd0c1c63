import {
  type Finding,
  type Import,
  importsOf,
  isProduct,
  isSimulation,
  type Rule,
  type Source,
} from './source.ts';

/** What the files of a room may import, besides their own room; `types`: with `import type` only. */
interface Door {
  rooms: readonly string[];
  types: readonly string[];
  /** Outside packages; `any` leaves it to `oneFilePerLibrary`. */
  packages: readonly string[] | 'any';
  node: boolean;
}

/** The table of docs/design.md, "Rooms". */
const doors: Readonly<Record<string, Door>> = {
  core: { rooms: [], types: [], packages: ['xstate'], node: false },
  machines: { rooms: ['core'], types: [], packages: ['xstate'], node: false },
  actors: { rooms: ['core', 'db'], types: ['infra', 'machines'], packages: [], node: true },
  engine: { rooms: ['core', 'db'], types: [], packages: ['xstate', 'better-sqlite3', 'croner'], node: true },
  db: { rooms: ['core'], types: [], packages: ['drizzle-orm', 'better-sqlite3'], node: true },
  infra: { rooms: ['core'], types: [], packages: 'any', node: true },
  services: { rooms: ['core', 'db', 'engine'], types: ['infra'], packages: 'any', node: true },
  web: { rooms: ['core'], types: ['services', 'engine', 'db', 'infra'], packages: 'any', node: false },
};

/** Files that are let through a door, each with its reason. */
const passes: readonly { from: string; to: string; because: string }[] = [
  { from: 'core/chain.ts', to: 'node:crypto', because: 'a hash is a pure function' },
];

/** Files of one room that must not know each other; of services, those of different folders. */
const strangers: Readonly<Record<string, (from: string, to: string) => boolean>> = {
  actors: () => true,
  services: (from, to) => serviceOf(from) !== serviceOf(to),
};

const serviceOf = (path: string): string => path.split('/').slice(1, 2).join('').replace(/\.ts$/, '');

const hasPass = (from: string, to: string): boolean =>
  passes.some((pass) => pass.from === from && pass.to === to);

/** Imports go through the doors of the table, and across rooms by `#room/…`. */
export const doorsAreKept: Rule = (source) => {
  if (!isProduct(source)) return [];
  return importsOf(source).flatMap((each) => {
    const wrong = whatIsWrong(source, each);
    return wrong === null
      ? []
      : [{ path: source.path, line: each.line, message: `${each.specifier}: ${wrong}` }];
  });
};

function whatIsWrong({ path, room }: Source, { to, specifier, typeOnly }: Import): string | null {
  const door = doors[room];
  if (to.kind === 'ours') {
    if (to.room !== room && specifier.startsWith('.')) return `write #${to.path.replace(/\.ts$/, '')}`;
    if (to.room === 'test' || to.room === 'scripts' || to.room === 'bench')
      return `the product never imports ${to.room}`;
    if (door === undefined || hasPass(path, to.path)) return null;
    if (to.room === room)
      return strangers[room]?.(path, to.path) === true ? `${room} do not import each other` : null;
    if (door.rooms.includes(to.room)) return null;
    if (door.types.includes(to.room))
      return typeOnly ? null : `${room} takes only types from ${to.room}: have it passed in`;
    return `${room} may not import ${to.room}`;
  }
  if (door === undefined || hasPass(path, to.name)) return null;
  if (to.kind === 'node') return door.node ? null : `${room} uses no built-in modules`;
  return door.packages === 'any' || door.packages.includes(to.name)
    ? null
    : `${room} may not import ${to.name}`;
}

/** Packages that more than one file may import, and which. All others have one file each. */
const shared: Readonly<Record<string, (path: string, typeOnly: boolean) => boolean>> = {
  xstate: (path, typeOnly) =>
    path.startsWith('machines/') ||
    path === 'core/effect.ts' ||
    path === 'engine/statechart.ts' ||
    (typeOnly && path.startsWith('engine/')),
  // owner-lock.ts: locks for an application of the engine alone, which has nothing but SQLite.
  'better-sqlite3': (path, typeOnly) =>
    ['db/open.ts', 'db/drizzle.ts', 'engine/owner-lock.ts'].includes(path) || typeOnly,
  'drizzle-orm': (path) => path.startsWith('db/'),
  commander: (path) => path.startsWith('cli/'),
  zod: () => true,
  react: (path) => path.startsWith('web/'),
  '@tanstack/react-virtual': (path) => path.startsWith('web/'),
};

/** One outside library, one file: there it can be swapped, wrapped and found. */
export function oneFilePerLibrary(sources: readonly Source[]): Finding[] {
  const owners = new Map<string, string>();
  const judged = sources.filter((source) => isProduct(source) && !isSimulation(source));
  return judged.flatMap((source) =>
    importsOf(source).flatMap(({ to, typeOnly, line }): Finding[] => {
      if (to.kind !== 'package') return [];
      const allowed = shared[to.name];
      if (allowed !== undefined) {
        if (allowed(source.path, typeOnly)) return [];
        return [{ path: source.path, line, message: `${to.name} is not for this file` }];
      }
      const owner = owners.get(to.name) ?? source.path;
      owners.set(to.name, owner);
      if (owner === source.path) return [];
      return [
        { path: source.path, line, message: `${to.name} is imported by ${owner} already: go through it` },
      ];
    }),
  );
}

/** An import that names no file is found by tsc; one that names a package not in package.json is not. */
export function packagesAreDeclared(sources: readonly Source[], declared: readonly string[]): Finding[] {
  return sources.flatMap((source) =>
    importsOf(source).flatMap(({ to, line }): Finding[] =>
      to.kind !== 'package' || declared.includes(to.name)
        ? []
        : [{ path: source.path, line, message: `${to.name} is not in package.json` }],
    ),
  );
}
