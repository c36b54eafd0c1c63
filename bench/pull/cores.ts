/** Which processors what is measured runs on, and which its server; null: any. As lists for taskset(1). */
export interface Cores {
  subjects: string | null;
  server: string | null;
  note: string;
}

/**
 * Gives the server processors of its own. With `wanted` what is measured gets that many and the server the
 * rest; without, four, where at least two are left. A RangeError when nothing is left for the server.
 */
export function shareCores(there: number, wanted: number | null): Cores {
  const few = 4;
  if (wanted === null && there < few + 2)
    return {
      subjects: null,
      server: null,
      note: `${there} cores, shared by all and their server: too few to part (--cores parts them)`,
    };
  const count = wanted ?? few;
  if (!Number.isInteger(count) || count < 1 || count >= there)
    throw new RangeError(`--cores: of ${there} cores at least one is the server's`);
  return {
    subjects: range(0, count),
    server: range(count, there),
    note: `${count} cores for what is measured, ${there - count} others for its server`,
  };
}

const range = (from: number, to: number): string => (to - from === 1 ? `${from}` : `${from}-${to - 1}`);

/** A command line that runs on these processors only. */
export const pinned = (cores: string | null, ...command: readonly string[]): string[] =>
  cores === null ? [...command] : ['taskset', '--cpu-list', cores, ...command];
