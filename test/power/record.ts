import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { startS3Server } from '#infra/s3-server';
import {
  connect,
  disconnect,
  disconnectParts,
  diskBytes,
  type Machine,
  makeFileSystem,
  mountState,
  type PowerDriver,
  tool,
} from './machine.ts';
import { play, serverPort } from './scenario.ts';

/**
 * In the guest: one run of each operation of flyd on a disk under dm-log-writes, with a mark in the log at
 * each report. usage: record.ts <driver> <disk> <log device> <served folder> <machine's folder> <out folder>
 * [<number of steps>]
 */
const [, , driver = '', disk = '', log = '', served = '', folder = '', out = '', steps] = process.argv;
const name = 'power-log';
const machine: Machine = { driver: driver as PowerDriver, disk: `/dev/mapper/${name}`, folder };
const sectors = diskBytes(machine.driver) / 512;
tool('dmsetup', 'create', name, '--table', `0 ${sectors} log-writes ${disk} ${log}`);
const mark = (text: string): void => void tool('dmsetup', 'message', name, '0', 'mark', text);

const server = await startS3Server({ dir: served, port: serverPort });
connect(machine);
makeFileSystem(machine);
mountState(machine);
mkdirSync(join(folder, 'mnt'), { mode: 0o700 });
tool('sync');
mark('begin');
const told = await play(machine, mark, steps === undefined ? undefined : Number(steps));
await server.close();
disconnect(machine);
disconnectParts(machine);
tool('dmsetup', 'remove', name);
writeFileSync(join(out, 'told.json'), JSON.stringify(told));
process.exit(0);
