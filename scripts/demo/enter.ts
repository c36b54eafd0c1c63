import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { findCommand } from '#infra/exec';

/** Where the sample program is, inside its root file system. */
const node = '/usr/local/bin/node';
const program = '/app/main.cjs';

export interface Entered {
  /** How it was run, for people. */
  how: string;
  status: number | null;
  output: string;
}

/**
 * Runs the sample program of a root file system, as far from this machine as this user may put it. Its
 * privileges are dropped by the host's own tools, before anything of the image runs.
 */
export function enter(rootfs: string, isRoot: boolean): Entered {
  const apart = isRoot ? asRoot(rootfs) : asUser(rootfs);
  if (apart !== null) {
    const entered = run(apart);
    if (entered.status === 0 || isRoot) return entered;
  }
  return run(byLoader(rootfs));
}

interface Way {
  how: string;
  command: string;
  args: string[];
}

const namespaces = ['--mount', '--uts', '--ipc', '--net', '--pid', '--fork', '--kill-child'];
/** What is left is what chroot itself needs; it ends with the change to another user, and never comes back. */
const dropped = (kept: string[]): string[] => [
  '--no-new-privs',
  '--inh-caps=-all',
  `--bounding-set=-all${kept.map((capability) => `,+${capability}`).join('')}`,
];

function asRoot(rootfs: string): Way {
  return {
    how: 'in its own mount, pid, network, ipc and uts namespaces, as nobody, without capabilities, with no_new_privs',
    command: 'unshare',
    args: [
      ...[...namespaces, `--mount-proc=${join(rootfs, 'proc')}`, '--'],
      ...['setpriv', ...dropped(['sys_chroot', 'setuid', 'setgid']), '--'],
      ...['chroot', '--userspec=65534:65534', '--groups=', rootfs, node, program],
    ],
  };
}

/** Root of a user namespace of one's own may do the same, where the kernel lets everybody make one. */
function asUser(rootfs: string): Way | null {
  if (findCommand('unshare') === null) return null;
  return {
    how: 'in namespaces of its own, a user namespace among them (no root needed), with no_new_privs',
    command: 'unshare',
    args: [
      ...['--map-root-user', ...namespaces, `--mount-proc=${join(rootfs, 'proc')}`, '--'],
      ...['setpriv', ...dropped(['sys_chroot']), '--'],
      ...['chroot', rootfs, node, program],
    ],
  };
}

/** Without any namespace: the image's own loader, libraries and Node, seen from outside. */
function byLoader(rootfs: string): Way {
  const folders = ['usr/lib64', 'usr/lib'].map((folder) => join(rootfs, folder)).filter(existsSync);
  const loader = folders
    .flatMap((folder) => readdirSync(folder).map((name) => join(folder, name)))
    .find((path) => /\/ld-linux[^/]*\.so\.\d+$/.test(path));
  const libraries = ['usr/lib/x86_64-linux-gnu', 'usr/lib/aarch64-linux-gnu', 'usr/lib64', 'usr/lib'].map(
    (folder) => join(rootfs, folder),
  );
  return {
    how: 'by the image’s own loader and libraries (this user may not make namespaces here, so it sees this machine)',
    command: loader ?? join(rootfs, node),
    args: [
      ...(loader === undefined ? [] : ['--library-path', libraries.join(':'), join(rootfs, node)]),
      join(rootfs, program),
    ],
  };
}

function run({ how, command, args }: Way): Entered {
  const file = findCommand(command);
  if (file === null) return { how, status: null, output: `${command} is not installed` };
  const { status, stdout, stderr } = spawnSync(file, args, {
    encoding: 'utf8',
    env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin' },
    cwd: '/',
  });
  return { how, status, output: `${stdout}${stderr}`.trimEnd() };
}
