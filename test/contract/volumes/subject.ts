import { execFileSync, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, realpathSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { createExec } from '#infra/exec';
import { readMounts } from '#infra/mountinfo';
import { mknodat, S_IFCHR } from '#infra/sys';
import type { ActivationSpec, DriverName, OpenVolume, VolumeDriver, VolumeSpec } from '#infra/volumes/driver';
import { createDrivers, type PoolOptions } from '#infra/volumes/index';
import type { OverlayMethod } from '#infra/volumes/overlay-mount';
import { fillVolume } from './image.ts';

const MiB = 1024 * 1024;

/** What a test of drivers works with: a state directory of its own and a driver over it. */
export interface Subject {
  driver: VolumeDriver;
  stateDir: string;
  mountRoot: string;
  /** Root: mounts, owners, devices. */
  privileged: boolean;
  volume(parent?: VolumeSpec | null): Promise<VolumeSpec>;
  activation(base: VolumeSpec, wishes?: Partial<ActivationSpec>): Promise<ActivationSpec>;
  /** create, open, fill, close. */
  sealed(parent: VolumeSpec | null, fill: (open: OpenVolume) => void): Promise<VolumeSpec>;
  /** The driver as a new process would have it. */
  restart(): Promise<void>;
  /** What a power cycle does to the host: no mount, no device, no loop is left. */
  reboot(): Promise<void>;
}

export interface SubjectOptions {
  overlayMethods?: readonly OverlayMethod[];
  pool?: PoolOptions;
}

/** Small, so that a guest whose disk is memory can hold it. */
export const testPool: PoolOptions = { dataBytes: 1024 * MiB, volumeBytes: 512 * MiB };

/** Whether the kernel has device-mapper, and this process could use it. */
export const hasDeviceMapper =
  process.getuid?.() === 0 && /\bdevice-mapper$/m.test(readFileSync('/proc/misc', 'utf8'));

export const newId = (kind: 'vol' | 'act'): string => `${kind}-${randomBytes(8).toString('hex')}`;

/** Makes a subject; everything that it mounted or made is gone after the test, passed or failed. */
export async function newSubject(
  t: TestContext,
  name: DriverName,
  options: SubjectOptions = {},
): Promise<Subject> {
  const root = realpathSync(mkdtempSync(join(tmpdir(), 'flyd-volumes-')));
  const stateDir = join(root, 'state');
  const mountRoot = join(root, 'mnt');
  mkdirSync(stateDir, { mode: 0o700 });
  mkdirSync(mountRoot, { mode: 0o700 });
  const exec = createExec();
  t.after(() => tearDown(root));

  const makeDriver = async () => {
    const { overlayMethods, pool = testPool } = options;
    const drivers = await createDrivers({ stateDir, exec, pool, overlayMethods });
    return drivers.byName[name];
  };
  const used = new Set<number>();
  const device = async () => {
    const chosen = await subject.driver.chooseDevice((number) => used.has(number));
    if (chosen !== null) used.add(chosen);
    return chosen;
  };

  const subject: Subject = {
    driver: await makeDriver(),
    stateDir,
    mountRoot,
    privileged: process.getuid?.() === 0,

    async volume(parent = null) {
      const sizeBytes = subject.driver.chooseSize(parent?.sizeBytes ?? null);
      return { id: newId('vol'), parent, device: await device(), sizeBytes };
    },

    async activation(base, wishes = {}) {
      const id = newId('act');
      return {
        id,
        base,
        device: await device(),
        sizeBytes: null,
        readOnly: false,
        suid: false,
        dev: false,
        owner: null,
        attach: 'mount',
        mountPoint: join(mountRoot, id),
        ...wishes,
      };
    },

    async sealed(parent, fill) {
      const volume = await subject.volume(parent);
      await subject.driver.create(volume);
      fillVolume(await subject.driver.open(volume), fill);
      await subject.driver.close(volume);
      return volume;
    },

    async restart() {
      subject.driver = await makeDriver();
    },

    async reboot() {
      await unmapEverything(root);
      await subject.restart();
    },
  };
  await subject.driver.ready();
  return subject;
}

/** Removes a path as a layer of this form would: itself, or as a whiteout of overlayfs. */
export function whiteOut(open: OpenVolume, path: string): void {
  const target = join(open.root, 'rootfs', path);
  rmSync(target, { recursive: true, force: true });
  if (open.form !== 'flat') mknodat(-100, target, S_IFCHR, 0, 0);
}

export const run = (command: string, ...args: string[]): string =>
  execFileSync(command, args, {
    encoding: 'utf8',
    env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C' },
  });

/** By the tools of the system, not by the code under test: its mounts, its dm devices, its loops. */
export async function unmapEverything(root: string): Promise<void> {
  if (process.getuid?.() !== 0) return;
  const mounts = await readMounts();
  for (const { mountPoint } of mounts.reverse())
    if (mountPoint.startsWith(`${root}/`)) run('umount', mountPoint);
  const loops = loopsUnder(root);
  for (let round = 0; round < 3; round += 1)
    for (const name of dmNamesOver(loops))
      tryRun('dmsetup', 'remove', '--noudevsync', '--noudevrules', '--retry', name);
  for (const loop of loops) run('losetup', '-d', loop);
}

function tryRun(command: string, ...args: string[]): void {
  try {
    run(command, ...args);
  } catch {
    // a pool with volumes on it: the next round
  }
}

/** Loop devices over files below the folder. */
export function loopsUnder(root: string): string[] {
  const text = run('losetup', '--list', '--noheadings', '--raw', '-O', 'NAME,BACK-FILE');
  const rows = text.split('\n').map((line) => line.split(' '));
  return rows.flatMap(([name, file]) => (name !== undefined && file?.startsWith(`${root}/`) ? [name] : []));
}

/** flyd's dm devices that stand, however high, on these loop devices: the highest first. */
function dmNamesOver(loops: string[]): string[] {
  const found: string[] = [];
  const climb = (device: string) => {
    for (const holder of readdirSync(`/sys/block/${device}/holders`)) {
      climb(holder);
      found.push(run('cat', `/sys/block/${holder}/dm/name`).trim());
    }
  };
  for (const loop of loops) climb(loop.slice('/dev/'.length));
  return [...new Set(found)];
}

async function tearDown(root: string): Promise<void> {
  await unmapEverything(root);
  if (process.getuid?.() !== 0)
    execFileSync('find', [root, '-type', 'd', '!', '-perm', '-700', '-exec', 'chmod', 'u+rwx', '{}', ';']);
  rmSync(root, { recursive: true, force: true });
}

/** A process that does nothing but stay, with its working folder in `cwd`; ended after the test. */
export async function holder(t: TestContext, cwd: string, ...command: string[]): Promise<number> {
  const [file = 'sleep', ...args] = command.length > 0 ? command : ['sleep', '600'];
  const child = spawn(file, args, { cwd, stdio: ['pipe', 'pipe', 'inherit'] });
  t.after(() => child.kill('SIGKILL'));
  await new Promise<void>((done, fail) => {
    child.once('spawn', done);
    child.once('error', fail);
  });
  const { pid } = child;
  if (pid === undefined) throw new Error(`${file} did not start`);
  return pid;
}

/** Ends the process and waits until the kernel has let go of what it held. */
export async function end(pid: number): Promise<void> {
  process.kill(pid, 'SIGKILL');
  while (isAlive(pid)) await new Promise((done) => setTimeout(done, 20));
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

/** The options of what is mounted at a path, or null. */
export async function mountOptions(path: string): Promise<string[] | null> {
  return (await readMounts()).findLast((m) => m.mountPoint === path)?.options ?? null;
}
