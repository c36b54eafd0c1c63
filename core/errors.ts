import type { ErrorCode } from './error-codes.ts';

/**
 * What the engine does with a failure:
 * - `recoverable`: the world may heal; retry with backoff, bounded, attempts stored.
 * - `pending`: the world lacks something; wait and look again, spending no attempts.
 * - `unrecoverable`: the same input fails again; hand it to the machine, keep the evidence.
 * - `abort`: somebody decided to stop (cancel, shutdown, ownership lost); no retry, no alarm.
 */
export type ErrorKind = 'recoverable' | 'pending' | 'unrecoverable' | 'abort';

/** An error as JSON: what the database, the history and `--json` hold. */
export interface ErrorRecord {
  kind: ErrorKind;
  code: string;
  message: string;
  op?: string;
  subject?: string;
  hint?: string;
  facts?: Record<string, string | number | boolean | null>;
  cause?: ErrorRecord;
}

export interface ErrorDetails {
  /** What was being done: a name from `operations.ts`, or a command of the CLI. */
  op?: string | undefined;
  /** To which thing: a key, a path, a digest, a device. */
  subject?: string | undefined;
  /** The next step for the person who reads it: a command or a setting. */
  hint?: string | undefined;
  facts?: Record<string, string | number | boolean | null> | undefined;
  cause?: unknown;
}

/** The one error class of flyd. The adapter that meets a foreign error decides its kind, once. */
export class FlydError extends Error {
  override readonly name = 'FlydError';
  readonly kind: ErrorKind;
  readonly code: string;
  readonly op: string | undefined;
  readonly subject: string | undefined;
  readonly hint: string | undefined;
  readonly facts: Record<string, string | number | boolean | null> | undefined;

  constructor(kind: ErrorKind, code: ErrorCode, message: string, details: ErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.kind = kind;
    this.code = code;
    this.op = details.op;
    this.subject = details.subject;
    this.hint = details.hint;
    this.facts = details.facts;
  }
}

/** What to do about EIO, wherever it is met. */
export const diskHint =
  'the disk failed: dmesg says how; when it works again, flyd doctor --fix, then the same again';

/** What to do about EDQUOT: what is free on the file system says nothing then. */
export const quotaHint =
  'raise the quota (quota -v; btrfs qgroup show -re), or make room below it, for instance with flyd gc; then the same again';

/** Shorthands, so that a throw reads as its decision. */
export const recoverable = (code: ErrorCode, message: string, details?: ErrorDetails): FlydError =>
  new FlydError('recoverable', code, message, details);
export const pending = (code: ErrorCode, message: string, details?: ErrorDetails): FlydError =>
  new FlydError('pending', code, message, details);
export const unrecoverable = (code: ErrorCode, message: string, details?: ErrorDetails): FlydError =>
  new FlydError('unrecoverable', code, message, details);
export const aborted = (code: ErrorCode, message: string, details?: ErrorDetails): FlydError =>
  new FlydError('abort', code, message, details);

const kinds: readonly string[] = ['recoverable', 'pending', 'unrecoverable', 'abort'];
const causeDepthMax = 8;

/**
 * Any thrown value as a record. An error that carries a known `kind` and a `code` keeps them,
 * whatever its class; anything else is `recoverable` with the code `unclassified`.
 */
export function toErrorRecord(thrown: unknown, depth = 0): ErrorRecord {
  const source = (typeof thrown === 'object' && thrown !== null ? thrown : {}) as Record<string, unknown>;
  const classified =
    typeof source.kind === 'string' && kinds.includes(source.kind) && typeof source.code === 'string';
  const record: ErrorRecord = {
    kind: classified ? (source.kind as ErrorKind) : 'recoverable',
    code: classified ? (source.code as string) : 'unclassified',
    message: typeof source.message === 'string' && source.message !== '' ? source.message : String(thrown),
  };
  if (typeof source.op === 'string') record.op = source.op;
  if (typeof source.subject === 'string') record.subject = source.subject;
  if (typeof source.hint === 'string') record.hint = source.hint;
  if (isFacts(source.facts)) record.facts = source.facts;
  else if (!classified && typeof source.code === 'string') record.facts = { foreignCode: source.code };
  if (source.cause !== undefined && source.cause !== null && depth < causeDepthMax)
    record.cause = toErrorRecord(source.cause, depth + 1);
  return record;
}

/** The error that a record tells of, to throw again on this side of a boundary. */
export function fromErrorRecord(record: ErrorRecord): FlydError {
  const { op, subject, hint, facts, cause } = record;
  return new FlydError(record.kind, record.code as ErrorCode, record.message, {
    op,
    subject,
    hint,
    facts,
    ...(cause === undefined ? {} : { cause: fromErrorRecord(cause) }),
  });
}

function isFacts(value: unknown): value is Record<string, string | number | boolean | null> {
  return (
    typeof value === 'object' &&
    value !== null &&
    Object.values(value).every((v) => v === null || ['string', 'number', 'boolean'].includes(typeof v))
  );
}
