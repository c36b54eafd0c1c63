import { rmSync, writeFileSync } from 'node:fs';
import { constants } from 'node:os';

/**
 * Whether so many bytes could be written beside the database at `path`: null, or `ENOSPC` or `EDQUOT`. Tried, because
 * statfs(2) knows nothing of quotas. What else is wrong there is not told.
 */
export function refusedRoom(path: string, bytes: number): 'ENOSPC' | 'EDQUOT' | null {
  const trial = `${path}-room`;
  try {
    writeFileSync(trial, Buffer.alloc(bytes), { mode: 0o600 });
    return null;
  } catch (error) {
    // By number: libuv has no name for EDQUOT.
    const { errno } = error as NodeJS.ErrnoException;
    if (errno === -constants.errno.EDQUOT) return 'EDQUOT';
    return errno === -constants.errno.ENOSPC ? 'ENOSPC' : null;
  } finally {
    remove(trial);
  }
}

function remove(trial: string): void {
  try {
    rmSync(trial, { force: true });
  } catch {
    // Where nothing may be removed nothing was written.
  }
}
