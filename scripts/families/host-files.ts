import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { posix } from 'node:path';
import type { Entry } from './layer.ts';

/** The paths of the shared libraries that a program needs, its loader among them, as the loader itself finds them. */
export function librariesOf(program: string): string[] {
  const { stdout, error } = spawnSync(program, [], {
    env: { LD_TRACE_LOADED_OBJECTS: '1', PATH: '/usr/bin:/bin' },
    stdio: ['ignore', 'pipe', 'ignore'],
    encoding: 'utf8',
  });
  if (error !== undefined) throw error;
  return [...stdout.matchAll(/(?:=> |^\s+)(\/\S+) \(0x/gm)].map((match) => match[1] ?? '').filter(existsSync);
}

/** Where a file of the host goes in an image whose /bin and /lib are links into /usr. */
export const mergedPath = (path: string): string =>
  /^\/(s?bin|lib\w*)\//.test(path) ? `usr${path}` : path.slice(1);

/** Files of the host with the folders that they need, each once; libraries keep the mode of programs. */
export function copiesOf(paths: readonly string[]): Entry[] {
  const unique = [...new Set(paths.map(mergedPath))].map((path) => ({
    path,
    from: paths.find((candidate) => mergedPath(candidate) === path) ?? '',
  }));
  const folders = foldersAbove(unique.map(({ path }) => path));
  return [
    ...folders,
    ...unique.map(({ path, from }): Entry => ({ type: 'file', path, content: { of: from }, mode: 0o755 })),
  ];
}

/** Entries for every folder above these paths, from the top down. */
export function foldersAbove(paths: readonly string[]): Entry[] {
  const folders = new Set<string>();
  for (const path of paths)
    for (let at = posix.dirname(path); at !== '.'; at = posix.dirname(at)) folders.add(at);
  return [...folders].sort().map((path): Entry => ({ type: 'folder', path }));
}

/** A shell of this machine, or null. */
export const findShell = (): string | null =>
  ['/bin/dash', '/bin/sh', '/bin/bash'].find((path) => existsSync(path)) ?? null;
