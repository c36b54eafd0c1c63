import { join } from 'node:path';
import { unrecoverable } from '#core/errors';
import { type Exec, stderrOf } from '../exec.ts';
import { mountsOfDevice, readMounts } from '../mountinfo.ts';
import { unmountAt } from '../mounts.ts';
import { createDm } from './dmsetup.ts';
import { errorsOf } from './filesystem.ts';
import { syncFileSystem } from './folders.ts';
import { readPoolRecord } from './pool-record.ts';
import { readThinRecord } from './thin-record.ts';

/** A mounted activation whose file system has met an error: a full pool, or a disk that failed. */
export interface Ailing {
  id: string;
  /** `/dev/mapper/...`. */
  device: string;
  fs: 'ext4' | 'xfs';
  mountPoint: string;
  /** It takes no writes any more. */
  readOnly: boolean;
}

const checkTimeoutMs = 60 * 60_000;

/**
 * The mounted activations of the state directory's pool whose file systems have met errors. Looks only, unless
 * `bySync`: an aborted journal shows when somebody writes, so each is asked to write out what it holds.
 */
export async function ailingActivations(
  stateDir: string,
  exec: Exec,
  { bySync = false } = {},
): Promise<Ailing[]> {
  const record = await readPoolRecord(join(stateDir, 'pool'));
  if (record === null) return [];
  const prefix = `flyd-${record.name}-`;
  const mounts = await readMounts();
  const found: Ailing[] = [];
  for (const { uuid, name, dev, readOnly: mapped } of await createDm({ exec }).list(`${prefix}act-`)) {
    const [mount] = mountsOfDevice(mounts, dev);
    const id = uuid.slice(prefix.length);
    const thin = await readThinRecord(join(stateDir, 'volumes/devmapper'), id);
    if (mount === undefined || thin === null) continue;
    const { errors, readOnly } = await errorsOf(thin.fs, mount);
    // What was mapped read-only was asked to be so.
    const isWell = errors === 0 && (!readOnly || mapped);
    const { mountPoint } = mount;
    if (isWell && (mapped || !bySync || (await writesOut(mountPoint, exec)))) continue;
    found.push({ id, device: `/dev/mapper/${name}`, fs: thin.fs, mountPoint, readOnly });
  }
  return found;
}

const writesOut = (mountPoint: string, exec: Exec): Promise<boolean> =>
  syncFileSystem(mountPoint, exec, 'store.repair').then(
    () => true,
    () => false,
  );

/**
 * Unmounts what ails and checks it: e2fsck(8) mends what it can without asking; xfs mends itself when it is
 * mounted. To mount it again is the restoration's. Gives what was done, in words. Fails with
 * `activation_busy` (a process is in it), `volume_damaged` (the check wants a person).
 */
export async function checkAiling(stateDir: string, exec: Exec): Promise<string[]> {
  const op = 'store.repair';
  const done: string[] = [];
  for (const { id, device, fs, mountPoint } of await ailingActivations(stateDir, exec, { bySync: true })) {
    await unmountAt(mountPoint, { exec, op, subject: id, busy: 'activation_busy' });
    if (fs === 'ext4') await checkExt4(id, device, exec);
    done.push(`checked the file system of ${id}, which had met errors`);
  }
  return done;
}

/** Exit codes of e2fsck(8): 0 clean, 1 mended; 4 and above left errors. */
async function checkExt4(id: string, device: string, exec: Exec): Promise<void> {
  const options = { op: 'store.repair', subject: device, timeoutMs: checkTimeoutMs, okCodes: [0, 1] };
  try {
    await exec('e2fsck', ['-f', '-p', device], options);
  } catch (error) {
    throw unrecoverable('volume_damaged', `e2fsck will not mend ${id} by itself: ${stderrOf(error).trim()}`, {
      op: 'store.repair',
      subject: id,
      hint: `e2fsck -f ${device}, then flyd resume; or let it go: flyd deactivate ${id}`,
      cause: error,
    });
  }
}
