import { globSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';

/** A source file as the rules of tidiness see it. */
export interface Source {
  /** Relative to the checkout: `infra/exec.ts`. */
  path: string;
  /** The first folder: `infra`. */
  room: string;
  text: string;
  /** The text with comments blanked; every character keeps its place. */
  code: string;
}

export interface Finding {
  path: string;
  line: number;
  /** What is wrong and what to do instead. */
  message: string;
}

/** A rule over one file. */
export type Rule = (source: Source) => Finding[];

export interface Import {
  specifier: string;
  /** Erased before the code runs. */
  typeOnly: boolean;
  line: number;
  /** What it names: a file of the checkout, a built-in module, or an outside package. */
  to: { kind: 'ours'; path: string; room: string } | { kind: 'node' | 'package'; name: string };
}

/** The rooms of the product, in the order of docs/design.md. */
export const rooms = [
  'core',
  'machines',
  'actors',
  'engine',
  'db',
  'infra',
  'services',
  'web',
  'cli',
] as const;

export const source = (path: string, text: string): Source => ({
  path,
  room: path.split('/')[0] ?? '',
  text,
  code: withoutComments(text),
});

/** All TypeScript of the checkout. */
export function allSources(root: string): Source[] {
  return (
    globSync(`{${[...rooms, 'scripts', 'bench', 'test'].join(',')}}/**/*.{ts,tsx}`, { cwd: root })
      // What benches leave behind is not ours.
      .filter((path) => !path.startsWith('bench/out/'))
      .sort()
      .map((path) => source(path, readFileSync(join(root, path), 'utf8')))
  );
}

/** The engine's simulation: it judges the engine's tables from outside, and owns the clock of its world. */
export const isSimulation = ({ path }: Source): boolean => path.startsWith('engine/testing/');

export const isProduct = ({ room }: Source): boolean => (rooms as readonly string[]).includes(room);

export const lineAt = (text: string, index: number): number => text.slice(0, index).split('\n').length;

/** Every place of `file` that matches, as findings. */
export function findAll({ path, code }: Source, pattern: RegExp, message: string): Finding[] {
  return [...code.matchAll(new RegExp(pattern, `${pattern.flags.replace('g', '')}g`))].map((match) => ({
    path,
    line: lineAt(code, match.index),
    message: `${match[0].trim()}: ${message}`,
  }));
}

const importPatterns = [
  /\bimport\s+(?<type>type\s)?(?:[\w$*\s{},]+?\sfrom\s*)?['"](?<specifier>[^'"]+)['"]/g,
  /\bexport\s+(?<type>type\s)?\s*(?:\*(?:\s+as\s+\w+)?|\{[^}]*\})\s*from\s*['"](?<specifier>[^'"]+)['"]/g,
  /(?<type>\btypeof\s+)?\bimport\(\s*['"](?<specifier>[^'"]+)['"]\s*\)(?<member>\.[A-Z])?/g,
  /\brequire\(\s*['"](?<specifier>[^'"]+)['"]/g,
];

/** What a file imports, in any of the ways there are. */
export function importsOf({ path, code }: Source): Import[] {
  return importPatterns.flatMap((pattern) =>
    [...code.matchAll(pattern)].map((match) => {
      const specifier = match.groups?.specifier ?? '';
      return {
        specifier,
        // `import('x').Name` is a type; a module's value is `(await import('x')).name`
        typeOnly: match.groups?.type !== undefined || match.groups?.member !== undefined,
        line: lineAt(code, match.index),
        to: resolve(path, specifier),
      };
    }),
  );
}

function resolve(from: string, specifier: string): Import['to'] {
  if (specifier.startsWith('node:')) return { kind: 'node', name: specifier };
  const path = specifier.startsWith('#')
    ? `${specifier.slice(1)}.ts`
    : specifier.startsWith('.')
      ? normalize(join(dirname(from), specifier))
      : null;
  if (path !== null) return { kind: 'ours', path, room: path.split('/')[0] ?? '' };
  const parts = specifier.split('/');
  return { kind: 'package', name: parts.slice(0, specifier.startsWith('@') ? 2 : 1).join('/') };
}

/** A comment, or something that may hold what looks like one: strings, templates, regular expressions. */
const tokenPattern =
  /\/\/[^\n]*|\/\*[\s\S]*?\*\/|'(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*"|`(?:[^`\\]|\\[\s\S])*`|(?<=[(,=:[!&|?{};+]\s*|\breturn\s+)\/(?:[^/\\\n[]|\\.|\[(?:[^\]\\\n]|\\.)*\])+\/[a-z]*/g;

function withoutComments(text: string): string {
  return text.replace(tokenPattern, (token) =>
    token.startsWith('//') || token.startsWith('/*') ? token.replace(/[^\n]/g, ' ') : token,
  );
}
