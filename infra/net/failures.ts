/** What a thrown error says of the connection, whoever's client threw it. */
export interface ConnectionFault {
  /** `tls`: a certificate that is not trusted; `connection`: it may be there later; `other`: neither. */
  kind: 'tls' | 'connection' | 'other';
  /** Its code, or its name where it has none. */
  what: string;
  name: string;
}

/** What to do about a source that is not there just now. */
export const unavailableHint =
  'it may be there again later, and what was fetched is kept; --timeout and --retries set how long flyd tries';
/** What to do about an object that is still to come. */
export const missingHint = 'flyd looks again by itself; flyd resume looks at once';

const tlsCodes = /^(CERT_|ERR_TLS_CERT|DEPTH_ZERO_|SELF_SIGNED_|UNABLE_TO_(GET|VERIFY)_)/;
const connectionCodes: readonly string[] = [
  'ECONNREFUSED',
  'ECONNRESET',
  'ECONNABORTED',
  'EPIPE',
  'ETIMEDOUT',
  'EHOSTUNREACH',
  'EHOSTDOWN',
  'ENETUNREACH',
  'ENETDOWN',
  'EAI_AGAIN',
  'ENOTFOUND',
  'ERR_STREAM_PREMATURE_CLOSE',
];

export function connectionFault(error: unknown): ConnectionFault {
  const { name, code } = namesOf(error);
  const what = code === '' ? name : code;
  if (tlsCodes.test(code)) return { kind: 'tls', what, name };
  if (name === 'TimeoutError' || connectionCodes.includes(code)) return { kind: 'connection', what, name };
  return { kind: 'other', what, name };
}

/** The pause that a server asks for, in ms (RFC 9110 10.2.3: seconds or a date); null where it asks for none. */
export function retryAfterMs(header: string | undefined, nowMs: number): number | null {
  if (header === undefined) return null;
  if (/^\d{1,9}$/.test(header.trim())) return Number(header) * 1000;
  const at = Date.parse(header);
  return Number.isNaN(at) ? null : Math.max(0, at - nowMs);
}

/** The name and code of an error. One of several addresses tried speaks for all (Happy Eyeballs). */
function namesOf(error: unknown): { name: string; code: string } {
  const first = error instanceof AggregateError && error.errors.length > 0 ? error.errors[0] : error;
  if (!(first instanceof Error)) return { name: String(first), code: '' };
  return { name: first.name, code: 'code' in first && typeof first.code === 'string' ? first.code : '' };
}
