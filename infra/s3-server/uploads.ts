import { randomBytes } from 'node:crypto';
import { mkdir, open, readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { errnoOf, renameDurably, syncDir, unlinkDurably, writeDurably } from '../durable.ts';
import type { ChecksumName } from './checksums.ts';
import { S3Error } from './errors.ts';
import { oneAtATime, type TempFile } from './store.ts';

/**
 * Multipart uploads in progress: a folder each, with `upload.json`, and for each part its bytes under
 * a random name and `part-<n>.json`, which says where they are: a part that is sent again replaces
 * the old one in one rename.
 */
export interface Upload {
  id: string;
  bucket: string;
  key: string;
  initiatedMs: number;
  headers: Record<string, string>;
  checksum: { name: ChecksumName; type: 'FULL_OBJECT' | 'COMPOSITE' } | null;
}

export interface Part {
  number: number;
  size: number;
  /** In hex: also its ETag. */
  md5: string;
  checksum: { name: ChecksumName; value: string } | null;
  modifiedMs: number;
  /** The file with its bytes, in the upload's folder. */
  data: string;
}

export interface Uploads {
  create(upload: Omit<Upload, 'id' | 'initiatedMs'>): Promise<Upload>;
  /** Throws NoSuchUpload unless it is an upload of this bucket and key. */
  get(id: string, bucket: string, key: string): Promise<Upload>;
  /** All uploads of a bucket, by key and then by the time they began. */
  list(bucket: string): Promise<Upload[]>;
  /** By number. */
  parts(id: string): Promise<Part[]>;
  putPart(id: string, temp: TempFile, part: Omit<Part, 'data'>): Promise<void>;
  pathOf(id: string, part: Part): string;
  remove(id: string): Promise<void>;
}

export function openUploads(uploadsDir: () => Promise<string>): Uploads {
  const writing = new Map<string, Promise<void>>();
  let root = '';
  const ready = async () => {
    root = await uploadsDir();
    return root;
  };

  async function load(id: string): Promise<Upload | null> {
    if (!/^[0-9a-f]{44}$/.test(id)) return null;
    try {
      return JSON.parse(await readFile(join(await ready(), id, 'upload.json'), 'utf8')) as Upload;
    } catch (error) {
      if (errnoOf(error) === 'ENOENT') return null;
      throw error;
    }
  }

  async function parts(id: string): Promise<Part[]> {
    const dir = join(await ready(), id);
    const found: Part[] = [];
    for (const name of await readdir(dir).catch(() => [])) {
      if (/^part-\d{5}\.json$/.test(name))
        found.push(JSON.parse(await readFile(join(dir, name), 'utf8')) as Part);
    }
    return found.sort((a, b) => a.number - b.number);
  }

  return {
    async create(wanted) {
      const initiatedMs = Date.now();
      // Ids grow with time: the order of a listing and of its marker are one.
      const id = initiatedMs.toString(16).padStart(12, '0') + randomBytes(16).toString('hex');
      const upload: Upload = { ...wanted, id, initiatedMs };
      const dir = join(await ready(), id);
      await mkdir(dir, { mode: 0o700 });
      await writeDurably(join(dir, 'upload.json'), JSON.stringify(upload));
      await syncDir(root);
      return upload;
    },
    async get(id, bucket, key) {
      const upload = await load(id);
      if (upload === null || upload.bucket !== bucket || upload.key !== key)
        throw new S3Error(
          'NoSuchUpload',
          'The specified upload does not exist. The upload ID may be invalid, or the upload may have been aborted or completed.',
        );
      return upload;
    },
    async list(bucket) {
      const uploads: Upload[] = [];
      for (const id of (await readdir(await ready())).sort()) {
        const upload = await load(id);
        if (upload?.bucket === bucket) uploads.push(upload);
      }
      return uploads.sort((a, b) => Buffer.compare(Buffer.from(a.key), Buffer.from(b.key))); // stable: ids stay in order
    },
    parts,
    putPart: (id, temp, part) =>
      oneAtATime(writing, id, async () => {
        const dir = join(await ready(), id);
        const path = join(dir, `part-${String(part.number).padStart(5, '0')}.json`);
        const old = await readFile(path, 'utf8').catch(() => null);
        const data = `${randomBytes(8).toString('hex')}.data`;
        try {
          await renameDurably(temp.path, join(dir, data));
        } catch (error) {
          await open(dir)
            .then((file) => file.close())
            .catch(() => {
              throw new S3Error('NoSuchUpload', 'The upload was aborted or completed.');
            });
          throw error;
        }
        await writeDurably(path, JSON.stringify({ ...part, data }));
        if (old !== null) await unlinkDurably(join(dir, (JSON.parse(old) as Part).data));
      }),
    pathOf: (id, part) => join(root, id, part.data),
    remove: (id) =>
      oneAtATime(writing, id, async () => {
        await rm(join(await ready(), id), { recursive: true, force: true });
      }),
  };
}
