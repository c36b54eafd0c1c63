import { bindOwn } from './libc.ts';

/**
 * SHA-256 as Node's own OpenSSL computes it, with a state outside of V8: threads of one process can take
 * turns with it, which `crypto.Hash` does not allow. Only one of them may call at a time.
 */
export type Sha256State = bigint;

const sumBytes = 32;

const create = bindOwn('EVP_MD_CTX_new', 'ptr', []);
const free = bindOwn('EVP_MD_CTX_free', 'int', ['long']);
const sha256 = bindOwn('EVP_sha256', 'ptr', []);
const init = bindOwn('EVP_DigestInit_ex', 'int', ['long', 'long', 'ptr']);
const update = bindOwn('EVP_DigestUpdate', 'int', ['long', 'ptr', 'long']);
const final = bindOwn('EVP_DigestFinal_ex', 'int', ['long', 'ptr', 'ptr']);

/** A state that has seen nothing. It is to be freed by `sha256Free`. */
export function sha256New(): Sha256State {
  const state = BigInt(create() as number | bigint);
  if (state === 0n) throw new Error('EVP_MD_CTX_new gives nothing');
  done('EVP_DigestInit_ex', init(state, BigInt(sha256() as number | bigint), null));
  return state;
}

export function sha256Update(state: Sha256State, bytes: Buffer): void {
  done('EVP_DigestUpdate', update(state, bytes, bytes.length));
}

/** The sum in hex; the state can only be freed then. */
export function sha256Hex(state: Sha256State): string {
  const sum = Buffer.alloc(sumBytes);
  done('EVP_DigestFinal_ex', final(state, sum, null));
  return sum.toString('hex');
}

export function sha256Free(state: Sha256State): void {
  free(state);
}

function done(name: string, result: unknown): void {
  if (result !== 1) throw new Error(`${name} gives ${result}`);
}
