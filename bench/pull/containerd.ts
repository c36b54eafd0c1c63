import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { timed, versionOf } from './run.ts';
import type { Subject } from './subjects.ts';

/** containerd of a folder, over a registry on loopback; `unpacks`: layers that it may unpack side by side. */
export function containerdSubject(folder: string, image: string, unpacks: number): Subject | null {
  const daemon = join(folder, 'containerd');
  const version = existsSync(daemon) ? versionOf(daemon, '--version') : null;
  if (version === null) return null;
  return {
    name: unpacks > 1 ? `containerd overlayfs, ${unpacks} unpacks at once` : 'containerd overlayfs',
    version,
    async pull(work) {
      const socket = join(work, 'sock');
      const config = join(work, 'config.toml');
      mkdirSync(work, { recursive: true });
      writeFileSync(config, configOf(work, socket, unpacks));
      const child = spawn(daemon, ['--config', config], { stdio: 'ignore' });
      const ended = new Promise<void>((done) => child.once('exit', () => done()));
      const ctr = `${join(folder, 'ctr')} --address ${socket} --namespace bench`;
      try {
        await answering(join(folder, 'ctr'), socket);
        const tree = join(work, 'mnt');
        mkdirSync(tree);
        const taken = timed(
          `${ctr} images pull --plain-http --snapshotter overlayfs ${image}
           ${ctr} images mount --rw --snapshotter overlayfs ${image} ${tree}
           sync --file-system ${work}`,
        );
        return {
          seconds: taken.seconds,
          // ctr's own figures say nothing: the daemon does the work.
          cpuSeconds: null,
          peakMiB: null,
          tree,
          note: 'keeps the compressed layers',
        };
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

const configOf = (work: string, socket: string, unpacks: number): string => `
version = 2
root = "${join(work, 'root')}"
state = "${join(work, 'state')}"
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.cri.v1.images", "io.containerd.cri.v1.runtime", "io.containerd.nri.v1.nri"]
[grpc]
  address = "${socket}"
[plugins."io.containerd.transfer.v1.local"]
  max_concurrent_unpacks = ${unpacks}
`;

async function answering(ctr: string, socket: string): Promise<void> {
  for (let tries = 0; tries < 100; tries++) {
    if (spawnSync(ctr, ['--address', socket, 'version'], { stdio: 'ignore' }).status === 0) return;
    await sleep(100);
  }
  throw new Error('containerd does not answer');
}
