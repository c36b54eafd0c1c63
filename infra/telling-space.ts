import type { Effect } from '#core/effect';
import { FlydError, fromErrorRecord, toErrorRecord } from '#core/errors';
import { fileError } from './durable.ts';
import { isErrno } from './sys.ts';
import type { Space } from './volumes/driver.ts';

/**
 * The effect, whose `no_space` says what is free: who meets a full disk knows the file that it was
 * writing, and not what is full, bytes or inodes, nor how much is missing. `look` gives what it uses up. What
 * no adapter has translated, one of the many small calls that make a folder or give it an owner, becomes `no_space` here.
 */
export const tellingSpace =
  <Input, Output>(
    effect: Effect<Input, Output>,
    look: (input: Input) => Promise<Space[]>,
  ): Effect<Input, Output> =>
  async (context) => {
    try {
      return await effect(context);
    } catch (thrown) {
      const error = isErrno(thrown, 'ENOSPC', 'EDQUOT') ? fileError(thrown, 'use', pathOf(thrown)) : thrown;
      const known =
        !(error instanceof FlydError) ||
        error.code !== 'no_space' ||
        error.facts?.free !== undefined ||
        error.facts?.errno === 'EDQUOT';
      if (known) throw error;
      const rows = await look(context.input).catch(() => []);
      const record = toErrorRecord(error);
      throw fromErrorRecord({
        hint: 'free some space, for instance with flyd gc, then the same again',
        ...record,
        message: `${record.message}; free now: ${rows.map(textOf).join(', ')}`,
      });
    }
  };

/** What Node's own fs says of the file that it was about. */
const pathOf = (error: unknown): string =>
  error instanceof Error && 'path' in error && typeof error.path === 'string' ? error.path : '';

const textOf = ({ what, unit, free, total }: Space): string =>
  unit === 'bytes' ? `${kibibytes(free)} of ${kibibytes(total)} (${what})` : `${free} of ${total} ${what}`;

const kibibytes = (bytes: number): string => `${Math.floor(bytes / 1024)} KiB`;
