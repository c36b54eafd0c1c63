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
export function plain(value: unknown, what: string): Json {
  // Where it is matters only now: paths are not made for each value that is fine.
  return plainOr(value, () => refuse(value, what));
}

/** The value as plain JSON data, or what is made `otherwise` when it is not. */
export function plainOr(value: unknown, otherwise: () => Json): Json {
  try {
    return copyOf(value);
  } catch (thrown) {
    if (thrown !== foreign) throw thrown;
    return otherwise();
  }
}

/** Thrown for what is not plain. */
const foreign = new Error('not plain JSON data');

function copyOf(value: unknown): Json {
  switch (typeof value) {
    case 'string':
    case 'boolean':
      return value;
    case 'number':
      if (Number.isFinite(value)) return value;
      throw foreign;
    case 'undefined':
      return null;
    case 'object':
      break;
    default:
      throw foreign;
  }
  if (value === null) return null;
  if (Array.isArray(value)) {
    if (value.includes(undefined)) throw foreign;
    return value.map(copyOf);
  }
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype !== Object.prototype && prototype !== null) throw foreign;
  const copy: { [key: string]: Json } = {};
  // Nothing is inherited: `in` finds its own keys, and makes no list of them.
  for (const key in value) {
    const item = (value as { [key: string]: unknown })[key];
    if (item !== undefined) copy[key] = copyOf(item);
  }
  return copy;
}

/** Throws the refusal of the first thing in it that is not plain; the path begins with `path`. */
function refuse(value: unknown, path: string): null {
  if (typeof value === 'object' && value !== null) {
    if (Array.isArray(value)) {
      for (const [index, item] of value.entries()) {
        if (item === undefined) throw refusal(`${path}[${index}]`, 'undefined');
        refuse(item, `${path}[${index}]`);
      }
      return null;
    }
    const prototype: unknown = Object.getPrototypeOf(value);
    if (prototype !== Object.prototype && prototype !== null)
      throw refusal(path, `a ${value.constructor?.name ?? 'foreign object'}`);
    for (const [key, item] of Object.entries(value)) refuse(item, `${path}.${key}`);
  } else if (typeof value === 'number') {
    if (!Number.isFinite(value)) throw refusal(path, String(value));
  } else if (typeof value === 'bigint' || typeof value === 'symbol' || typeof value === 'function')
    throw refusal(path, `a ${typeof value}`);
  return null;
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
export function diff(from: Json, to: Json): PatchOperation[] {
  const operations: PatchOperation[] = [];
  compare(from, to, '', operations);
  return operations;
}

function compare(from: Json, to: Json, path: string, operations: PatchOperation[]): void {
  if (from === to) return;
  if (Array.isArray(from) && Array.isArray(to)) compareArrays(from, to, path, operations);
  else if (isObject(from) && isObject(to)) compareObjects(from, to, path, operations);
  else operations.push({ op: 'replace', path, value: to });
}

type JsonObject = { [key: string]: Json };
const isObject = (value: Json | undefined): value is JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

function compareObjects(from: JsonObject, to: JsonObject, path: string, operations: PatchOperation[]): void {
  for (const key in from)
    if (!Object.hasOwn(to, key)) operations.push({ op: 'remove', path: `${path}/${escapePart(key)}` });
  for (const key in to) {
    const value = to[key] as Json;
    const before = Object.hasOwn(from, key) ? from[key] : undefined;
    if (before === value) continue;
    const at = `${path}/${escapePart(key)}`;
    if (before === undefined) operations.push({ op: 'add', path: at, value });
    else compare(before, value, at, operations);
  }
}

function compareArrays(from: Json[], to: Json[], path: string, operations: PatchOperation[]): void {
  const shared = Math.min(from.length, to.length);
  for (let index = 0; index < shared; index++)
    compare(from[index] as Json, to[index] as Json, `${path}/${index}`, operations);
  for (let index = from.length - 1; index >= shared; index--)
    operations.push({ op: 'remove', path: `${path}/${index}` });
  for (let index = shared; index < to.length; index++)
    operations.push({ op: 'add', path: `${path}/-`, value: to[index] as Json });
}

const escapePart = (key: string): string =>
  key.includes('~') || key.includes('/') ? key.replaceAll('~', '~0').replaceAll('/', '~1') : key;
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
