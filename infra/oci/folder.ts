import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { join } from 'node:path';
import { pending, unrecoverable } from '#core/errors';
import type { LayoutSource } from '#core/source';
import { errnoOf, fileError } from '../durable.ts';
import { missingHint } from '../net/failures.ts';
import type { ObjectRange, RangeRequest, Waiting } from '../object-source.ts';
import type { LayoutFiles } from './layout.ts';

const chunkBytes = 1024 * 1024;

/** The small files of a layout in a folder. */
export const folderFiles = ({ path }: LayoutSource): LayoutFiles => ({
  subject: `oci:${path}`,
  keyOf: (name) => name,
  async read(name, maxBytes, { signal }) {
    await using file = await openRegular(join(path, name));
    signal?.throwIfAborted();
    const { size } = await file.stat();
    if (size > maxBytes)
      throw unrecoverable('limit_exceeded', `the file is larger than ${maxBytes} bytes`, {
        subject: join(path, name),
      });
    return file.readFile();
  },
});

/** A blob of a layout in a folder, from `start` on. A file has no version: its digest says whether it is right. */
export async function openFolderRange(
  { path }: LayoutSource,
  { key, start }: RangeRequest,
  { signal }: Waiting = {},
): Promise<ObjectRange> {
  const full = join(path, key);
  const file = await openRegular(full);
  const { size } = await file.stat();
  return { etag: '', size, start, body: chunks(file, { full, start, signal }) };
}

interface Reading {
  full: string;
  start: number;
  signal: AbortSignal | undefined;
}

async function* chunks(file: FileHandle, { full, start, signal }: Reading): AsyncGenerator<Buffer, void> {
  try {
    for (let position = start; ; ) {
      signal?.throwIfAborted();
      const { bytesRead, buffer } = await file
        .read(Buffer.allocUnsafe(chunkBytes), 0, chunkBytes, position)
        .catch((error: unknown) => {
          throw fileError(error, 'read', full);
        });
      if (bytesRead === 0) return;
      position += bytesRead;
      yield buffer.subarray(0, bytesRead);
    }
  } finally {
    await file.close();
  }
}

/** Opens a regular file and nothing else: reading a FIFO would wait for ever. Links are followed: tools make layouts of them. */
async function openRegular(path: string): Promise<FileHandle> {
  let file: FileHandle;
  try {
    file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY);
  } catch (error) {
    if (['ENOENT', 'ENOTDIR'].includes(errnoOf(error)))
      throw pending('object_missing', 'the file is not there', {
        subject: path,
        hint: missingHint,
        cause: error,
      });
    throw fileError(error, 'open', path);
  }
  if ((await file.stat()).isFile()) return file;
  await file.close();
  throw unrecoverable('source_invalid', 'this is no regular file', {
    subject: path,
    hint: 'is this a layout?',
  });
}
