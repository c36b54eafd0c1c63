import { execFileSync, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { serve } from './run.ts';

/** The way between what is measured and its server. */
export interface Line {
  /** The server's address. */
  host: string;
  /** In front of the server's command line. */
  inside: readonly string[];
  /** Bits a second; null where nothing limits them. */
  rate: number | null;
  note: string;
  /** Watches what comes in, until `stop` gives the bytes and the seconds from the first to the last. */
  watch(): Promise<() => { bytes: number; seconds: number } | null>;
  close(): Promise<void>;
}

/** Loopback: as fast as the machine. */
export const loopback: Line = {
  host: '127.0.0.1',
  inside: [],
  rate: null,
  note: 'over loopback',
  watch: async () => () => null,
  close: async () => undefined,
};

const space = 'flyd-bench';
const [here, there] = ['flydbench0', 'flydbench1'];
const [ownAddress, host] = ['10.213.77.1', '10.213.77.2'];

/**
 * A line of so many ms (there and back) and bits a second to a network namespace of its own: two virtual
 * interfaces with tc-netem(8). A kernel without netem gets two TUN devices and a process in between that
 * does the same (`wire.ts`). Needs root.
 */
export async function slowLine(rttMs: number, rate: number): Promise<Line> {
  remove();
  run('ip', 'netns', 'add', space);
  const closeWire = layNetem(rttMs, rate) ? async () => undefined : await layTun(rttMs, rate);
  run('ip', 'address', 'add', `${ownAddress}/30`, 'dev', here);
  run('ip', 'link', 'set', here, 'up');
  inSpace('ip', 'address', 'add', `${host}/30`, 'dev', there);
  inSpace('ip', 'link', 'set', there, 'up');
  inSpace('ip', 'link', 'set', 'lo', 'up');
  const kind = spawnSync('tc', ['qdisc', 'show', 'dev', here], { encoding: 'utf8' }).stdout;
  const by = kind.includes('netem') ? 'netem' : 'TUN devices (this kernel has no netem)';
  return {
    host,
    inside: ['ip', 'netns', 'exec', space],
    rate,
    note: `over a line of ${rttMs} ms and ${rate / 1e6} Mbit/s, by ${by}`,
    watch: () => watchInterface(here),
    async close() {
      await closeWire();
      remove();
    },
  };
}

function layNetem(rttMs: number, rate: number): boolean {
  run('ip', 'link', 'add', here, 'type', 'veth', 'peer', 'name', there);
  run('ip', 'link', 'set', there, 'netns', space);
  const shape = ['netem', 'delay', `${rttMs / 2}ms`, 'rate', `${rate}`, 'limit', '20000'];
  const { status } = spawnSync('tc', ['qdisc', 'add', 'dev', here, 'root', ...shape]);
  if (status === 0) inSpace('tc', 'qdisc', 'add', 'dev', there, 'root', ...shape);
  else run('ip', 'link', 'delete', here);
  return status === 0;
}

async function layTun(rttMs: number, rate: number): Promise<() => Promise<void>> {
  const script = fileURLToPath(new URL('wire.ts', import.meta.url));
  // A wire is always on time: before everything else on the machine, where that may be asked for.
  const first = spawnSync('chrt', ['--fifo', '10', 'true']).status === 0 ? ['chrt', '--fifo', '10'] : [];
  const [command = '', ...args] = [
    ...first,
    process.execPath,
    script,
    here,
    there,
    `${rttMs / 2}`,
    `${rate}`,
  ];
  const wire = await serve(command, args);
  run('ip', 'link', 'set', there, 'netns', space);
  return wire.stop;
}

function remove(): void {
  spawnSync('ip', ['netns', 'delete', space]);
  spawnSync('ip', ['link', 'delete', here]);
}

const run = (command: string, ...args: string[]): void =>
  void execFileSync(command, args, { stdio: ['ignore', 'ignore', 'inherit'] });
const inSpace = (...args: string[]): void => run('ip', 'netns', 'exec', space, ...args);

/** What else comes in is a few packets: a sample with less is none. */
const sampleBytes = 16 * 1024;

async function watchInterface(name: string): Promise<() => { bytes: number; seconds: number }> {
  const path = `/sys/class/net/${name}/statistics/rx_bytes`;
  const seen = new Float64Array(new SharedArrayBuffer(16));
  const worker = new Worker(
    `const { workerData: { path, seen, sampleBytes } } = require('node:worker_threads');
     const { readFileSync } = require('node:fs');
     let before = Number(readFileSync(path, 'utf8'));
     setInterval(() => {
       const bytes = Number(readFileSync(path, 'utf8'));
       if (bytes - before < sampleBytes) return;
       before = bytes;
       seen[1] = Date.now();
       if (seen[0] === 0) seen[0] = seen[1] - 10;
     }, 10);`,
    { eval: true, workerData: { path, seen, sampleBytes } },
  );
  await new Promise((done) => worker.once('online', done));
  const before = Number(readFileSync(path, 'utf8'));
  return () => {
    void worker.terminate();
    const [first = 0, last = 0] = seen;
    return { bytes: Number(readFileSync(path, 'utf8')) - before, seconds: (last - first) / 1000 };
  };
}
