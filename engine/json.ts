import { unrecoverable } from '#core/errors';
import type { Json } from './types.ts';

/**
 * The value as JSON text, refusing what would come back different: Date, Map, class instances, bigint,
 * NaN, undefined in an array. Properties that are undefined are left out. Throws `not_serialisable`
 * with the path.
 */
export function toText(value: unknown, what: string): string {
  const text = JSON.stringify(plain(value, what));
  return text === undefined ? 'null' : text;
}

/** The value as plain JSON data, under the rules of `toText`. */
export function plain(value: unknown, path: string): Json {
  if (value === null || value === undefined) return null;
  if (typeof value === 'string' || typeof value === 'boolean') return value;
  if (typeof value === 'number') {
    if (Number.isFinite(value)) return value;
    throw refusal(path, String(value));
  }
  if (typeof value !== 'object') throw refusal(path, `a ${typeof value}`);
  if (Array.isArray(value))
    return value.map((item, index) => {
      if (item === undefined) throw refusal(`${path}[${index}]`, 'undefined');
      return plain(item, `${path}[${index}]`);
    });
  const prototype = Object.getPrototypeOf(value) as object | null;
  if (prototype !== Object.prototype && prototype !== null)
    throw refusal(path, `a ${value.constructor?.name ?? 'foreign object'}`);
  const copy: { [key: string]: Json } = {};
  for (const [key, item] of Object.entries(value))
    if (item !== undefined) copy[key] = plain(item, `${path}.${key}`);
  return copy;
}

const refusal = (path: string, found: string) =>
  unrecoverable('not_serialisable', `${path} is ${found}, which does not survive JSON`, {
    subject: path,
    hint: 'keep plain data in context, events and outputs: strings, finite numbers, booleans, null, arrays, objects',
  });

/** One operation of RFC 6902, of the three kinds that a difference needs. */
export type PatchOperation =
  | { op: 'add' | 'replace'; path: string; value: Json }
  | { op: 'remove'; path: string };

/** The operations that turn `from` into `to` (RFC 6902; paths are RFC 6901 pointers). */
export function diff(from: Json, to: Json, path = ''): PatchOperation[] {
  if (from === to) return [];
  if (Array.isArray(from) && Array.isArray(to)) return diffArrays(from, to, path);
  if (isObject(from) && isObject(to)) return diffObjects(from, to, path);
  return [{ op: 'replace', path, value: to }];
}

type JsonObject = { [key: string]: Json };
const isObject = (value: Json | undefined): value is JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

function diffObjects(from: JsonObject, to: JsonObject, path: string): PatchOperation[] {
  const operations: PatchOperation[] = [];
  for (const key of Object.keys(from))
    if (!Object.hasOwn(to, key)) operations.push({ op: 'remove', path: `${path}/${escapePart(key)}` });
  for (const [key, value] of Object.entries(to)) {
    const before = Object.hasOwn(from, key) ? from[key] : undefined;
    if (before === undefined) operations.push({ op: 'add', path: `${path}/${escapePart(key)}`, value });
    else operations.push(...diff(before, value, `${path}/${escapePart(key)}`));
  }
  return operations;
}

function diffArrays(from: Json[], to: Json[], path: string): PatchOperation[] {
  const operations: PatchOperation[] = [];
  const shared = Math.min(from.length, to.length);
  for (let index = 0; index < shared; index++)
    operations.push(...diff(from[index] as Json, to[index] as Json, `${path}/${index}`));
  for (let index = from.length - 1; index >= shared; index--)
    operations.push({ op: 'remove', path: `${path}/${index}` });
  for (let index = shared; index < to.length; index++)
    operations.push({ op: 'add', path: `${path}/-`, value: to[index] as Json });
  return operations;
}

const escapePart = (key: string): string => key.replaceAll('~', '~0').replaceAll('/', '~1');
const unescapePart = (part: string): string => part.replaceAll('~1', '/').replaceAll('~0', '~');

/** `document` with the operations applied; the original is left as it was. */
export function applyPatch(document: Json, operations: readonly PatchOperation[]): Json {
  let result = structuredClone(document);
  for (const operation of operations) {
    const parts = operation.path.split('/').slice(1).map(unescapePart);
    const last = parts.pop();
    if (last === undefined) {
      result = operation.op === 'remove' ? null : structuredClone(operation.value);
      continue;
    }
    let parent = result;
    for (const part of parts)
      parent = Array.isArray(parent)
        ? (parent[Number(part)] as Json)
        : ((parent as JsonObject)[part] as Json);
    if (Array.isArray(parent)) applyToArray(parent, last, operation);
    else if (operation.op === 'remove') delete (parent as JsonObject)[last];
    else (parent as JsonObject)[last] = structuredClone(operation.value);
  }
  return result;
}

function applyToArray(array: Json[], part: string, operation: PatchOperation): void {
  const index = part === '-' ? array.length : Number(part);
  if (operation.op === 'remove') array.splice(index, 1);
  else if (operation.op === 'add') array.splice(index, 0, structuredClone(operation.value));
  else array[index] = structuredClone(operation.value);
}
