import { spawn, spawnSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';

/** Debian's docker-registry on loopback, with its data in `folder`. */
export interface RealRegistry {
  /** `127.0.0.1:port` */
  host: string;
  /** Puts an image of a layout there by skopeo, as it is or with the types of Docker's schema 2. */
  push(layout: string, tag: string, name: string, format?: 'oci' | 'v2s2'): void;
  close(): Promise<void>;
}

export async function startRealRegistry(folder: string): Promise<RealRegistry> {
  const host = `127.0.0.1:${await freePort()}`;
  const data = join(folder, 'registry');
  mkdirSync(data);
  const config = join(folder, 'registry.yml');
  writeFileSync(
    config,
    JSON.stringify({
      version: 0.1,
      log: { level: 'error' },
      storage: { filesystem: { rootdirectory: data } },
      http: { addr: host },
    }),
  );
  const child = spawn('docker-registry', ['serve', config], { stdio: ['ignore', 'ignore', 'pipe'] });
  let said = '';
  child.stderr.on('data', (text: Buffer) => {
    said += text.toString();
  });
  const ended = new Promise<void>((resolve) => child.once('close', () => resolve()));
  const close = async (): Promise<void> => {
    child.kill('SIGKILL');
    await ended;
  };
  try {
    await answering(host, () => (child.exitCode === null ? null : said));
  } catch (error) {
    await close();
    throw error;
  }
  return {
    host,
    push(layout, tag, name, format = 'oci') {
      const from = `oci:${layout}:${tag}`;
      const to = `docker://${host}/${name}`;
      const args = [
        '--insecure-policy',
        'copy',
        '--quiet',
        '--format',
        format,
        '--dest-tls-verify=false',
        from,
        to,
      ];
      const { status, stderr, error } = spawnSync('skopeo', args, { encoding: 'utf8' });
      if (status !== 0) throw new Error(`skopeo copy: ${error?.message ?? stderr}`);
    },
    close,
  };
}

/** A port that was free a moment ago. */
function freePort(): Promise<number> {
  const server = createServer();
  return new Promise((resolve) =>
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      server.close(() => resolve(typeof address === 'object' && address !== null ? address.port : 0));
    }),
  );
}

async function answering(host: string, dead: () => string | null): Promise<void> {
  for (let tries = 0; ; tries++) {
    const why = dead();
    if (why !== null) throw new Error(`docker-registry ended: ${why}`);
    const answer = await fetch(`http://${host}/v2/`).catch(() => null);
    if (answer?.ok === true) return;
    if (tries > 600) throw new Error('docker-registry does not answer');
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
