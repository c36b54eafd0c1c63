import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';

/** The Debian package that brings a command that tests run. */
const packages: Readonly<Record<string, string>> = {
  chromium: 'chromium',
  e2fsck: 'e2fsprogs',
  'docker-registry': 'docker-registry',
  filefrag: 'e2fsprogs',
  getfattr: 'attr',
  'mkfs.btrfs': 'btrfs-progs',
  ip: 'iproute2',
  losetup: 'mount',
  mmdebstrap: 'mmdebstrap',
  mount: 'mount',
  setcap: 'libcap2-bin',
  setfattr: 'attr',
  skopeo: 'skopeo',
  strace: 'strace',
  thin_check: 'thin-provisioning-tools',
  umoci: 'umoci',
  zstd: 'zstd',
};

const has = (command: string): boolean =>
  spawnSync('sh', ['-c', `PATH=$PATH:/usr/sbin:/sbin; command -v ${command}`], { stdio: 'ignore' }).status ===
  0;

const kernelFileSystems: readonly string[] = ['overlay', 'erofs', 'btrfs'];

function problemOf(need: string): string | null {
  if (need === 'root') return process.getuid?.() === 0 ? null : 'needs root: run the tests as root';
  if (kernelFileSystems.includes(need)) {
    const known = new RegExp(`\\t${need}$`, 'm').test(readFileSync('/proc/filesystems', 'utf8'));
    const loadable = known || spawnSync('modprobe', [need], { stdio: 'ignore' }).status === 0;
    return loadable ? null : `the kernel has no ${need}: modprobe ${need}, or another kernel`;
  }
  return has(need) ? null : `needs ${need}: apt-get install ${packages[need] ?? need}`;
}

/**
 * Why a test cannot run here and how to enable it, or null when it can. `needs` are names of commands,
 * `root`, `overlay`, `erofs` and `btrfs` (of the kernel).
 */
export function whyNot(needs: readonly string[]): string | null {
  const problems = needs.map(problemOf).filter((problem) => problem !== null);
  return problems.length === 0 ? null : problems.join('; ');
}
