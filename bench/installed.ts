import { cpSync, mkdirSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';

/**
 * Lays the built package out below `folder` as npm installs it, with the libraries of the checkout. The path
 * of its command. The checkout at `root` is built.
 */
export function installed(root: string, folder: string): string {
  const place = join(folder, 'installed');
  mkdirSync(place);
  for (const name of ['bin', 'dist', 'package.json'])
    cpSync(join(root, name), join(place, name), { recursive: true });
  symlinkSync(join(root, 'node_modules'), join(place, 'node_modules'));
  return join(place, 'bin/flyd');
}
