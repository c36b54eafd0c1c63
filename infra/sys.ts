/** System calls that Node's fs lacks or does wrong, synchronous, for Linux on x64 and arm64, in any thread. */
export * from './sys/attributes.ts';
export * from './sys/constants.ts';
export * from './sys/data.ts';
export * from './sys/decoders.ts';
export * from './sys/device-mapper.ts';
export * from './sys/directory.ts';
export { errnoName, isErrno, printable, SysError } from './sys/error.ts';
export { check } from './sys/libc.ts';
export * from './sys/mounts.ts';
export * from './sys/paths.ts';
export * from './sys/process.ts';
export * from './sys/sha256.ts';
export * from './sys/xattr.ts';
