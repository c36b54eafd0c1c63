import { constants } from 'node:os';
import type { ErrorCode } from '#core/error-codes';
import { diskHint, type ErrorKind, FlydError, quotaHint } from '#core/errors';

// The first name of a number wins: EAGAIN before EWOULDBLOCK, ENOTSUP as EOPNOTSUPP.
const names = new Map<number, string>();
for (const [name, number] of Object.entries(constants.errno)) {
  if (name !== 'EWOULDBLOCK' && name !== 'ENOTSUP') names.set(number, name);
}

// Node leaves it out. mount(2) gives it for a file where the kernel wants a block device (errno(3)).
names.set(15, 'ENOTBLK');

/** The symbol of a Linux error number: `ENOENT` for 2. */
export const errnoName = (errno: number): string => names.get(errno) ?? `E${errno}`;

const healing: readonly string[] = [
  'EAGAIN',
  'EBUSY',
  'EINTR',
  'EIO',
  'EMFILE',
  'ENFILE',
  'ENOMEM',
  'ENOSPC',
  'EDQUOT',
];
const codes: Readonly<Record<string, ErrorCode>> = {
  EPERM: 'permission',
  EACCES: 'permission',
  ENOSPC: 'no_space',
  EDQUOT: 'no_space',
};

const hints: Readonly<Record<string, string>> = { EIO: diskHint, EDQUOT: quotaHint };

/**
 * A system call that failed. `errno` is the symbol (`ENOENT`), `number` its value. The kind is a
 * default for callers that do not know better: what may heal by itself is recoverable.
 */
export class SysError extends FlydError {
  readonly errno: string;
  readonly number: number;
  readonly syscall: string;
  readonly path: string | undefined;

  constructor(syscall: string, number: number, path?: Buffer | string | null) {
    const errno = errnoName(number);
    const subject = path === undefined || path === null ? undefined : printable(path);
    const kind: ErrorKind = healing.includes(errno) ? 'recoverable' : 'unrecoverable';
    const place = subject === undefined ? '' : ` ${subject}`;
    super(kind, codes[errno] ?? 'system_call', `${syscall}${place}: ${errno}`, {
      subject,
      hint: hints[errno],
      facts: { errno, syscall },
    });
    this.errno = errno;
    this.number = number;
    this.syscall = syscall;
    this.path = subject;
  }
}

/** Whether an error is one of these system errors (`ENOENT`, ...), from here or from Node's own fs. */
export function isErrno(error: unknown, ...errnos: string[]): boolean {
  if (error instanceof SysError) return errnos.includes(error.errno);
  return errnos.includes(nodeErrno(error));
}

/**
 * The symbol of an error of Node's own fs; empty for any other. libuv has no name for some, and EDQUOT is one of them:
 * of those Node says `Unknown system error -122`.
 */
export function nodeErrno(error: unknown): string {
  if (!(error instanceof Error) || !('code' in error) || typeof error.code !== 'string') return '';
  const isUnknown = error.code.startsWith('Unknown system error');
  return isUnknown && 'errno' in error ? errnoName(-Number(error.errno)) : error.code;
}

/** Bytes of a path for people: printable ASCII as it is, the rest as `\xhh`; never ambiguous, never a control code. */
export function printable(path: Buffer | string): string {
  const bytes = typeof path === 'string' ? Buffer.from(path) : path;
  let text = '';
  for (const byte of bytes) {
    if (byte === 0x5c) text += '\\\\';
    else if (byte >= 0x20 && byte < 0x7f) text += String.fromCharCode(byte);
    else text += `\\x${byte.toString(16).padStart(2, '0')}`;
  }
  return text;
}
