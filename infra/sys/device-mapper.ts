import fs from 'node:fs';
import { bind, check } from './libc.ts';

const ioctlCall = bind('ioctl', 'int', ['int', 'long', 'ptr']);

/** struct dm_ioctl of linux/dm-ioctl.h: 312 bytes, the same on x64 and arm64. */
const headerBytes = 312;
const at = { dataSize: 12, dataStart: 16, targetCount: 20, flags: 28, name: 48 } as const;
const nameBytes = 128;
/** struct dm_target_spec: start, length, status, next, type; its words follow. */
const spec = { start: 0, length: 8, type: 24, words: 40 } as const;
const DM_TABLE_STATUS = 0xc138fd0c;
const DM_BUFFER_FULL_FLAG = 1 << 8;
const DM_NOFLUSH_FLAG = 1 << 11;

/**
 * The first line of a device's status, as dmsetup(8) prints it with `--noflush`: without making a pool commit,
 * and without starting a program. Null when the device has no table. SysError: ENOENT without the kernel's
 * control node, ENXIO without such a device, and what ioctl(2) of the kernel's dm-ioctl says.
 */
export function dmStatus(name: string): string | null {
  const buffer = Buffer.alloc(4096);
  if (Buffer.byteLength(name) >= nameBytes) throw new RangeError(`a device's name is too long: ${name}`);
  buffer.writeUInt32LE(4, 0);
  buffer.writeUInt32LE(buffer.length, at.dataSize);
  buffer.writeUInt32LE(headerBytes, at.dataStart);
  buffer.writeUInt32LE(DM_NOFLUSH_FLAG, at.flags);
  buffer.write(name, at.name);
  const control = fs.openSync('/dev/mapper/control', 'r+');
  try {
    check(ioctlCall(control, DM_TABLE_STATUS, buffer), 'ioctl DM_TABLE_STATUS', name);
  } finally {
    fs.closeSync(control);
  }
  if ((buffer.readUInt32LE(at.flags) & DM_BUFFER_FULL_FLAG) !== 0)
    throw new RangeError(`the status of ${name} is longer than ${buffer.length} bytes`);
  if (buffer.readUInt32LE(at.targetCount) === 0) return null;
  const target = buffer.subarray(buffer.readUInt32LE(at.dataStart));
  const text = (from: number, to: number): string => {
    const bytes = target.subarray(from, to);
    const end = bytes.indexOf(0);
    return bytes.toString('latin1', 0, end === -1 ? bytes.length : end);
  };
  const [start, length] = [target.readBigUInt64LE(spec.start), target.readBigUInt64LE(spec.length)];
  return `${start} ${length} ${text(spec.type, spec.words)} ${text(spec.words, target.length)}`;
}
