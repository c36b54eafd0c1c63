import { FSMOUNT_CLOEXEC, FSOPEN_CLOEXEC, MOVE_MOUNT_F_EMPTY_PATH } from './constants.ts';
import { SysError } from './error.ts';
import { bind, bindNumber, check, cString } from './libc.ts';
import type { PathBytes } from './paths.ts';

const mountCall = bind('mount', 'int', ['ptr', 'ptr', 'ptr', 'long', 'ptr']);
const umount2Call = bind('umount2', 'int', ['ptr', 'int']);
const fsopenCall = bindNumber('fsopen', ['ptr', 'long']);
const fsconfigCall = bindNumber('fsconfig', ['long', 'long', 'ptr', 'ptr', 'long']);
const fsmountCall = bindNumber('fsmount', ['long', 'long', 'long']);
const moveMountCall = bindNumber('move_mount', ['long', 'ptr', 'long', 'ptr', 'long']);
const readCall = bind('read', 'long', ['int', 'ptr', 'long']);

const nul = (text: PathBytes): Buffer => {
  const bytes = Buffer.from(text);
  if (bytes.includes(0)) throw new SysError('mount', 22, text);
  return Buffer.concat([bytes, Buffer.from([0])]);
};

/** mount(2). `source` and `data` may be null. Options longer than a page are cut by the kernel: use fsopen for those. */
export function mount(
  source: PathBytes | null,
  target: PathBytes,
  fstype: string | null,
  flags: number,
  data: string | null = null,
): void {
  const text = (value: PathBytes | null) => (value === null ? null : nul(value));
  check(mountCall(text(source), nul(target), text(fstype), flags, text(data)), 'mount', target);
}

/** umount2(2): `flags` of MNT_* and UMOUNT_NOFOLLOW. */
export const umount2 = (target: PathBytes, flags = 0): void =>
  void check(umount2Call(cString(target), flags), 'umount2', target);

/** fsopen(2): a context for a new superblock of `fstype`. Close it with `close`. */
export const fsopen = (fstype: string): number =>
  check(fsopenCall(cString(fstype), FSOPEN_CLOEXEC), 'fsopen', fstype);

const FSCONFIG_SET_FLAG = 0;
const FSCONFIG_SET_STRING = 1;
const FSCONFIG_SET_FD = 5;
const FSCONFIG_CMD_CREATE = 6;

/** fsconfig(2): sets an option; `null` for a flag, a number for an fd. Repeat `lowerdir+` for each layer of an overlay (Linux 6.5; as an fd 6.13). */
export function fsconfigSet(context: number, key: string, value: PathBytes | number | null): void {
  const name = nul(key);
  const result =
    value === null
      ? fsconfigCall(context, FSCONFIG_SET_FLAG, name, null, 0)
      : typeof value === 'number'
        ? fsconfigCall(context, FSCONFIG_SET_FD, name, null, value)
        : fsconfigCall(context, FSCONFIG_SET_STRING, name, nul(value), 0);
  check(result, `fsconfig(${key})`, typeof value === 'number' ? null : value);
}

/** fsconfig(2): makes the superblock. When it throws, `fsMessages` says why. */
export const fsconfigCreate = (context: number): void =>
  void check(fsconfigCall(context, FSCONFIG_CMD_CREATE, null, null, 0), 'fsconfig(create)');

/** fsmount(2): a detached mount of the made superblock, with MOUNT_ATTR_*. Close it with `close` once it is moved. */
export const fsmount = (context: number, attributes: number): number =>
  check(fsmountCall(context, FSMOUNT_CLOEXEC, attributes), 'fsmount');

/** move_mount(2): attaches a detached mount at `target`. */
export const moveMount = (mountFd: number, target: PathBytes): void =>
  void check(
    moveMountCall(mountFd, Buffer.from([0]), -100, cString(target), MOVE_MOUNT_F_EMPTY_PATH),
    'move_mount',
    target,
  );

/** What the kernel had to say about a context of fsopen: one line each, such as `e overlay: No changes allowed...`. */
export function fsMessages(context: number): string[] {
  const buffer = Buffer.alloc(4096);
  const messages: string[] = [];
  for (;;) {
    const length = readCall(context, buffer, buffer.length);
    if (length <= 0) return messages; // ENODATA: no more
    messages.push(buffer.toString('utf8', 0, length).trimEnd());
  }
}
