import type { Json } from '../data/types.ts';

export interface Difference {
  /** `layers[2].digest`. */
  path: string;
  kind: 'added' | 'removed' | 'changed';
  before: Json | undefined;
  after: Json | undefined;
}

/** What differs between two values, place by place, in the order of the later one. */
export function differences(before: Json | undefined, after: Json | undefined, path = ''): Difference[] {
  if (before === after) return [];
  if (before === undefined) return [{ path, kind: 'added', before, after }];
  if (after === undefined) return [{ path, kind: 'removed', before, after }];
  if (!isTree(before) || !isTree(after) || Array.isArray(before) !== Array.isArray(after))
    return [{ path, kind: 'changed', before, after }];
  const names = [...new Set([...Object.keys(after), ...Object.keys(before)])];
  return names.flatMap((name) =>
    differences(
      (before as Record<string, Json>)[name],
      (after as Record<string, Json>)[name],
      pathTo(path, name, Array.isArray(after)),
    ),
  );
}

const isTree = (value: Json): value is Json[] | { [key: string]: Json } =>
  typeof value === 'object' && value !== null;

function pathTo(path: string, name: string, isIndex: boolean): string {
  if (isIndex) return `${path}[${name}]`;
  const plain = /^[A-Za-z_$][\w$]*$/.test(name);
  if (path === '') return plain ? name : JSON.stringify(name);
  return plain ? `${path}.${name}` : `${path}[${JSON.stringify(name)}]`;
}
