import { stat } from 'node:fs/promises';
import { unrecoverable } from '#core/errors';
import { mountAt, readMounts } from '../mountinfo.ts';
import { bindMount, hasFlags, makePrivate, setFlags } from '../mounts.ts';
import type { ActivationSpec } from './driver.ts';

/** Binds the activation's folder at the mount point, or sees that it is bound there; then the flags. Fails with `driver_failed` when something else is mounted there. */
export async function bindAt(
  point: string,
  source: string,
  activation: Pick<ActivationSpec, 'id' | 'readOnly' | 'suid' | 'dev'>,
  op: string,
): Promise<void> {
  const { readOnly, suid, dev } = activation;
  const flags = { readOnly, suid, dev };
  const mounted = mountAt(await readMounts(), point);
  if (mounted === null) {
    bindMount(source, point, flags);
    return;
  }
  const [wanted, found] = [await stat(source), await stat(point)];
  if (wanted.dev !== found.dev || wanted.ino !== found.ino)
    throw unrecoverable('driver_failed', `something else is mounted at ${point}: ${mounted.source}`, {
      op,
      subject: activation.id,
      hint: `umount ${point}`,
    });
  makePrivate(point); // a call that was killed may have stopped before this
  if (!hasFlags(mounted, flags)) setFlags(point, flags);
}
