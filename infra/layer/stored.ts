import fs from 'node:fs';

/** What is read of a layer as stored at a time. */
export const chunkBytes = 256 * 1024;

/** What is in a file, from its start. Each chunk is good until the next is asked for. */
export function* wholeFile(fd: number): Generator<Buffer, void> {
  const chunk = Buffer.allocUnsafe(chunkBytes);
  for (let at = 0; ; ) {
    const bytes = fs.readSync(fd, chunk, 0, chunkBytes, at);
    if (bytes === 0) return;
    at += bytes;
    yield chunk.subarray(0, bytes);
  }
}
