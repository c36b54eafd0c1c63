import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process';
import { chownSync, closeSync, existsSync, mkdirSync, openSync, readdirSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { RestateServer } from './subjects/restate.ts';

/** A peer's server, as the bench runs it: on loopback, in a folder of its own. */
export interface Server {
  /** As its subject wants it: `Surroundings.server`. */
  server: string;
  pid: number;
  /** Ends it, and waits for its end. */
  stop(): Promise<void>;
}

/** The words that a command line begins with where it is to be watched; none where it is not. */
export type Watching = readonly string[];

/** The folder of PostgreSQL's own commands, newest first; null where Debian's package is not installed. */
export function postgresFolder(): string | null {
  const versions = existsSync('/usr/lib/postgresql') ? readdirSync('/usr/lib/postgresql') : [];
  const folders = versions
    .sort((a, b) => Number(b) - Number(a))
    .map((version) => `/usr/lib/postgresql/${version}/bin`);
  return folders.find((folder) => existsSync(join(folder, 'postgres'))) ?? null;
}

/** PostgreSQL with the settings that it is shipped with: fsync and synchronous_commit are on. */
export async function startPostgres(bin: string, folder: string, watching: Watching): Promise<Server> {
  // It refuses to run as root.
  const user = process.getuid?.() === 0 ? userNamed('postgres') : null;
  const as = user === null ? {} : { uid: user.uid, gid: user.gid };
  const data = join(folder, 'data');
  mkdirSync(data, { recursive: true, mode: 0o700 });
  for (const owned of [folder, data]) if (user !== null) chownSync(owned, user.uid, user.gid);
  const init = ['-D', data, '-U', 'bench', '-A', 'trust', '-E', 'UTF8', '--no-locale'];
  const made = spawnSync(join(bin, 'initdb'), init, { ...as, cwd: folder, encoding: 'utf8' });
  if (made.status !== 0)
    throw new Error(
      `initdb: ${made.stderr ?? made.error?.message}\n(its user must be able to enter the folder: try --work)`,
    );
  const port = await freePort();
  const options = ['-D', data, '-p', String(port), '-h', '127.0.0.1', '-k', ''];
  const child = launch([...watching, join(bin, 'postgres'), ...options], join(folder, 'log'), as);
  await answering(child, () => {
    const asked = ['-q', '-h', '127.0.0.1', '-p', String(port), '-U', 'bench'];
    return spawnSync(join(bin, 'pg_isready'), asked).status === 0;
  });
  const server = `postgresql://bench@127.0.0.1:${port}/bench`;
  // SIGINT: it ends its connections and shuts down in order.
  return { server, pid: child.pid ?? 0, stop: () => ended(child, 'SIGINT') };
}

function userNamed(name: string): { uid: number; gid: number } {
  const id = (flag: string): number => Number(execFileSync('id', [flag, name], { encoding: 'utf8' }));
  return { uid: id('-u'), gid: id('-g') };
}

/** Restate's server with the settings that it is shipped with, but for its addresses. */
export async function startRestate(peers: string, folder: string, watching: Watching): Promise<Server> {
  const program = join(
    peers,
    `node_modules/@restatedev/restate-server-linux-${process.arch}/bin/restate-server`,
  );
  const [node, ingress, admin] = [await freePort(), await freePort(), await freePort()];
  mkdirSync(folder, { recursive: true });
  const config = join(folder, 'restate.toml');
  writeFileSync(
    config,
    [
      'disable-telemetry = true',
      'listen-mode = "tcp"',
      'log-filter = "warn"',
      `base-dir = "${join(folder, 'data')}"`,
      `bind-address = "127.0.0.1:${node}"`,
      `advertised-address = "http://127.0.0.1:${node}"`,
      '[admin]',
      `bind-address = "127.0.0.1:${admin}"`,
      '[ingress]',
      `bind-address = "127.0.0.1:${ingress}"`,
      '',
    ].join('\n'),
  );
  const command = [...watching, program, '--no-logo', '--config-file', config];
  const child = launch(command, join(folder, 'log'), {});
  const places: RestateServer = {
    ingress: `http://127.0.0.1:${ingress}`,
    admin: `http://127.0.0.1:${admin}`,
  };
  await answering(child, async () => {
    const answers = await Promise.all(
      [`${places.admin}/health`, `${places.ingress}/restate/health`].map(isOk),
    );
    return answers.every(Boolean);
  });
  return { server: JSON.stringify(places), pid: child.pid ?? 0, stop: () => ended(child, 'SIGTERM') };
}

const isOk = (url: string): Promise<boolean> =>
  fetch(url).then(
    ({ ok }) => ok,
    () => false,
  );

function launch(
  [program = '', ...args]: string[],
  log: string,
  as: { uid?: number; gid?: number },
): ChildProcess {
  const out = openSync(log, 'a');
  const child = spawn(program, args, { ...as, cwd: join(log, '..'), stdio: ['ignore', out, out] });
  closeSync(out);
  const kill = (): void => void child.kill('SIGKILL');
  // Before what empties its folder.
  process.prependOnceListener('exit', kill);
  child.once('exit', () => process.off('exit', kill));
  return child;
}

async function answering(child: ChildProcess, ask: () => boolean | Promise<boolean>): Promise<void> {
  for (let tries = 0; tries < 300; tries++) {
    if (child.exitCode !== null) throw new Error(`${child.spawnfile} ended with ${child.exitCode}`);
    if (await ask()) return;
    await sleep(100);
  }
  child.kill('SIGKILL');
  throw new Error(`${child.spawnfile} does not answer`);
}

async function ended(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (child.exitCode !== null) return;
  const over = new Promise<void>((done) => child.once('exit', () => done()));
  child.kill(signal);
  const forced = setTimeout(() => child.kill('SIGKILL'), 20_000);
  await over;
  clearTimeout(forced);
}

/** A port on loopback that nobody uses at this moment. */
function freePort(): Promise<number> {
  return new Promise((done, fail) => {
    const probe = createServer();
    probe.once('error', fail);
    probe.listen(0, '127.0.0.1', () => {
      const address = probe.address();
      probe.close(() => done(typeof address === 'object' && address !== null ? address.port : 0));
    });
  });
}
