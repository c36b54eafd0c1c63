import type { ErrorCode } from '#core/error-codes';
import { FlydError } from '#core/errors';
import { printable } from '../sys/error.ts';

type Facts = Record<string, string | number | boolean | null>;

/** The same bytes fail in the same way again, so every fault of a layer is unrecoverable. `entry` is the name it is about. */
function fault(code: ErrorCode, message: string, entry: Buffer | null, facts?: Facts): FlydError {
  const subject = entry === null ? undefined : printable(entry);
  return new FlydError('unrecoverable', code, subject === undefined ? message : `${subject}: ${message}`, {
    op: 'volume.unpack',
    subject,
    facts,
  });
}

/** The bytes are no readable archive: damaged, cut short, or against the format. */
export const corrupt = (message: string, entry: Buffer | null = null, facts?: Facts): FlydError =>
  fault('layer_corrupt', message, entry, facts);

/** The bytes are clear but ask for what no honest layer asks. */
export const hostile = (message: string, entry: Buffer | null = null, facts?: Facts): FlydError =>
  fault('layer_hostile', message, entry, facts);

/** A format or an entry that flyd does not read, or that this file system cannot hold. */
export const unsupported = (message: string, entry: Buffer | null = null, facts?: Facts): FlydError =>
  fault('layer_unsupported', message, entry, facts);

/** A limit of `core/limits.ts`, by its name there. */
export const exceeded = (limit: string, value: number, entry: Buffer | null = null): FlydError =>
  fault('limit_exceeded', `more than ${limit} (${value}) allows`, entry, { limit, value });
