import { existsSync, readFileSync } from 'node:fs';
import { release } from 'node:os';
import { findCommand } from '#infra/exec';
import { isPrivileged } from '#infra/volumes/privilege';
import { broken, type Finding, note, ok, warn } from './finding.ts';

const nodeMajorMin = 24;

export function checkNode(): Finding {
  const { version } = process;
  if (Number(process.versions.node.split('.')[0]) < nodeMajorMin)
    return broken('node', `${version} is too old`, 'npm install with optional dependencies: they bring Node');
  return ok('node', version);
}

/** syncfs(2) reports failed writes from 5.8 on; openat2(2) came with 5.6. */
const kernelMin = { major: 5, minor: 8 };

export function checkKernel(text = release()): Finding {
  const [major = 0, minor = 0] = text.split('.').map(Number);
  const old = major < kernelMin.major || (major === kernelMin.major && minor < kernelMin.minor);
  const wanted = `${kernelMin.major}.${kernelMin.minor}`;
  return old
    ? broken('kernel', `Linux ${text}; flyd needs ${wanted}`, `boot a kernel of ${wanted} or newer`)
    : ok('kernel', `Linux ${text}`);
}

export async function checkRoot(): Promise<Finding> {
  if (await isPrivileged()) return ok('root', 'root, with the capabilities to mount and to make devices');
  const says =
    process.geteuid?.() === 0
      ? 'root of a user namespace or without capabilities: only the copy driver works'
      : `uid ${process.geteuid?.() ?? '?'}: only the copy driver works; owners are recorded but not set, devices skipped`;
  return note('root', says, 'run as root');
}

export function checkUdev(): Finding {
  return existsSync('/run/udev/control')
    ? ok('udev', 'udevd runs')
    : note('udev', 'no udevd: device nodes are made by dmsetup itself');
}

/** What each driver needs of the host, and the Debian packages that bring it. */
const tools: readonly { driver: string; commands: readonly string[]; packages: string }[] = [
  { driver: 'copy', commands: ['cp', 'find', 'rm'], packages: 'coreutils findutils' },
  {
    driver: 'devmapper',
    commands: ['dmsetup', 'losetup', 'wipefs', 'blkdiscard', 'fstrim', 'mkfs.ext4', 'e2fsck', 'resize2fs'],
    packages: 'dmsetup mount util-linux e2fsprogs',
  },
  { driver: 'btrfs', commands: ['btrfs', 'mkfs.btrfs'], packages: 'btrfs-progs' },
  {
    driver: 'devmapper',
    commands: ['thin_ls', 'thin_check', 'thin_dump'],
    packages: 'thin-provisioning-tools',
  },
];

export function checkTools(): Finding[] {
  return tools.map(({ driver, commands, packages }) => {
    const check = `tools ${commands[0]}`;
    const missing = commands.filter((command) => findCommand(command) === null);
    if (missing.length === 0) return ok(check, `${commands.join(', ')} for the ${driver} driver`);
    const says = `${missing.join(', ')} not installed, for the ${driver} driver`;
    const fix = `apt-get install ${packages}`;
    return driver === 'copy' ? broken(check, says, fix) : note(check, says, fix);
  });
}

/** `lastSeen`: the newest instant in the database, in ms since 1970. Signed requests need the time within 15 minutes. */
export function checkClock(lastSeen: number | null, now = Date.now()): Finding {
  const fix = 'timedatectl set-ntp true';
  if (lastSeen !== null && lastSeen > now + 1000)
    return warn('clock', `the clock was ${Math.round((lastSeen - now) / 1000)} s further before`, fix);
  const synchronised = existsSync('/run/systemd/timesync/synchronized') || chronySynchronised();
  return synchronised
    ? ok('clock', `${new Date(now).toISOString()}, synchronised`)
    : note('clock', `${new Date(now).toISOString()}; nothing here says that it is synchronised`, fix);
}

function chronySynchronised(): boolean {
  try {
    return readFileSync('/run/chrony/chronyd.pid', 'utf8') !== '';
  } catch {
    return false;
  }
}
