/** Texts that people write, as values. Each gives undefined for what makes no sense. */

const KiB = 1024;
const units: Readonly<Record<string, number>> = { '': 1, k: KiB, m: KiB ** 2, g: KiB ** 3, t: KiB ** 4 };

/** `512`, `64K`, `1.5GiB`: bytes, by powers of 1024 whatever the spelling. Whole bytes above zero only. */
export function parseBytes(text: string): number | undefined {
  const { number, unit } =
    /^(?<number>\d+(?:\.\d+)?)\s*(?<unit>[kmgt]?)(?:i?b)?$/i.exec(text.trim())?.groups ?? {};
  const bytes = Number(number) * (units[unit?.toLowerCase() ?? ''] ?? Number.NaN);
  return Number.isSafeInteger(bytes) && bytes > 0 ? bytes : undefined;
}

const yes: readonly string[] = ['1', 'true', 'yes', 'on'];
const no: readonly string[] = ['0', 'false', 'no', 'off'];

const spans: Readonly<Record<string, number>> = { s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** `90s`, `30m`, `12h`, `7d`: milliseconds, above zero. */
export function parseSpan(text: string): number | undefined {
  const { number, unit } = /^(?<number>\d+(?:\.\d+)?)(?<unit>[smhd])$/.exec(text.trim())?.groups ?? {};
  const ms = Math.round(Number(number) * (spans[unit ?? ''] ?? Number.NaN));
  return Number.isSafeInteger(ms) && ms > 0 ? ms : undefined;
}

export function parseSwitch(text: string): boolean | undefined {
  const word = text.trim().toLowerCase();
  return yes.includes(word) ? true : no.includes(word) ? false : undefined;
}

/** A whole number above zero. */
export function parseCount(text: string): number | undefined {
  const number = Number(text);
  return /^\d+$/.test(text.trim()) && Number.isSafeInteger(number) && number > 0 ? number : undefined;
}

/** `name=value,name=value` as a table of texts. */
export function parseTable(text: string): Record<string, string> | undefined {
  const table: Record<string, string> = {};
  for (const part of text.split(',').filter((part) => part.trim() !== '')) {
    const at = part.indexOf('=');
    if (at < 1) return undefined;
    table[part.slice(0, at).trim()] = part.slice(at + 1).trim();
  }
  return table;
}
