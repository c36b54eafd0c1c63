import { readFile, stat } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { recoverable, unrecoverable } from '#core/errors';
import { errnoOf, fileError } from '../durable.ts';
import { type Exec, stderrOf } from '../exec.ts';
import { deviceText } from '../holders.ts';
import { exists } from './folders.ts';

/** A loop device as losetup(8) lists it. */
export interface LoopDevice {
  /** `/dev/loopN`. */
  path: string;
  /** Inode and device (`major:minor`) of the file behind it: its name may be cut or gone. */
  ino: string;
  dev: string;
}

const columns = 'NAME,BACK-INO,BACK-MAJ:MIN';
const timeoutMs = 30_000;
const attachAttempts = 20;

/** Reads `losetup --list --json`; numbers come as text or as numbers, by version. No device: an empty text. */
export function parseLoops(text: string): LoopDevice[] {
  if (text.trim() === '') return [];
  const listed: unknown = (JSON.parse(text) as { loopdevices?: unknown }).loopdevices;
  if (!Array.isArray(listed)) return [];
  return listed.flatMap((row: Record<string, unknown>) =>
    typeof row.name === 'string'
      ? [{ path: row.name, ino: String(row['back-ino']), dev: String(row['back-maj:min']).trim() }]
      : [],
  );
}

/** Loop devices over files, found by the file's inode, so that one file never gets two. */
export interface Loops {
  find(file: string, op: string): Promise<LoopDevice | null>;
  /** The loop device over the file: the one that is there, or a new one. The caller holds a lock against its own kind. */
  attach(file: string, op: string): Promise<LoopDevice>;
}

export function createLoops(exec: Exec): Loops {
  const findAll = async (file: string, op: string): Promise<LoopDevice[]> => {
    const { ino, dev } = await stat(file, { bigint: true }).catch((error: unknown) => {
      throw fileError(error, 'find', file);
    });
    const { stdout } = await exec('losetup', ['--list', '--json', '-O', columns], { op, timeoutMs });
    return parseLoops(stdout).filter((l) => l.ino === String(ino) && l.dev === deviceText(Number(dev)));
  };
  const find = async (file: string, op: string) => {
    const [found, second] = await findAll(file, op);
    if (second !== undefined)
      throw unrecoverable('driver_failed', `${file} has two loop devices: writing through both destroys it`, {
        op,
        subject: file,
        hint: 'flyd doctor --fix detaches the one that nothing stands on',
      });
    return found ?? null;
  };

  const attach = async (file: string, op: string): Promise<LoopDevice> => {
    // losetup -f and the attachment are two steps: another process of the host may take the device between.
    for (let attempt = 1; ; attempt += 1) {
      const found = await find(file, op);
      if (found !== null) return found;
      try {
        await exec('losetup', ['--find', '--nooverlap', file], { op, subject: file, timeoutMs });
      } catch (error) {
        const taken = /Device or resource busy/.test(stderrOf(error));
        if (!taken || attempt >= attachAttempts) throw loopFailed(error, file, op);
        await sleep(20 + Math.random() * 80);
      }
      if (attempt > attachAttempts)
        throw recoverable('driver_failed', `no loop device appeared for ${file}`, { op, subject: file });
    }
  };

  return {
    find,
    async attach(file, op) {
      if (!(await exists('/dev/loop-control')))
        await exec('modprobe', ['loop'], { op, timeoutMs }).catch(() => undefined); // losetup says what is missing
      const loop = await attach(file, op);
      await avoidDoubleCache(loop, exec, op);
      return loop;
    },
  };
}

/** Direct I/O keeps the data out of the page cache a second time; where the file system cannot, it works without. */
async function avoidDoubleCache({ path }: LoopDevice, exec: Exec, op: string): Promise<void> {
  const state = `/sys/block/${path.slice('/dev/'.length)}/loop/dio`;
  const dio = await readFile(state, 'utf8').catch((error: unknown) => errnoOf(error));
  if (dio.trim() !== '0') return;
  await exec('losetup', ['--direct-io=on', path], { op, subject: path, timeoutMs }).catch(() => undefined);
}

function loopFailed(error: unknown, file: string, op: string) {
  const said = stderrOf(error).trim();
  if (said === '') return error;
  return recoverable('driver_failed', `cannot attach ${file}: ${said}`, {
    op,
    subject: file,
    hint: 'is the loop module there (modprobe loop), and a free /dev/loopN?',
    cause: error,
  });
}
