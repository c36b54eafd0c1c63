import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { pinned } from './cores.ts';
import { timed, versionOf } from './run.ts';
import { named, type Places, type Subject, type Task } from './subjects.ts';

/** How a containerd is set up; what is not said is its default. */
export interface Kind {
  snapshotter: 'overlayfs' | 'erofs';
  /** Layers unpacked side by side: from containerd 2.2 on. */
  unpacks?: number;
  /** Bytes of the ranges that one layer is fetched in. */
  rangeBytes?: number;
}

export interface Peer {
  /** With containerd and ctr. */
  folder: string;
  /** A folder with an mkfs.erofs that reads archives (erofs-utils 1.7 and newer), in front of PATH. */
  erofsUtils: string | null;
}

/** containerd of a folder, over a registry; or why there is nothing to compare with. */
export function containerdSubject(peer: Peer, places: Places, kind: Kind, task: Task): Subject | string {
  const { folder, erofsUtils } = peer;
  const daemon = join(folder, 'containerd');
  const name = named(`containerd ${nameOf(kind)}`, task);
  const version = existsSync(daemon) ? versionOf(daemon, '--version') : null;
  if (version === null) return `${name}: absent (give --containerd DIR with containerd and ctr)`;
  const [major = 0, minor = 0] = version.split('.').map(Number);
  const atLeast = (wanted: number): boolean => major > 2 || (major === 2 && minor >= wanted);
  if (kind.unpacks !== undefined && !atLeast(2)) return `${name}: containerd ${version} cannot (2.2 can)`;
  if (kind.rangeBytes !== undefined && !atLeast(1)) return `${name}: containerd ${version} cannot (2.1 can)`;
  const env: Record<string, string> = {};
  if (kind.snapshotter === 'erofs') {
    if (!atLeast(1)) return `${name}: containerd ${version} has no such snapshotter (2.1 has)`;
    if (erofsUtils !== null) env.PATH = `${erofsUtils}:${process.env.PATH}`;
    const help = spawnSync('mkfs.erofs', ['--help'], { encoding: 'utf8', env: { ...process.env, ...env } });
    if (!`${help.stdout}${help.stderr}`.includes('--tar'))
      return `${name}: mkfs.erofs reads no archives (give --erofs-utils DIR with 1.7 or newer)`;
  }
  const image = `${places.registry}/bench/${task.family}:${task.family}`;
  return {
    name,
    version,
    fetches: true,
    async pull(work) {
      const socket = join(work, 'sock');
      const config = join(work, 'config.toml');
      mkdirSync(work, { recursive: true });
      writeFileSync(config, configOf(work, socket, kind));
      const [command = '', ...args] = pinned(places.cores, daemon, '--config', config);
      const child = spawn(command, args, { stdio: 'ignore', env: { ...process.env, ...env } });
      const ended = new Promise<void>((done) => child.once('exit', () => done()));
      const ctr = `${join(folder, 'ctr')} --address ${socket} --namespace bench`;
      try {
        await answering(join(folder, 'ctr'), socket);
        const tree = join(work, 'mnt');
        mkdirSync(tree);
        const pull = `${ctr} images pull --plain-http --snapshotter ${kind.snapshotter}`;
        const mount = `${ctr} images mount --rw --snapshotter ${kind.snapshotter}`;
        const taken = timed(`${pull} ${image}\n${mount} ${image} ${tree}\nsync --file-system ${work}`, {
          cores: places.cores,
        });
        const note = 'keeps the compressed layers; memory is the daemon alone';
        return { seconds: taken.seconds, ...spentBy(child.pid ?? 0), tree, note };
      } catch (error) {
        child.kill('SIGKILL');
        throw error;
      } finally {
        child.kill('SIGTERM');
        await ended;
      }
    },
  };
}

function nameOf({ snapshotter, unpacks, rangeBytes }: Kind): string {
  const unpacking = unpacks === undefined ? '' : `, ${unpacks} unpacks at once`;
  const ranges = rangeBytes === undefined ? '' : `, ranges of ${rangeBytes / 2 ** 20} MiB`;
  return `${snapshotter}${unpacking}${ranges}`;
}

const configOf = (work: string, socket: string, { snapshotter, unpacks, rangeBytes }: Kind): string => `
version = 3
root = "${join(work, 'root')}"
state = "${join(work, 'state')}"
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.cri.v1.images", "io.containerd.cri.v1.runtime", "io.containerd.nri.v1.nri"]
[grpc]
  address = "${socket}"
[plugins."io.containerd.service.v1.diff-service"]
  default = [${snapshotter === 'erofs' ? '"erofs", ' : ''}"walking"]
[plugins."io.containerd.transfer.v1.local"]
${unpacks === undefined ? '' : `  max_concurrent_unpacks = ${unpacks}`}
${rangeBytes === undefined ? '' : `  concurrent_layer_fetch_buffer = ${rangeBytes}\n  max_concurrent_downloads = 8`}
${
  snapshotter === 'erofs'
    ? `[[plugins."io.containerd.transfer.v1.local".unpack_config]]
  differ = "erofs"
  platform = "linux/${process.arch === 'x64' ? 'amd64' : process.arch}"
  snapshotter = "erofs"`
    : ''
}
`;

/** Of a daemon and the commands that it has waited for: proc_pid_stat(5), in ticks of 10 ms. */
function spentBy(pid: number): { cpuSeconds: number; peakMiB: number } {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const ticks = fields.slice(11, 15).reduce((sum, field) => sum + Number(field), 0);
  const peak = /VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
  return { cpuSeconds: ticks / 100, peakMiB: Number(peak) / 1024 };
}

async function answering(ctr: string, socket: string): Promise<void> {
  for (let tries = 0; tries < 100; tries++) {
    if (spawnSync(ctr, ['--address', socket, 'version'], { stdio: 'ignore' }).status === 0) return;
    await sleep(100);
  }
  throw new Error('containerd does not answer');
}
