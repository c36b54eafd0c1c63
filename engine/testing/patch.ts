import type { Json } from '../types.ts';

// RFC 6902 by the letter, apart from the engine's own: a mistake in that one shall not hide itself.

interface Operation {
  op: string;
  path: string;
  value?: Json;
}

/** `document` with the operations applied. Throws when one does not apply exactly. */
export function patched(document: Json, operations: readonly Operation[]): Json {
  let root = structuredClone(document);
  for (const operation of operations) {
    if (operation.path === '') {
      if (operation.op === 'remove') throw new Error('a patch removed the whole document');
      root = operation.value ?? null;
      continue;
    }
    const parts = operation.path
      .split('/')
      .slice(1)
      .map((part) => part.replaceAll('~1', '/').replaceAll('~0', '~'));
    const last = parts.pop() ?? '';
    let target = root;
    for (const part of parts) target = member(target, part, operation);
    applyAt(target, last, operation);
  }
  return root;
}

function member(target: Json, part: string, operation: Operation): Json {
  const found = Array.isArray(target)
    ? target[Number(part)]
    : typeof target === 'object' && target !== null && Object.hasOwn(target, part)
      ? target[part]
      : undefined;
  if (found === undefined) throw misfit(operation);
  return found;
}

function applyAt(target: Json, part: string, operation: Operation): void {
  const { op } = operation;
  const value = structuredClone(operation.value ?? null);
  if (Array.isArray(target)) {
    const index = part === '-' ? target.length : Number(part);
    if (!/^(-|0|[1-9]\d*)$/.test(part) || index > target.length) throw misfit(operation);
    if (op !== 'add' && index === target.length) throw misfit(operation);
    if (op === 'remove') target.splice(index, 1);
    else target.splice(index, op === 'add' ? 0 : 1, value);
    return;
  }
  if (typeof target !== 'object' || target === null) throw misfit(operation);
  if (op !== 'add' && !Object.hasOwn(target, part)) throw misfit(operation);
  if (op === 'remove') delete target[part];
  else target[part] = value;
}

const misfit = (operation: Operation): Error =>
  new Error(`the patch ${JSON.stringify(operation)} does not apply`);
