import fs from 'node:fs';
import { join } from 'node:path';
import v8 from 'node:v8';
import { AT_FDCWD, close, O_CLOEXEC, O_DIRECTORY, O_RDONLY, openat, syncfs } from '../sys.ts';
import type { Applied, ApplyLimits, ApplyTarget } from './apply.ts';
import { type Prepared, prepareLayer } from './prepare.ts';
import { settleLayer } from './settle.ts';
import type { BlockReader } from './source.ts';

/**
 * A layer that was unpacked while it was fetched, in a folder of its own: `rootfs/`, and beside it what is to
 * be known of it, as v8.serialize() writes it.
 */
const recordName = 'prepared';
export const treeName = 'rootfs';

/**
 * Makes a part of a layer's raw tar, in a folder where nothing is. It is on the disk at the end; its name is
 * not. Fails as `prepareLayer`, and with `system_call` when something could not be written.
 */
export function makeTreePart(
  blocks: BlockReader,
  folder: string,
  limits: ApplyLimits,
  onEntry: (entries: number) => void,
): void {
  const rootfs = join(folder, treeName);
  fs.mkdirSync(folder, { mode: 0o700 });
  fs.mkdirSync(rootfs);
  synced(folder, () => {
    const prepared = prepareLayer(blocks, rootfs, limits, onEntry);
    fs.writeFileSync(join(folder, recordName), v8.serialize(prepared), { flag: 'wx', mode: 0o600 });
  });
}

/**
 * Puts what is in `target.rootfs`, which came from the part in `folder`, onto the layers below; null as
 * `settleLayer`. All of it is on the disk afterwards.
 */
export function settleTreePart(folder: string, target: ApplyTarget, limits: ApplyLimits): Applied | null {
  const prepared = v8.deserialize(fs.readFileSync(join(folder, recordName))) as Prepared;
  return synced(target.rootfs, () => settleLayer(prepared, target, limits));
}

/** Opens the file system before the first write: only so it hears of every write that failed (syncfs(2), Linux 5.8). */
function synced<T>(folder: string, write: () => T): T {
  const watched = openat(AT_FDCWD, folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  try {
    const result = write();
    syncfs(watched);
    return result;
  } finally {
    close(watched);
  }
}
