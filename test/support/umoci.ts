import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import path from 'node:path';
import { writeOciLayout } from './oci-layout.ts';

/** Another implementation of the OCI image-spec's layers, to compare with. */
export interface Umoci {
  path: string;
  version: string;
}

/** Where scripts/setup-tests puts the newest one; Debian 12's own is older. */
const newest = '/usr/local/lib/flyd-tests/umoci';

/** The newest umoci on this machine, or null. */
export function findUmoci(): Umoci | null {
  for (const command of existsSync(newest) ? [newest, 'umoci'] : ['umoci']) {
    const { status, stdout } = spawnSync(command, ['--version'], { encoding: 'utf8' });
    const version = /version (\d+\.\d+\.\d+)/.exec(stdout ?? '')?.[1];
    if (status === 0 && version !== undefined) return { path: command, version };
  }
  return null;
}

/** Unpacks raw layers by umoci into `<folder>/rootfs`: that path, or the last line of what it complained of. */
export function unpackByUmoci(
  umoci: Umoci,
  layers: readonly Buffer[],
  folder: string,
): { rootfs: string } | { refused: string } {
  writeOciLayout(path.join(folder, 'oci'), 'image', layers);
  const rootfs = path.join(folder, 'rootfs');
  const args = ['raw', 'unpack', '--image', `${path.join(folder, 'oci')}:image`, rootfs];
  const { status, stderr } = spawnSync(umoci.path, args, { encoding: 'utf8' });
  return status === 0 ? { rootfs } : { refused: stderr.trim().split('\n').at(-1) ?? '' };
}
