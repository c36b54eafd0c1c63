import { statfs } from 'node:fs/promises';
import { dirname } from 'node:path';
import { errnoOf, fileError } from '../durable.ts';
import type { Space } from './driver.ts';

/** Free and total bytes and inodes of the file system that holds `path` (or its nearest existing parent). Bytes are those that this process may use. */
export async function spaceOf(path: string): Promise<Space[]> {
  const fs = await statfsNear(path);
  const rows: Space[] = [
    { what: `bytes of ${path}`, free: fs.bavail * fs.bsize, total: fs.blocks * fs.bsize, unit: 'bytes' },
  ];
  // btrfs and others make inodes as needed and report none.
  if (fs.files > 0) rows.push({ what: `inodes of ${path}`, free: fs.ffree, total: fs.files, unit: 'inodes' });
  return rows;
}

async function statfsNear(path: string) {
  for (let at = path; ; at = dirname(at)) {
    try {
      return await statfs(at);
    } catch (error) {
      if (errnoOf(error) !== 'ENOENT' || at === dirname(at)) throw fileError(error, 'look at', path);
    }
  }
}

/** Magic numbers of statfs(2) (include/uapi/linux/magic.h). */
const magics: Readonly<Record<number, { name: string; network?: true; noUpper?: true; reflink?: true }>> = {
  2035054128: { name: 'overlayfs', noUpper: true },
  26985: { name: 'NFS', network: true },
  20859: { name: 'SMB', network: true },
  4266872130: { name: 'SMB2', network: true },
  4283649346: { name: 'CIFS', network: true },
  16914839: { name: '9p', network: true },
  12805120: { name: 'Ceph', network: true },
  1397113167: { name: 'AFS', network: true },
  198183888: { name: 'Lustre', network: true },
  1937076805: { name: 'Coda', network: true },
  1702057286: { name: 'FUSE', noUpper: true },
  19780: { name: 'FAT', noUpper: true },
  61791: { name: 'eCryptfs', noUpper: true },
  2435016766: { name: 'btrfs', reflink: true },
  1481003842: { name: 'xfs', reflink: true },
};

export interface FileSystemKind {
  /** For people; empty when it is none that matters here. */
  name: string;
  network: boolean;
  /** Whether overlayfs can write on it. */
  canBeUpper: boolean;
  /** Whether files can share blocks there (xfs: unless it was made without). */
  reflink: boolean;
}

/** What is known of the file system that holds `path` (or its nearest existing parent). */
export async function fileSystemOf(path: string): Promise<FileSystemKind> {
  const { type } = await statfsNear(path);
  const known = magics[type >>> 0] ?? { name: '' };
  const network = known.network === true;
  return {
    name: known.name,
    network,
    canBeUpper: !network && known.noUpper !== true,
    reflink: known.reflink === true,
  };
}
