import { type Finding, isProduct, lineAt, type Source } from './source.ts';

/** Each operation is an actor's file, and each actor an operation. */
export function actorsMatchOperations(
  operations: readonly string[],
  actorFiles: readonly string[],
): Finding[] {
  const wanted = operations.map((operation) => `actors/${operation.replace('.', '-')}.ts`);
  return [
    ...wanted
      .filter((path) => !actorFiles.includes(path))
      .map((path) => ({ path, line: 0, message: 'the operation has no actor' })),
    ...actorFiles
      .filter((path) => !wanted.includes(path))
      .map((path) => ({ path, line: 0, message: 'the actor is no operation of core/operations.ts' })),
  ];
}

const headerLines = ['Does', 'Safe to repeat because', 'If killed', 'Fails with'];

/** An actor says what it does, why it may run twice, what a kill leaves, and how it fails. */
export function actorsHaveHeaders(source: Source): Finding[] {
  if (source.room !== 'actors') return [];
  return headerLines
    .filter((line) => !new RegExp(`^\\s*(?:\\*|//|/\\*\\*)\\s*\\**${line}\\b`, 'm').test(source.text))
    .map((line) => ({ path: source.path, line: 1, message: `no header line "${line}: …"` }));
}

const codePattern = /(?<!\btypeof\s[\w.?]*)\bcode\s*[!=]==?\s*'([a-z_]+)'/g;

/** Codes that are compared are codes that exist. */
export function codesExist(source: Source, codes: readonly string[]): Finding[] {
  return [...source.code.matchAll(codePattern)]
    .filter((match) => !codes.includes(match[1] ?? ''))
    .map((match) => ({
      path: source.path,
      line: lineAt(source.code, match.index),
      message: `${match[1]} is not in core/error-codes.ts`,
    }));
}

/** A code that nothing throws is a promise that nothing keeps. */
export function codesAreUsed(sources: readonly Source[], codes: readonly string[]): Finding[] {
  const product = sources.filter((each) => isProduct(each) && each.path !== 'core/error-codes.ts');
  return codes
    .filter((code) => !product.some((each) => each.code.includes(`'${code}'`)))
    .map((code) => ({ path: 'core/error-codes.ts', line: 0, message: `nothing uses ${code}: remove it` }));
}
