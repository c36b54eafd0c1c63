import { recoverable, unrecoverable } from '#core/errors';
import { type Exec, stderrOf } from '../exec.ts';
import { type MountFlags, makePrivate } from '../mounts.ts';
import {
  close,
  fsconfigCreate,
  fsconfigSet,
  fsMessages,
  fsmount,
  fsopen,
  isErrno,
  MOUNT_ATTR_NODEV,
  MOUNT_ATTR_NOSUID,
  moveMount,
} from '../sys.ts';

export interface OverlayMount {
  /** Shown as the source in mountinfo. */
  source: string;
  /** Canonical path of the mount point. */
  target: string;
  /** The folder that all the names below are in: names, not paths, keep the options short. */
  folder: string;
  /** The lower folders, nearest first: names, or fds, also of mounts that are attached nowhere (Linux 6.15). */
  lowers: readonly (string | number)[];
  upper: string;
  work: string;
  flags: MountFlags;
}

/**
 * How the layers reach the kernel: `fsconfig` names them one by one (lowerdir+, Linux 6.8);
 * `relative` gives names relative to the folder to mount(8), within a page of options.
 */
export type OverlayMethod = 'fsconfig' | 'relative';

/**
 * What the layers could smuggle in is off: redirects to other folders (forged by an xattr),
 * metadata-only copies, and the index, which ties an upper to its lowers for ever.
 */
const safety = { redirect_dir: 'nofollow', metacopy: 'off', index: 'off' } as const;

/** Strings of fsconfig(2) end at 256 bytes with their NUL (fs/fsopen.c). */
const fsconfigValueMax = 255;
/** Options of mount(2) end at a page with their NUL. */
const pageMax = 4095;

/**
 * Mounts an overlay read-write; `readOnly` is the caller's to set afterwards. Tries the methods in
 * order and takes the next where the kernel does not know one. Fails with `driver_failed`,
 * `driver_unsupported` (more layers than the kernel's way takes), `permission`.
 */
export async function mountOverlay(
  overlay: OverlayMount,
  exec: Exec,
  op: string,
  methods: readonly OverlayMethod[] = ['fsconfig', 'relative'],
): Promise<void> {
  for (const method of methods) {
    const known =
      method === 'fsconfig' ? mountByFsconfig(overlay, op) : await mountByNames(overlay, exec, op);
    if (!known) continue;
    makePrivate(overlay.target);
    return;
  }
  throw unrecoverable('driver_unsupported', `this kernel cannot mount ${overlay.lowers.length} layers`, {
    op,
    subject: overlay.source,
    hint: 'use Linux 6.8 or newer, --driver copy, or fewer layers',
  });
}

/** False when this kernel, or the length of a path, does not allow this way. */
function mountByFsconfig(overlay: OverlayMount, op: string): boolean {
  const path = (name: string): string => `${overlay.folder}/${name}`;
  const lowers = overlay.lowers.map((lower) => (typeof lower === 'number' ? lower : path(lower)));
  const paths = [
    ...lowers.filter((lower) => typeof lower === 'string'),
    path(overlay.upper),
    path(overlay.work),
  ];
  if (paths.some((p) => Buffer.byteLength(p) > fsconfigValueMax)) return false;
  const context = openContext();
  if (context === null) return false;
  let created = false;
  try {
    fsconfigSet(context, 'source', overlay.source);
    for (const [key, value] of Object.entries(safety)) fsconfigSet(context, key, value);
    for (const lower of lowers) if (!addLower(context, lower)) return false;
    fsconfigSet(context, 'upperdir', path(overlay.upper));
    fsconfigSet(context, 'workdir', path(overlay.work));
    fsconfigCreate(context);
    created = true;
    attach(context, overlay);
    return true;
  } catch (error) {
    // Afterwards it means too many mounts (mount_namespaces(7), fs.mount-max).
    if (!created && isErrno(error, 'ENOSPC', 'EDQUOT')) throw noRoom(overlay, op, error);
    const said = fsMessages(context).join('; ');
    // Before 6.5 overlayfs takes every option as text and judges them only now, and says nothing here.
    if (said === '' && isErrno(error, 'EINVAL')) return false;
    throw refused(overlay, op, said === '' ? String(error) : said, error);
  } finally {
    close(context);
  }
}

function openContext(): number | null {
  try {
    return fsopen('overlay');
  } catch (error) {
    if (isErrno(error, 'ENOSYS')) return null;
    throw error;
  }
}

/** False when the kernel does not know `lowerdir+`; told from a bad folder by the kernel's own words. */
function addLower(context: number, lower: string | number): boolean {
  try {
    fsconfigSet(context, 'lowerdir+', lower);
    return true;
  } catch (error) {
    const unknown =
      isErrno(error, 'EINVAL') && fsMessages(context).every((m) => /Unknown parameter/i.test(m));
    if (unknown || (typeof lower === 'number' && isErrno(error, 'EINVAL'))) return false;
    throw error;
  }
}

function attach(context: number, { target, flags }: OverlayMount): void {
  const attributes =
    (flags.suid === true ? 0 : MOUNT_ATTR_NOSUID) | (flags.dev === true ? 0 : MOUNT_ATTR_NODEV);
  const mounted = fsmount(context, attributes);
  try {
    moveMount(mounted, target);
  } finally {
    close(mounted);
  }
}

/** False when the options are longer than a page, or a lower folder has no name. */
async function mountByNames(overlay: OverlayMount, exec: Exec, op: string): Promise<boolean> {
  const { source, target, folder, lowers, upper, work, flags } = overlay;
  if (lowers.some((lower) => typeof lower === 'number')) return false;
  const data = [
    ...Object.entries(safety).map(([key, value]) => `${key}=${value}`),
    `lowerdir=${lowers.join(':')}`,
    `upperdir=${upper}`,
    `workdir=${work}`,
  ].join(',');
  if (Buffer.byteLength(data) > pageMax) return false;
  const options = [data, flags.suid === true ? 'suid' : 'nosuid', flags.dev === true ? 'dev' : 'nodev'];
  const args = ['-n', '-c', '-i', '-t', 'overlay', '-o', options.join(','), source, target];
  try {
    // From 2.39 on, mount(8) would use fsconfig(2) with its 256 bytes a value.
    const env = { LIBMOUNT_FORCE_MOUNT2: 'always' };
    await exec('mount', args, { op, cwd: folder, subject: source, env });
  } catch (error) {
    const said = stderrOf(error);
    if (said === '') throw error;
    throw refused(overlay, op, said.trim(), error);
  }
  return true;
}

/** The kernel makes folders in the work folder; what is free there is told by who knows all that fills up. */
const noRoom = ({ source, folder, work }: OverlayMount, op: string, cause: unknown) =>
  recoverable('no_space', `cannot mount the overlay: no room in ${folder}/${work}`, {
    op,
    subject: source,
    cause,
  });

const refused = (overlay: OverlayMount, op: string, said: string, cause: unknown) =>
  isErrno(cause, 'EPERM') || /permission denied|not permitted/i.test(said)
    ? unrecoverable('permission', `not allowed to mount an overlay: ${said}`, {
        op,
        subject: overlay.source,
        hint: 'run as root, or use --driver copy',
        cause,
      })
    : unrecoverable('driver_failed', `cannot mount the overlay: ${said}`, {
        op,
        subject: overlay.source,
        hint: 'the kernel log (dmesg) may say more',
        cause,
      });
