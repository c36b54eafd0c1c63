import { type Logger, pino, stdTimeFunctions } from 'pino';

/** A logger for machines to read: one JSON line an entry, on stderr. */
export type Log = Logger;

export interface LogOptions {
  /** 0: only faults of flyd itself; 1 (`-v`): what happens; 2 (`-vv`): every command and request. */
  verbosity: number;
  /** Values that no entry may show, whatever field or message they hide in. */
  secrets: readonly string[];
}

const levels = ['error', 'info', 'debug'] as const;

/** Fields that are never shown, at the top of an entry or one level down. */
const secretFields = [
  'accessKeyId',
  'secretAccessKey',
  'sessionToken',
  'credentials',
  'password',
  'authorization',
  'Authorization',
];
/** A shorter value would black out half the log. */
const secretLengthMin = 6;

/** The log of this process. Written synchronously: the last entry before a crash is the one that counts. */
export function createLog({ verbosity, secrets }: LogOptions): Log {
  const hidden = secrets.filter((secret) => secret.length >= secretLengthMin).map(asInJson);
  return pino(
    {
      level: levels[Math.min(verbosity, levels.length - 1)] ?? 'error',
      base: { pid: process.pid },
      timestamp: stdTimeFunctions.isoTime,
      redact: { paths: secretFields.flatMap((field) => [field, `*.${field}`]), censor: '[secret]' },
      hooks: {
        streamWrite: (line) => hidden.reduce((text, secret) => text.replaceAll(secret, '[secret]'), line),
      },
    },
    pino.destination({ dest: 2, sync: true }),
  );
}

const asInJson = (text: string): string => JSON.stringify(text).slice(1, -1);
