import { createHash, randomBytes } from 'node:crypto';
import { type FileHandle, mkdir, open, readFile, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { errnoOf, unlinkDurably, writeDurably } from '../durable.ts';
import type { Stat } from '../sys.ts';
import type { ChecksumName } from './checksums.ts';
import type { ObjectVersion } from './conditions.ts';
import { S3Error } from './errors.ts';
import { openTree, type Tree } from './tree.ts';

/**
 * Buckets as folders, objects as files. What a file cannot say of its object (headers, checksums, the
 * ETag of a multipart upload) is in `<dir>/.flyd-s3/meta/<inode>-<size>-<mtime>.json`: named by the
 * version of the file, so that it is written before the file gets its name, and means nothing any
 * more once somebody edits the file.
 */
export interface Store {
  tree: Tree;
  /** Where uploads in progress are; made on first use. */
  uploadsDir(): Promise<string>;
  bucketExists(bucket: string): boolean;
  buckets(): string[];
  find(bucket: string, key: string): Promise<FoundObject | null>;
  /** The facts of a file that `find` or a listing has seen, its ETag computed if it must be. */
  versionOf(path: string, stat: Stat): Promise<ObjectVersion>;
  /** A file to write an object into, that nobody sees yet. */
  createTemp(): Promise<TempFile>;
  /** Gives a synced temp file its name, after `check` has seen what is there now; one writer per object at a time. */
  publish(
    temp: TempFile,
    place: ObjectPlace,
    meta: ObjectMeta,
    check: (now: ObjectVersion | null) => void,
  ): Promise<void>;
  remove(place: ObjectPlace): Promise<void>;
  close(): void;
}

export interface ObjectPlace {
  bucket: string;
  key: string;
}

export interface FoundObject {
  file: FileHandle;
  size: number;
  version: ObjectVersion;
  meta: ObjectMeta | null;
}

export interface ObjectMeta {
  /** Without quotes. */
  etag: string;
  /** Headers to give back: content-type, cache-control, x-amz-meta-*, ... */
  headers: Record<string, string>;
  checksum: { name: ChecksumName; value: string; type: 'FULL_OBJECT' | 'COMPOSITE' } | null;
}

export interface TempFile {
  path: string;
  file: FileHandle;
}

export const privateFolder = '.flyd-s3';
const etagsMax = 100_000;
/** Two changes of a file within one tick of the kernel's clock have one mtime: such a fresh ETag is not kept. */
const settledMs = 100;

export async function openStore(dir: string): Promise<Store> {
  const tree = openTree(dir);
  const etags = new Map<string, Promise<string>>();
  const writing = new Map<string, Promise<void>>();
  const metaPath = (stat: Stat) => join(dir, privateFolder, 'meta', `${versionName(stat)}.json`);

  async function subfolder(name: string): Promise<string> {
    const path = join(dir, privateFolder, name);
    await mkdir(path, { recursive: true, mode: 0o700 });
    return path;
  }

  async function readMeta(stat: Stat): Promise<ObjectMeta | null> {
    try {
      return JSON.parse(await readFile(metaPath(stat), 'utf8')) as ObjectMeta;
    } catch (error) {
      if (errnoOf(error) === 'ENOENT') return null;
      throw error;
    }
  }

  async function etagOf(stat: Stat, open: () => Promise<FileHandle | null>): Promise<string> {
    const name = versionName(stat);
    const known = etags.get(name);
    if (known !== undefined) return known;
    const computing = (async () => (await readMeta(stat))?.etag ?? (await md5Of(open, stat.size)))();
    remember(name, computing);
    computing
      .then(() => void (Date.now() - modifiedMsOf(stat) < settledMs && etags.delete(name)))
      .catch(() => void etags.delete(name));
    return computing;
  }

  function remember(name: string, etag: Promise<string>): void {
    etags.set(name, etag);
    const [oldest] = etags.keys();
    if (etags.size > etagsMax && oldest !== undefined) etags.delete(oldest);
  }

  async function find(bucket: string, key: string): Promise<FoundObject | null> {
    const found = isFileKey(key) ? await tree.openFile(`${bucket}/${key}`) : null;
    if (found === null) return null;
    const { file, stat } = found;
    try {
      const etag = await etagOf(stat, async () => file);
      const version = { etag, modifiedMs: modifiedMsOf(stat) };
      return { file, size: stat.size, version, meta: await readMeta(stat) };
    } catch (error) {
      await file.close();
      throw error;
    }
  }

  async function versionOf(path: string, stat: Stat): Promise<ObjectVersion> {
    let opened: FileHandle | null = null;
    try {
      const etag = await etagOf(stat, async () => (opened = (await tree.openFile(path))?.file ?? null));
      return { etag, modifiedMs: modifiedMsOf(stat) };
    } finally {
      await (opened as FileHandle | null)?.close();
    }
  }

  async function publish(
    temp: TempFile,
    { bucket, key }: ObjectPlace,
    meta: ObjectMeta,
    check: (now: ObjectVersion | null) => void,
  ): Promise<void> {
    const path = `${bucket}/${key}`;
    await oneAtATime(writing, path, async () => {
      const before = tree.stat(path);
      check(before === null ? null : await versionOf(path, before));
      const tempStat = tree.stat(`${privateFolder}/tmp/${temp.path.slice(temp.path.lastIndexOf('/') + 1)}`);
      if (tempStat === null) throw new Error(`the temp file ${temp.path} is gone`);
      await subfolder('meta');
      await writeDurably(metaPath(tempStat), JSON.stringify(meta));
      remember(versionName(tempStat), Promise.resolve(meta.etag));
      await tree.put(temp.path, path);
      if (before !== null) await unlinkDurably(metaPath(before));
    });
  }

  return {
    tree,
    uploadsDir: () => subfolder('uploads'),
    bucketExists: (bucket) => isBucketName(bucket) && tree.isDirectory(bucket),
    buckets: () =>
      tree
        .entries('')
        .filter(({ kind, name }) => kind === 'directory' && isBucketName(name))
        .map(({ name }) => name),
    find,
    versionOf,
    async createTemp() {
      const path = join(await subfolder('tmp'), `${randomBytes(12).toString('hex')}`);
      return { path, file: await open(path, 'wx+', 0o644) };
    },
    publish,
    async remove({ bucket, key }) {
      const path = `${bucket}/${key}`;
      await oneAtATime(writing, path, async () => {
        const before = tree.stat(path);
        await tree.remove(path);
        if (before !== null) await unlinkDurably(metaPath(before)).catch(() => undefined); // no folder, no file
      });
    },
    close: () => tree.close(),
  };
}

/** Closes and removes a temp file that did not become an object. */
export async function dropTemp(temp: TempFile): Promise<void> {
  await temp.file.close();
  await unlink(temp.path).catch(() => undefined); // gone when it was published
}

/** Runs the jobs of one name one after the other. */
export async function oneAtATime<T>(
  running: Map<string, Promise<void>>,
  name: string,
  job: () => Promise<T>,
): Promise<T> {
  const before = running.get(name) ?? Promise.resolve();
  const result = before.then(job);
  const settled = result.then(
    () => undefined,
    () => undefined,
  );
  running.set(name, settled);
  try {
    return await result;
  } finally {
    if (running.get(name) === settled) running.delete(name);
  }
}

/** Names that S3 gives buckets ("Bucket naming rules"), which are also safe names of folders. */
export const isBucketName = (name: string): boolean =>
  /^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/.test(name) && !name.includes('..');

/** Whether a key can be the path of a file: parts between slashes that are names. */
export const isFileKey = (key: string): boolean =>
  !key.includes('\0') && key.split('/').every((part) => part !== '' && part !== '.' && part !== '..');

/** Refuses a key for writing: `KeyTooLongError`, or `InvalidArgument` where S3 could store it and files cannot. */
export function checkNewKey(key: string): void {
  if (Buffer.byteLength(key) > 1024) throw new S3Error('KeyTooLongError', 'Your key is too long');
  if (!isFileKey(key))
    throw new S3Error(
      'InvalidArgument',
      'This server keeps objects as files: a key has no empty, . or .. part.',
    );
}

const versionName = ({ ino, size, mtimeSec, mtimeNsec }: Stat): string =>
  `${ino}-${size}-${mtimeSec}.${mtimeNsec}`;

export const modifiedMsOf = ({ mtimeSec, mtimeNsec }: Stat): number =>
  Number(mtimeSec) * 1000 + Math.floor(mtimeNsec / 1e6);

/** The ETag that S3 gives an object that was put in one piece. */
async function md5Of(open: () => Promise<FileHandle | null>, size: number): Promise<string> {
  const file = await open();
  if (file === null) throw new S3Error('NoSuchKey', 'The specified key does not exist.');
  const hash = createHash('md5');
  const buffer = Buffer.allocUnsafe(Math.max(1, Math.min(size, 1024 * 1024)));
  for (let position = 0; ; ) {
    const { bytesRead } = await file.read(buffer, 0, buffer.length, position);
    if (bytesRead === 0) return hash.digest('hex');
    hash.update(buffer.subarray(0, bytesRead));
    position += bytesRead;
  }
}
