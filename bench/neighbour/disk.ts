import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';

/**
 * A file system of the bench's own in a file, so that all that is dirty on it is known. The file's blocks are written
 * once and kept, so that later rounds cost the file system below it nothing. Needs root.
 */
export function ownDisk(folder: string, gib: number): { point: string; fresh: () => void } {
  const image = join(folder, 'disk');
  const point = join(folder, 'mnt');
  mkdirSync(point, { recursive: true });
  if (!existsSync(image)) execFileSync('fallocate', ['-l', `${gib}G`, image]);
  const loop = execFileSync('losetup', ['--find', '--show', '--direct-io=on', image], {
    encoding: 'utf8',
  }).trim();
  let mounted = false;
  function unmount(...how: string[]): void {
    if (mounted) execFileSync('umount', ['--recursive', ...how, point]);
    mounted = false;
  }
  // However the bench ends, and whoever still writes there.
  process.once('exit', () => {
    unmount('--lazy');
    execFileSync('losetup', ['--detach', loop]);
    rmSync(image);
  });
  return {
    point,
    fresh() {
      unmount();
      const lazy = 'lazy_itable_init=0,lazy_journal_init=0,nodiscard';
      execFileSync('mkfs.ext4', ['-q', '-F', '-N', '400000', '-E', lazy, loop]);
      execFileSync('mount', [loop, point]);
      mounted = true;
    },
  };
}
