/** What one check found. */
export interface Finding {
  /** The same over time: scripts look for it. */
  check: string;
  /**
   * `ok`; `note`: good to know; `warn`: works, but not as one would want in production;
   * `broken`: pulls cannot work.
   */
  verdict: 'ok' | 'note' | 'warn' | 'broken';
  /** One line: what is so. */
  says: string;
  /** The command or setting that mends it. */
  fix: string | null;
}

export const ok = (check: string, says: string): Finding => ({ check, verdict: 'ok', says, fix: null });
export const note = (check: string, says: string, fix: string | null = null): Finding => ({
  check,
  verdict: 'note',
  says,
  fix,
});
export const warn = (check: string, says: string, fix: string | null = null): Finding => ({
  check,
  verdict: 'warn',
  says,
  fix,
});
export const broken = (check: string, says: string, fix: string | null = null): Finding => ({
  check,
  verdict: 'broken',
  says,
  fix,
});
