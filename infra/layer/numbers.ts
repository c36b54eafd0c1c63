/** Numbers of tar headers and PAX records. Nothing here guesses: what is no number is null. */

const space = 0x20;
const zero = 0x30;
const seven = 0x37;

/**
 * A numeric field of a header: octal digits between spaces and NULs (none at all is 0), or base-256
 * with bit 7 of the first byte set and bit 6 as its sign (GNU). Null when it is neither, or beyond 63
 * bits. A bigint only where a double would not be exact.
 */
export function parseField(block: Buffer, start: number, length: number): number | bigint | null {
  const first = block.readUInt8(start);
  if ((first & 0x80) !== 0) return parseBase256(block, start, length);
  let at = start;
  let end = start + length;
  while (at < end && isBlank(block.readUInt8(at))) at++;
  while (end > at && isBlank(block.readUInt8(end - 1))) end--;
  let value = 0;
  for (; at < end; at++) {
    const digit = block.readUInt8(at);
    if (digit === 0) return value; // what is behind a NUL inside the field does not count
    if (digit < zero || digit > seven) return null;
    value = value * 8 + (digit - zero);
  }
  return value;
}

const isBlank = (byte: number): boolean => byte === space || byte === 0;

function parseBase256(block: Buffer, start: number, length: number): number | bigint | null {
  const first = block.readUInt8(start);
  // Negative numbers are stored as ones' complement here, so that both signs can be summed alike.
  const flip = (first & 0x40) !== 0 ? 0xff : 0;
  let value = 0n;
  for (let i = 0; i < length; i++) {
    let byte = block.readUInt8(start + i) ^ flip;
    if (i === 0) byte &= 0x7f;
    if (value >> 55n !== 0n) return null; // eight more bits would go beyond 63
    value = (value << 8n) | BigInt(byte);
  }
  return narrow(flip === 0 ? value : ~value);
}

const narrow = (value: bigint): number | bigint =>
  value >= Number.MIN_SAFE_INTEGER && value <= Number.MAX_SAFE_INTEGER ? Number(value) : value;

/** Decimal digits and nothing else, as PAX writes sizes and ids. Null otherwise, or beyond 63 bits. */
export function parseDecimal(text: string): number | bigint | null {
  if (!/^[0-9]{1,19}$/.test(text)) return null;
  const value = BigInt(text);
  return value >> 63n === 0n ? narrow(value) : null;
}

export interface Time {
  sec: number;
  nsec: number;
}

/** The last second of which the nanoseconds fit 63 bits: the same bound as containerd's. */
const lastSecond = 9_223_372_036;
export const epoch: Time = { sec: 0, nsec: 0 };

/** Seconds of a header as a time; before 1970 or beyond the year 2262 becomes null, for the caller to clamp and tell. */
export function timeOf(seconds: number | bigint, nsec = 0): Time | null {
  if (typeof seconds === 'bigint' || seconds < 0 || seconds > lastSecond) return null;
  return { sec: seconds, nsec };
}

/**
 * Seconds of a PAX record, such as `1350244992.023960108` or `-1.5`; digits beyond nanoseconds are cut.
 * `undefined` when it is no time at all, null when it is one out of range.
 */
export function parseTime(text: string): Time | null | undefined {
  const match = /^(-?)([0-9]{1,40})(?:\.([0-9]*))?$/.exec(text);
  if (match === null) return undefined;
  const [, sign, whole = '', fraction = ''] = match;
  const nsec = Number(fraction.slice(0, 9).padEnd(9, '0'));
  const seconds = Number(whole);
  if (sign === '-' && (seconds > 0 || nsec > 0)) return null;
  return timeOf(seconds, nsec);
}
