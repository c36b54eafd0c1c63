import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { copiesOf, findShell, foldersAbove, librariesOf, mergedPath } from './families/host-files.ts';
import { type Entry, type Layer, writeLayer } from './families/layer.ts';

// The sample families: small root filesystems whose program truly runs, put together from files of this
// machine. They have what images have: a whiteout, an opaque folder, hard links, symlinks, set-uid.

export interface SampleFamily {
  name: string;
  layers: readonly Layer[];
}

const app = (name: string): string =>
  readFileSync(fileURLToPath(new URL(`./families/${name}.cjs`, import.meta.url)), 'utf8');

/** Two families that share their first two layers. `node`: the Node binary that runs their programs. */
export function sampleFamilies(node: string): SampleFamily[] {
  const shared = [baseLayer(node), runtimeLayer(node)];
  return [
    { name: 'hello', layers: [...shared, appLayer(app('hello')), configLayer('hello')] },
    { name: 'counter', layers: [...shared, appLayer(app('counter')), configLayer('counter')] },
  ];
}

/** Folders and links that every Linux program expects, a shell, and the libraries. */
function baseLayer(node: string): Layer {
  const shell = findShell();
  const files = [...librariesOf(node), ...(shell === null ? [] : [shell, ...librariesOf(shell)])];
  const links: Entry[] = ['bin', 'sbin', 'lib', 'lib64'].map((name) => ({
    type: 'symlink',
    path: name,
    to: `usr/${name}`,
  }));
  const folders: Entry[] = [
    'usr',
    'usr/bin',
    'usr/sbin',
    'usr/lib',
    'usr/lib64',
    'etc',
    'dev',
    'proc',
    'sys',
    'run',
  ]
    .concat(['root', 'var', 'var/cache', 'var/cache/app'])
    .map((path) => ({ type: 'folder', path }));
  const copies = copiesOf(files).filter(
    (entry) => entry.type !== 'folder' || !folders.some(({ path }) => path === entry.path),
  );
  const sh: Entry[] =
    shell === null || mergedPath(shell) === 'usr/bin/sh'
      ? []
      : [{ type: 'symlink', path: 'usr/bin/sh', to: `/${mergedPath(shell)}` }];
  return {
    name: '000-base.tar.gz',
    entries: [
      ...folders,
      { type: 'folder', path: 'tmp', mode: 0o1777 },
      ...links,
      ...copies,
      ...sh,
      {
        type: 'file',
        path: 'etc/passwd',
        content: 'root:x:0:0::/root:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\n',
      },
      { type: 'file', path: 'etc/motd', content: 'A lower layer wrote this, and a higher one removes it.\n' },
      { type: 'file', path: 'var/cache/app/stale', content: 'hidden by the opaque folder above\n' },
      { type: 'file', path: 'usr/bin/elevate', content: '#!/bin/sh\nid\n', mode: 0o4755 },
    ],
  };
}

function runtimeLayer(node: string): Layer {
  const path = 'usr/local/bin/node';
  return {
    name: '001-node.tar.gz',
    entries: [
      ...foldersAbove([path]),
      { type: 'file', path, content: { of: node }, mode: 0o755 },
      { type: 'symlink', path: 'usr/local/bin/nodejs', to: 'node' },
    ],
  };
}

function appLayer(source: string): Layer {
  return {
    name: '002-app.tar.zst',
    entries: [
      { type: 'whiteout', path: 'etc/motd' },
      { type: 'folder', path: 'var/cache/app' },
      { type: 'opaque', path: 'var/cache/app' },
      { type: 'file', path: 'var/cache/app/fresh', content: 'of this layer\n' },
      { type: 'folder', path: 'app' },
      { type: 'file', path: 'app/main.cjs', content: source },
      { type: 'link', path: 'app/same-file.cjs', to: 'app/main.cjs' },
      { type: 'symlink', path: 'app/current', to: '../app/main.cjs' },
      { type: 'folder', path: 'app/data', mode: 0o1777 },
    ],
  };
}

/** It names no folder: app/ keeps the mode and time that the layer below gave it. */
const configLayer = (greets: string): Layer => ({
  name: '003-config.tar',
  entries: [{ type: 'file', path: 'app/config.json', content: `${JSON.stringify({ family: greets })}\n` }],
});

/**
 * Puts the families into a bucket folder, `<bucket>/<family>/<layer>`. Layers that two families share are
 * the same bytes. What is there from an earlier call, of the same files, stays. Gives the bytes of all.
 */
export async function writeFamilies(bucket: string, families: readonly SampleFamily[]): Promise<number> {
  const stamp = join(bucket, '..', 'families.json');
  const wanted = JSON.stringify(families.map(stampOf));
  const paths = families.flatMap(({ name, layers }) => layers.map((layer) => join(bucket, name, layer.name)));
  if (readOrNull(stamp) !== wanted) {
    const built = new Map<Layer, Buffer | null>();
    for (const { name, layers } of families)
      for (const layer of layers) {
        const path = join(bucket, name, layer.name);
        mkdirSync(dirname(path), { recursive: true });
        const before = built.get(layer);
        if (before === undefined || before === null) await writeLayer(path, layer);
        else writeFileSync(path, before);
        built.set(layer, readFileSync(path));
      }
    for (const family of families) writeManifest(bucket, family);
    writeFileSync(stamp, wanted);
  }
  return paths.reduce((sum, path) => sum + statSync(path).size, 0);
}

/** Names the layers with their digests: so a layer that is there already is known without a download. */
function writeManifest(bucket: string, { name, layers }: SampleFamily): void {
  const listed = layers.map((layer) => {
    const bytes = readFileSync(join(bucket, name, layer.name));
    const digest = `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
    return { name: layer.name, size: bytes.length, digest };
  });
  writeFileSync(join(bucket, name, 'manifest.json'), `${JSON.stringify({ layers: listed }, null, 2)}\n`);
}

/** What a family is made of, so that a change of this machine's files is seen. */
function stampOf({ name, layers }: SampleFamily) {
  return {
    name,
    layers: layers.map((layer) => ({ name: layer.name, entries: layer.entries.map(entryStamp) })),
  };
}

function entryStamp(entry: Entry): unknown {
  if (entry.type !== 'file' || typeof entry.content === 'string') return entry;
  const { size, mtimeMs } = statSync(entry.content.of);
  return { ...entry, size, mtimeMs };
}

function readOrNull(path: string): string | null {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return null;
  }
}
