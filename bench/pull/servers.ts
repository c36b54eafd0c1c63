import { createHash, randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { pinned } from './cores.ts';
import type { Forms } from './forms.ts';
import type { Line } from './line.ts';
import { serve, timed } from './run.ts';

/** The two servers of the same bytes, on the far side of the line. */
export interface Servers {
  endpoint: string;
  /** What a client of the S3 server must say, and have in its environment. */
  access: string;
  keys: Readonly<Record<string, string>>;
  registry: string;
  /** How fast each is read by curl. */
  speeds: string;
  stop(): Promise<void>;
}

export interface Serving {
  root: string;
  forms: Forms;
  line: Line;
  cores: string | null;
}

/** Starts flyd's own S3 server for flyd, and a registry for the others: both send files as they are. */
export async function startServers({ root, forms, line, cores }: Serving): Promise<Servers> {
  const start = (...args: string[]) => {
    const [command = '', ...rest] = [...line.inside, ...pinned(cores, process.execPath, ...args)];
    return serve(command, rest);
  };
  // Beyond loopback the S3 server wants signed requests.
  const [id, secret] = ['bench', randomBytes(8).toString('hex')];
  const isNear = line.rate === null;
  const needed = isNear ? [] : ['--access-key', id, '--secret-key', secret];
  const flyd = join(root, 'dist/bundle/main.js');
  const s3 = await start(flyd, 's3', 'serve', forms.s3, '--port', '0', '--host', line.host, ...needed);
  const peers = await start(join(root, 'bench/pull/registry.ts'), forms.layout, line.host);
  const stop = async (): Promise<void> => {
    await s3.stop();
    await peers.stop();
  };
  const endpoint = /http:\/\/[^\s"]+/.exec(s3.line)?.[0] ?? '';
  const registry = `${line.host}:${peers.line}`;
  try {
    return {
      endpoint,
      access: isNear ? '--anonymous' : '--insecure',
      keys: isNear ? {} : { AWS_ACCESS_KEY_ID: id, AWS_SECRET_ACCESS_KEY: secret },
      registry,
      speeds: isNear ? speeds(endpoint, registry, forms) : 'both as fast as the line',
      stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** Proof that neither side is served worse: one layer from each. */
function speeds(endpoint: string, registry: string, forms: Forms): string {
  const layer = forms.layersOf('golang').at(-2) ?? '';
  const bytes = readFileSync(layer);
  const digest = createHash('sha256').update(bytes).digest('hex');
  const speed = (url: string): number => {
    const fetch = () => timed(`curl -sf -o /dev/null ${url}`);
    fetch(); // a server that has just started is slower
    const { seconds } = fetch();
    return Math.round(bytes.length / seconds / 1e6);
  };
  const s3 = speed(`${endpoint}/images/golang/${basename(layer)}`);
  const other = speed(`http://${registry}/v2/bench/golang/blobs/sha256:${digest}`);
  return `one layer by curl: from the S3 server ${s3} MB/s, from the registry ${other} MB/s`;
}
