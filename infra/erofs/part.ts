import fs from 'node:fs';
import { recoverable } from '#core/errors';
import type { Applied, ApplyLimits } from '../layer/apply.ts';
import { Report } from '../layer/report.ts';
import type { BlockReader } from '../layer/source.ts';
import { type ImageTarget, settle, type Taken, takeIn } from './apply.ts';
import { DataArea } from './data-area.ts';
import { blockBytes } from './format.ts';
import { decodeTaken, encodeTaken } from './part-log.ts';

/**
 * An image that lacks its names: the data of a layer's files, and behind it what the layer said of them. It
 * can be made before it is known what lies below the layer, so while the layer comes over the network; to
 * become an image it needs no data any more. What stands behind the data, in batches of a length and
 * JSON, is gone from the finished image.
 */
const trailerBytes = 16;
/** Ends a part; changes with what stands in it. */
const mark = 'prt2';
const batchEntries = 512;

/** Makes a part of a layer's raw tar, at a path where nothing is. It is on the disk at the end; its name is not. */
export function makePart(
  blocks: BlockReader,
  path: string,
  limits: ApplyLimits,
  onEntry: (entries: number) => void,
): void {
  const fd = fs.openSync(path, 'wx+', 0o600);
  try {
    const area = new DataArea(fd, blockBytes);
    const report = new Report();
    const log: Buffer[] = [];
    let batch: Taken[] = [];
    const close = (): void => {
      log.push(encodeTaken(batch));
      batch = [];
    };
    takeIn(blocks, area, limits, report, onEntry, (taken) => {
      batch.push(taken);
      if (batch.length === batchEntries) close();
    });
    close();
    log.push(Buffer.from(JSON.stringify(report.warnings)));
    writeLog(area, log);
    fs.fsyncSync(fd);
  } finally {
    fs.closeSync(fd);
  }
}

/**
 * Makes the image of a part, in its place. Errors of the layer as `applyToImage`; `volume_damaged`
 * (recoverable: the layer is still there) for what is no part.
 */
export function finishPart(target: ImageTarget, limits: ApplyLimits): Applied {
  const fd = fs.openSync(target.path, 'r+');
  try {
    const { dataEnd, batches } = readLog(fd);
    const report = new Report(JSON.parse((batches.pop() ?? noBytes).toString()));
    fs.ftruncateSync(fd, dataEnd);
    return settle(fd, new DataArea(fd, dataEnd), takenOf(batches), target, limits, report);
  } finally {
    fs.closeSync(fd);
  }
}

/** A batch at a time: what lives long costs the garbage collector most. */
function* takenOf(batches: readonly Buffer[]): Generator<Taken[], void> {
  for (const batch of batches) yield decodeTaken(batch);
}

function writeLog(area: DataArea, batches: readonly Buffer[]): void {
  const dataEnd = area.offset;
  const length = Buffer.alloc(4);
  for (const batch of batches) {
    length.writeUInt32LE(batch.length);
    area.append(length);
    area.append(batch);
  }
  const trailer = Buffer.alloc(trailerBytes);
  trailer.writeBigUInt64LE(BigInt(dataEnd));
  trailer.writeUInt32LE(batches.length, 8);
  trailer.write(mark, 12);
  area.append(trailer);
  area.flush();
}

function readLog(fd: number): { dataEnd: number; batches: Buffer[] } {
  const { size } = fs.fstatSync(fd);
  const trailer = readAt(fd, size - trailerBytes, trailerBytes);
  if (trailer.toString('latin1', 12) !== mark) throw noPart();
  const dataEnd = Number(trailer.readBigUInt64LE());
  const log = readAt(fd, dataEnd, size - trailerBytes - dataEnd);
  const batches: Buffer[] = [];
  let at = 0;
  for (let count = trailer.readUInt32LE(8); count > 0; count--) {
    const length = log.readUInt32LE(at);
    batches.push(log.subarray(at + 4, at + 4 + length));
    at += 4 + length;
  }
  return { dataEnd, batches };
}

function readAt(fd: number, at: number, length: number): Buffer {
  if (at < 0 || length < 0) throw noPart();
  const bytes = Buffer.alloc(length);
  for (let done = 0; done < length; ) {
    const read = fs.readSync(fd, bytes, done, length - done, at + done);
    if (read === 0) throw noPart();
    done += read;
  }
  return bytes;
}

const noBytes = Buffer.from('null');

const noPart = () =>
  recoverable('volume_damaged', 'what was prepared of the layer is not whole', { op: 'volume.unpack' });
