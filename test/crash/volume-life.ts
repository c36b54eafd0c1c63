import assert from 'node:assert/strict';
import {
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { createExec, type Exec } from '#infra/exec';
import { flock } from '#infra/sys';
import type { ActivationSpec, DriverName, OpenVolume, VolumeSpec } from '#infra/volumes/driver';
import { createDrivers } from '#infra/volumes/index';
import { fillVolume } from '../contract/volumes/image.ts';

/**
 * The life of an image's volumes and one activation, step by step, in a process that kills itself at
 * its n-th external command: before it, while it runs, or after it. The steps that were done are on
 * disk; the next process goes on from there, as the engine would. Prints the number of commands.
 *
 * usage: volume-life.ts <folder> <driver> [<n> before|during|after]
 */
const [, , folder = '', name = '', killAt = '0', when = ''] = process.argv;
const MiB = 1024 * 1024;
const stateDir = join(folder, 'state');
mkdirSync(stateDir, { recursive: true, mode: 0o700 });

// Whoever takes this lock knows that no command of a killed process runs any more.
const lockFd = openSync(join(folder, 'owner'), 'a');
flock(lockFd, 'exclusive', false);

let commands = 0;
const real = createExec({ lockFd });
const exec: Exec = (command, args, options) => {
  commands += 1;
  const now = commands === Number(killAt);
  if (now && when === 'before') process.kill(process.pid, 'SIGKILL');
  const running = real(command, args, options);
  if (now && when === 'during') process.kill(process.pid, 'SIGKILL');
  return running.finally(() => {
    if (now) process.kill(process.pid, 'SIGKILL');
  });
};

const drivers = await createDrivers({
  stateDir,
  exec,
  pool: { dataBytes: 512 * MiB, volumeBytes: 64 * MiB },
});
const driver = drivers.byName[name as DriverName];

/** What the database of a real flyd would hold: ids and device numbers are chosen before anything is made. */
interface Notes {
  done: number;
  devices: (number | null)[];
}
const notesPath = join(folder, 'notes.json');
const notes: Notes = existsSync(notesPath)
  ? (JSON.parse(readFileSync(notesPath, 'utf8')) as Notes)
  : { done: 0, devices: [] };
const keep = () => {
  writeFileSync(`${notesPath}.new`, JSON.stringify(notes));
  renameSync(`${notesPath}.new`, notesPath);
};

await driver.ready();
while (notes.devices.length < 3) {
  notes.devices.push(await driver.chooseDevice((device) => notes.devices.includes(device)));
  keep();
}
const [lowerDevice = null, upperDevice = null, activationDevice = null] = notes.devices;
const sizeBytes = driver.chooseSize(null);
const lower: VolumeSpec = { id: 'vol-00000000000000aa', parent: null, device: lowerDevice, sizeBytes };
const upper: VolumeSpec = { id: 'vol-00000000000000bb', parent: lower, device: upperDevice, sizeBytes };
const activation: ActivationSpec = {
  id: 'act-00000000000000cc',
  base: upper,
  device: activationDevice,
  sizeBytes: driver.can.grow ? 96 * MiB : null,
  readOnly: false,
  suid: false,
  dev: false,
  owner: { uid: 7, gid: 8 },
  attach: 'mount',
  mountPoint: join(folder, 'mnt/act-00000000000000cc'),
};
const tree = join(activation.mountPoint, 'rootfs');
const write = (volume: OpenVolume, file: string) =>
  fillVolume(volume, (open) => writeFileSync(join(open.root, 'rootfs', file), file));

/** A step that must begin anew with the one before it is joined with it: filling starts from a clean volume. */
const steps: (() => Promise<unknown>)[] = [
  async () => {
    await driver.create(lower);
    write(await driver.open(lower), 'low');
  },
  () => driver.close(lower),
  async () => {
    await driver.create(upper);
    const open = await driver.open(upper);
    assert.equal(existsSync(join(open.root, 'rootfs/up')), false, 'nothing of an earlier attempt');
    write(open, 'up');
  },
  () => driver.close(upper),
  () => driver.snapshot(activation),
  () => driver.mount(activation),
  async () => {
    assert.deepEqual(readdirSync(tree).sort(), ['low', 'up']);
    writeFileSync(join(tree, 'own'), 'own');
  },
  () => driver.unmount(activation),
  () => driver.mount(activation),
  async () => assert.deepEqual(readdirSync(tree).sort(), ['low', 'own', 'up']),
  () => driver.discard(activation),
  () => driver.remove(upper),
  () => driver.remove(lower),
];
while (notes.done < steps.length) {
  await steps[notes.done]?.();
  notes.done += 1;
  keep();
}
assert.deepEqual(await driver.inventory(), { volumes: [], activations: [] });
process.stdout.write(`${commands}\n`);
