import { execFileSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const listed = fileURLToPath(new URL('peers', import.meta.url));

/** Installs the packages of the peers, exactly as listed, into a folder of the bench; runs none of their scripts. */
export function installPeers(into: string): void {
  mkdirSync(into, { recursive: true });
  for (const name of ['package.json', 'package-lock.json'])
    copyFileSync(join(listed, name), join(into, name));
  execFileSync('npm', ['ci', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'], {
    cwd: into,
    stdio: 'inherit',
  });
}

/** The version of a peer's package; null when it is not installed. */
export function peerVersion(peers: string, name: string): string | null {
  const path = join(peers, 'node_modules', name, 'package.json');
  return existsSync(path) ? (JSON.parse(readFileSync(path, 'utf8')) as { version: string }).version : null;
}

/** A module of a peer, of which the bench knows so much. */
export async function peerModule<Module>(peers: string, name: string): Promise<Module> {
  const { resolve } = createRequire(join(peers, 'package.json'));
  return (await import(pathToFileURL(resolve(name)).href)) as Module;
}
