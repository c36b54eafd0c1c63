import fs from 'node:fs';
import { recoverable } from '#core/errors';
import type { Applied, ApplyLimits } from '../layer/apply.ts';
import { type LayerWarning, Report } from '../layer/report.ts';
import type { BlockReader } from '../layer/source.ts';
import { type ImageTarget, settle, type Taken, takeIn, uuidOf, withImage } from './apply.ts';
import { DataArea } from './data-area.ts';
import { blockBytes } from './format.ts';
import { LooseImage } from './loose.ts';
import { decodeTaken, encodeTaken } from './part-log.ts';
import { changeUuid } from './write.ts';

/**
 * What is made of a layer before it is known what lies below it, so while it comes over the network: an image
 * where the layer speaks for itself, else one that lacks its names (the data of the layer's files, and
 * behind it a log of what the layer said of them). To become the layer's image it needs no data any more. What
 * stands behind is JSON, in pieces with their lengths, and is gone from the finished image.
 */
const marks = { whole: 'prtW', log: 'prtL' } as const;
const trailerBytes = 16;
const batchEntries = 512;

/** Makes a part of a layer's raw tar, at a path where nothing is. It is on the disk at the end; its name is not. */
export function makePart(
  blocks: BlockReader,
  path: string,
  limits: ApplyLimits,
  onEntry: (entries: number) => void,
): void {
  withImage(path, 'wx+', (fd) => {
    const area = new DataArea(fd, blockBytes);
    const report = new Report();
    const loose = new LooseImage(area, limits);
    const log: Buffer[] = [];
    let batch: Taken[] = [];
    const close = (): void => {
      log.push(encodeTaken(batch));
      batch = [];
    };
    takeIn(blocks, area, limits, report, onEntry, (taken) => {
      loose.take(taken);
      batch.push(taken);
      if (batch.length === batchEntries) close();
    });
    const whole = loose.finish(fd, area, report.warnings);
    if (whole !== null) writeBehind(area, marks.whole, [jsonOf(whole)]);
    else {
      close();
      writeBehind(area, marks.log, [jsonOf(report.warnings), ...log]);
    }
    fs.fsyncSync(fd);
  });
}

/**
 * Makes the image of a part, in its place. Errors of the layer as `applyToImage`; `volume_damaged`
 * (recoverable: the layer is still there) for what is no part.
 */
export function finishPart(target: ImageTarget, limits: ApplyLimits): Applied {
  return withImage(target.path, 'r+', (fd) => {
    const { mark, end, pieces } = readBehind(fd);
    const first = pieces.shift();
    if (first === undefined) throw noPart();
    const said: unknown = JSON.parse(first.toString());
    fs.ftruncateSync(fd, end);
    if (mark === marks.log)
      return settle(
        fd,
        new DataArea(fd, end),
        batchesOf(pieces),
        target,
        limits,
        new Report(said as Warnings),
      );
    changeUuid(fd, uuidOf(target.path));
    fs.fsyncSync(fd);
    const { warnings, ...counts } = said as Whole;
    return { ...counts, report: new Report(warnings) };
  });
}

type Warnings = readonly LayerWarning[];
type Whole = NonNullable<ReturnType<LooseImage['finish']>>;

/** A batch at a time: what lives long costs the garbage collector most. */
function* batchesOf(pieces: readonly Buffer[]): Generator<Taken[], void> {
  for (const piece of pieces) yield decodeTaken(piece);
}

function writeBehind(area: DataArea, mark: string, pieces: readonly Buffer[]): void {
  const end = area.offset;
  const length = Buffer.alloc(4);
  for (const piece of pieces) {
    length.writeUInt32LE(piece.length);
    area.append(length);
    area.append(piece);
  }
  const trailer = Buffer.alloc(trailerBytes);
  trailer.writeBigUInt64LE(BigInt(end));
  trailer.writeUInt32LE(pieces.length, 8);
  trailer.write(mark, 12);
  area.append(trailer);
  area.flush();
}

/** `end` is where the data, or the whole image, ends. */
function readBehind(fd: number): { mark: string; end: number; pieces: Buffer[] } {
  const { size } = fs.fstatSync(fd);
  const trailer = readAt(fd, size - trailerBytes, trailerBytes);
  const mark = trailer.toString('latin1', 12);
  if (mark !== marks.whole && mark !== marks.log) throw noPart();
  const end = Number(trailer.readBigUInt64LE());
  const behind = readAt(fd, end, size - trailerBytes - end);
  const pieces: Buffer[] = [];
  let at = 0;
  for (let count = trailer.readUInt32LE(8); count > 0; count--) {
    const length = behind.readUInt32LE(at);
    pieces.push(behind.subarray(at + 4, at + 4 + length));
    at += 4 + length;
  }
  return { mark, end, pieces };
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

const jsonOf = (value: unknown): Buffer => Buffer.from(JSON.stringify(value));

const noPart = () =>
  recoverable('volume_damaged', 'what was prepared of the layer is not whole', { op: 'volume.unpack' });
