import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { buildLayout } from '../../test/support/oci/build.ts';

const imageId = (n: number): string => `img-${n.toString(16).padStart(16, '0')}`;

/** An OCI image of one small layer in `folder`, to be pulled; gives how `flyd pull` names it. */
export function smallImage(folder: string): string {
  mkdirSync(folder);
  const layout = buildLayout(folder);
  const entries = [{ type: 'file' as const, name: 'name', content: 'small' }];
  layout.tag(layout.image({ layers: [{ entries }] }).descriptor, 'latest');
  return `oci:${folder}:latest`;
}

/**
 * The command lines that are timed in one round over a crowd of at least 1,000 images, in their order: some
 * undo what others did. `pulled` is an image that is there. Left out is what
 * - takes as long as what it moves: a pull that downloads, a gc or rm of many, `db backup`, `db restore` and
 *   `machines check`, which copy the database;
 * - goes on until it is ended: `inspect`, `s3 serve`, `runs watch` and `runs wait`;
 * - moves a live run, as `resume` does, and ends when that does: `runs retry`, `fork`, `send`, `cancel`, `kill`.
 */
export const commandsOf = (
  round: number,
  { pulled, folder }: { pulled: string; folder: string },
): Readonly<Record<string, readonly string[]>> => ({
  images: ['images'],
  'images --json': ['images', '--json'],
  'images show': ['images', 'show', imageId(500)],
  blobs: ['blobs'],
  'blobs --json': ['blobs', '--json'],
  activations: ['activations'],
  runs: ['runs'],
  'runs --live': ['runs', '--live'],
  'runs show': ['runs', 'show', 'BENCH-77'],
  'runs events': ['runs', 'events', 'BENCH-77'],
  'runs export': ['runs', 'export', 'BENCH-77', '--out', join(folder, 'run.html')],
  'runs purge': ['runs', 'purge', `BENCH-${100 + round}`],
  pin: ['pin', imageId(500)],
  unpin: ['unpin', imageId(500)],
  'pull of what is there': ['pull', pulled, '--no-activate', '--driver', 'copy'],
  activate: ['activate', imageId(500), '--name', 'bench'],
  deactivate: ['deactivate', 'bench'],
  'rm of an image': ['rm', imageId(900 + round)],
  'gc with nothing to do': ['gc'],
  'gc --max-bytes': ['gc', '--max-bytes', '1TiB'],
  resume: ['resume'],
  doctor: ['doctor'],
  'doctor --verify': ['doctor', '--verify'],
  'doctor --fix': ['doctor', '--fix'],
  'db kept': ['db', 'kept'],
  machines: ['machines'],
  settings: ['settings'],
});
