import koffi from 'koffi';
import { SysError } from './error.ts';

/**
 * The door to libc, and the only file that knows koffi. A bound call gives its result, or the
 * negative error number, so that callers on a hot path can look at an expected ENOENT without the
 * price of an exception; `check` turns a negative result into a SysError.
 *
 * koffi keeps errno over everything that it and V8 do between the call and `koffi.errno()`.
 */
export type Arg = number | bigint | Buffer | null;
type ArgType = 'int' | 'uint' | 'long' | 'ptr';

const libc = koffi.load(null);
const cType = { int: 'int', uint: 'unsigned int', long: 'long', ptr: 'void *' } as const;

/**
 * A function of libc by its name. `int` results are read as 32 bits: the upper half of the register
 * is undefined by the ABI.
 */
export function bind(name: string, result: 'int' | 'long', args: ArgType[]): (...args: Arg[]) => number {
  const call: (...args: Arg[]) => unknown = libc.func(
    name,
    result,
    args.map((arg) => cType[arg]),
  );
  return (...given) => {
    for (;;) {
      const value = Number(call(...given));
      if (value !== -1) return value;
      const errno = koffi.errno();
      // close must not be repeated: Linux has freed the number even when it reports EINTR.
      if (errno !== EINTR || name === 'close') return -errno;
    }
  };
}

const EINTR = 4;

/**
 * A function of a library that Node carries within itself and exports for its addons. Its result is its
 * own, `errno` has no part in it: an int, a size, or for `text` a C string.
 */
export function bindOwn(
  name: string,
  result: 'int' | 'size' | 'ptr' | 'text',
  args: ArgType[],
): (...args: Arg[]) => unknown {
  const returned = { int: 'int', size: 'int64_t', ptr: 'uintptr_t', text: 'const char *' }[result];
  return libc.func(
    name,
    returned,
    args.map((arg) => cType[arg]),
  );
}

/**
 * Where the bytes of a buffer are, for a structure that points at them. It stays true for as long as
 * something refers to the buffer: V8 moves no bytes that are outside of its heap, so `bytes` must come from
 * `Buffer.alloc`, or from shared memory, and be longer than the 64 bytes that V8 may keep inside.
 */
export function addressOf(bytes: Buffer): bigint {
  koffi.encode(addressSlot, 0, 'void *', bytes);
  return addressSlot.readBigUInt64LE(0);
}

const addressSlot = Buffer.alloc(8);

/** The C string at an address; empty for none. */
export const textAt = (address: bigint): string =>
  address === 0n ? '' : (koffi.decode(address, 'char', -1) as string);

/** Numbers of the calls that no old libc wraps. From 424 on they are the same on every architecture. */
const numbers: Record<string, { x64: number; arm64: number }> = {
  mknodat: { x64: 259, arm64: 33 },
  getdents64: { x64: 217, arm64: 61 },
  renameat2: { x64: 316, arm64: 276 },
  statx: { x64: 332, arm64: 291 },
  copy_file_range: { x64: 326, arm64: 285 },
  pidfd_send_signal: { x64: 424, arm64: 424 },
  move_mount: { x64: 429, arm64: 429 },
  fsopen: { x64: 430, arm64: 430 },
  fsconfig: { x64: 431, arm64: 431 },
  fsmount: { x64: 432, arm64: 432 },
  pidfd_open: { x64: 434, arm64: 434 },
  openat2: { x64: 437, arm64: 437 },
};

/** A system call by its number, for what libc does not wrap (or only in newer versions). */
export function bindNumber(name: string, args: ArgType[]): (...args: Arg[]) => number {
  const known = numbers[name];
  const arch = process.arch;
  if (known === undefined || (arch !== 'x64' && arch !== 'arm64') || process.platform !== 'linux')
    throw new Error(`system call ${name} is not known for ${process.platform}/${arch}`);
  const call = bind('syscall', 'long', ['long', ...args]);
  const number = known[arch];
  return (...given) => call(number, ...given);
}

/** The result, or a SysError that names the call and the path. */
export function check(result: number, syscall: string, path?: Buffer | string | null): number {
  if (result < 0) throw new SysError(syscall, -result, path);
  return result;
}

const scratchBytes = 8192;
const scratch = [Buffer.alloc(scratchBytes), Buffer.alloc(scratchBytes)] as const;

/**
 * A path as a C string. Slots are reused from call to call: give the first path of one call slot 0,
 * the second slot 1. Refuses a NUL inside, which would cut the name that the kernel sees.
 */
export function cString(path: Buffer | string, slot: 0 | 1 = 0): Buffer {
  const length = typeof path === 'string' ? Buffer.byteLength(path) : path.length;
  const target = length < scratchBytes ? scratch[slot] : Buffer.alloc(length + 1);
  if (path.includes('\0')) throw new SysError('path', 22, path);
  if (typeof path === 'string') target.write(path, 0);
  else path.copy(target, 0);
  target[length] = 0;
  return target;
}

/** Writes a 64-bit integer, given as a safe integer or a bigint, little-endian as x64 and arm64 are. */
export function putInt64(target: Buffer, offset: number, value: number | bigint): void {
  if (typeof value === 'bigint') {
    target.writeBigInt64LE(value, offset);
    return;
  }
  if (!Number.isSafeInteger(value)) throw new RangeError(`not a safe integer: ${value}`);
  target.writeUInt32LE(value >>> 0, offset);
  target.writeInt32LE(Math.floor(value / 0x1_0000_0000), offset + 4);
}
