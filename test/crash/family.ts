import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  chmodSync,
  chownSync,
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';

/** A family as it lies in the folder that the embedded server serves. */
export interface Family {
  /** The folder whose folders are buckets. */
  served: string;
  /** `--source` and family name. */
  source: string;
  name: string;
  layers: { key: string; size: number; hex: string }[];
}

export interface FamilyOptions {
  /** Small files in the lowest layer: what makes unpacking take its time. Default 40. */
  files?: number;
  /** Bytes of the one big file in the lowest layer. Default 400 kB. */
  bytes?: number;
  /** An extended attribute, as root: not every file system of temporary files takes one. Default true. */
  attributes?: boolean;
}

const isRoot = process.getuid?.() === 0;

/** Bytes that look random, do not compress, and are the same each time. */
function noise(bytes: number, seed: string): Buffer {
  const parts: Buffer[] = [];
  for (let n = 0; n * 32 < bytes; n++) parts.push(createHash('sha256').update(`${seed}${n}`).digest());
  return Buffer.concat(parts).subarray(0, bytes);
}

function run(command: string, ...args: string[]): void {
  const { status, stderr, error } = spawnSync(command, args, { encoding: 'utf8' });
  if (status !== 0) throw new Error(`${command} failed: ${error?.message ?? stderr}`);
}

/** A layer's files, by path; `null` is a folder. */
function write(folder: string, files: Record<string, string | Buffer | null>): void {
  for (const [path, content] of Object.entries(files)) {
    const full = join(folder, path);
    mkdirSync(content === null ? full : dirname(full), { recursive: true });
    if (content !== null) writeFileSync(full, content);
  }
}

function fillFirst(folder: string, { files = 40, bytes = 400_000, attributes = true }: FamilyOptions): void {
  write(folder, {
    'usr/bin/program': noise(20_000, 'program'),
    'usr/lib/big': noise(bytes, 'big'),
    'usr/share/doc/readme': 'to be removed\n',
    'usr/share/locale/de/x': 'hidden by an opaque folder\n',
    'etc/config': 'first\n',
    'etc/old': 'removed by the second layer\n',
    'srv/data/kept': 'kept\n',
    tmp: null,
  });
  for (let n = 0; n < files; n++)
    write(folder, { [`usr/share/many/${n % 7}/file-${n}`]: noise(300 + n, `${n}`) });
  linkSync(join(folder, 'usr/bin/program'), join(folder, 'usr/bin/same-program'));
  symlinkSync('usr/bin', join(folder, 'bin'));
  symlinkSync('../../nowhere', join(folder, 'srv/data/dangling'));
  run('truncate', '--size=1M', join(folder, 'srv/data/sparse'));
  run('mkfifo', join(folder, 'srv/fifo'));
  chmodSync(join(folder, 'tmp'), 0o1777);
  chmodSync(join(folder, 'usr/bin/program'), 0o4755);
  if (!isRoot) return;
  chownSync(join(folder, 'srv/data'), 1000, 100);
  chmodSync(join(folder, 'srv/data'), 0o2750);
  run('mknod', join(folder, 'srv/null'), 'c', '1', '3');
  if (attributes) run('setfattr', '-n', 'user.flyd', '-v', 'an attribute', join(folder, 'etc/config'));
}

function fillSecond(folder: string): void {
  write(folder, {
    'etc/.wh.old': '',
    'usr/share/.wh.doc': '',
    'usr/share/locale/.wh..wh..opq': '',
    'usr/share/locale/fr/y': 'seen\n',
    'usr/bin/tool': noise(60_000, 'tool'),
  });
}

function fillThird(folder: string): void {
  write(folder, { 'etc/config': 'third\n', 'app/main': noise(5_000, 'main'), 'srv/data/added': 'added\n' });
  linkSync(join(folder, 'app/main'), join(folder, 'app/again'));
}

/** A family that lies in a folder already: its files by name. */
export function familyIn(served: string, bucket: string, name: string): Family {
  const folder = join(served, bucket, name);
  const layers = readdirSync(folder)
    .sort()
    .map((file) => {
      const path = join(folder, file);
      const hex = createHash('sha256').update(readFileSync(path)).digest('hex');
      return { key: `${name}/${file}`, size: statSync(path).size, hex };
    });
  return { served, source: `s3://${bucket}/`, name, layers };
}

/** Makes the layers of a small family with every kind of entry in `folder`, by GNU tar: gzip, plain, zstd. */
export function makeFamily(folder: string, options: FamilyOptions = {}): Family {
  const name = 'sample';
  const bucket = join(folder, 'served', 'images');
  mkdirSync(join(bucket, name), { recursive: true });
  const recipes = [
    { file: '01-base.tar.gz', fill: (tree: string) => fillFirst(tree, options), flags: ['--gzip'] },
    { file: '02-tools.tar', fill: fillSecond, flags: [] },
    { file: '03-app.tar.zst', fill: fillThird, flags: ['--zstd'] },
  ];
  for (const { file, fill, flags } of recipes) {
    const tree = join(folder, 'tree');
    const path = join(bucket, name, file);
    mkdirSync(tree);
    fill(tree);
    run(
      'tar',
      ...flags,
      '--format=posix',
      '--numeric-owner',
      '--xattrs',
      '--sort=name',
      '-C',
      tree,
      '-cf',
      path,
      '.',
    );
    rmSync(tree, { recursive: true });
  }
  return familyIn(join(folder, 'served'), 'images', name);
}
