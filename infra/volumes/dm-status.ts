/**
 * The lines of `dmsetup status` and `dmsetup table`, as the kernel writes them
 * (Documentation/admin-guide/device-mapper/thin-provisioning.rst).
 */

export type PoolMode = 'rw' | 'ro' | 'out_of_data_space' | 'fail' | 'error';

export interface PoolStatus {
  /** `fail`: the kernel gave up on the pool; `error`: its metadata could not be read just now. */
  mode: PoolMode;
  transactionId: number;
  /** Blocks of 4 KiB. */
  metaUsed: number;
  metaTotal: number;
  /** Blocks of the pool's block size. */
  dataUsed: number;
  dataTotal: number;
  /** The root of a metadata snapshot that somebody holds. */
  heldRoot: number | null;
  needsCheck: boolean;
  /** Whether writes fail at once, rather than wait, when the pool is full. */
  errorIfFull: boolean;
  discards: 'passdown' | 'pool' | 'ignored';
}

export interface ThinStatus {
  state: 'ok' | 'fail' | 'error';
  /** Sectors of 512 bytes that are mapped to blocks of the pool. */
  mappedSectors: number;
}

/** Start, length (sectors), target and the rest of one line of a table or a status. */
export interface TargetLine {
  start: number;
  sectors: number;
  target: string;
  args: string[];
}

/** Reads `<start> <length> <target> <args...>`; null when it is none. */
export function parseTargetLine(line: string): TargetLine | null {
  const [start, sectors, target, ...args] = line.trim().split(/\s+/);
  if (target === undefined || !/^\d+$/.test(start ?? '') || !/^\d+$/.test(sectors ?? '')) return null;
  return { start: Number(start), sectors: Number(sectors), target, args };
}

const broken = (mode: 'fail' | 'error'): PoolStatus => ({
  mode,
  transactionId: 0,
  metaUsed: 0,
  metaTotal: 0,
  dataUsed: 0,
  dataTotal: 0,
  heldRoot: null,
  needsCheck: mode === 'fail',
  errorIfFull: false,
  discards: 'ignored',
});

/** Where the words of a pool's status line go, whatever their order (kernels added some over time). */
const poolWords: Readonly<Record<string, Partial<PoolStatus>>> = {
  rw: { mode: 'rw' },
  ro: { mode: 'ro' },
  out_of_data_space: { mode: 'out_of_data_space' },
  discard_passdown: { discards: 'passdown' },
  no_discard_passdown: { discards: 'pool' },
  ignore_discard: { discards: 'ignored' },
  error_if_no_space: { errorIfFull: true },
  queue_if_no_space: { errorIfFull: false },
  needs_check: { needsCheck: true },
};

/** The status of a `thin-pool` target from the words after its name; null when they make no sense. */
export function parsePoolStatus(args: readonly string[]): PoolStatus | null {
  if (args[0] === 'Fail') return broken('fail');
  if (args.at(-1) === 'Error') return broken('error');
  const [transactionId, meta, data, held, ...words] = args;
  const metaBlocks = /^(\d+)\/(\d+)$/.exec(meta ?? '');
  const dataBlocks = /^(\d+)\/(\d+)$/.exec(data ?? '');
  if (!/^\d+$/.test(transactionId ?? '') || metaBlocks === null || dataBlocks === null) return null;
  const status: PoolStatus = {
    ...broken('error'),
    transactionId: Number(transactionId),
    metaUsed: Number(metaBlocks[1]),
    metaTotal: Number(metaBlocks[2]),
    dataUsed: Number(dataBlocks[1]),
    dataTotal: Number(dataBlocks[2]),
    heldRoot: held === undefined || held === '-' ? null : Number(held),
    needsCheck: false,
  };
  for (const word of words) Object.assign(status, poolWords[word] ?? {});
  return words.some((word) => poolWords[word]?.mode !== undefined) ? status : null;
}

/**
 * No metadata is left, and nothing is damaged: the kernel keeps a reserve, refuses every change, and goes on when
 * the metadata device has become larger (PM_OUT_OF_METADATA_SPACE in drivers/md/dm-thin.c).
 */
export const isMetadataFull = ({ mode, needsCheck, metaUsed, metaTotal }: PoolStatus): boolean =>
  mode === 'ro' && !needsCheck && metaTotal > 0 && metaUsed >= metaTotal;

/** The status of a `thin` target from the words after its name; null when they make no sense. */
export function parseThinStatus(args: readonly string[]): ThinStatus | null {
  const [mapped] = args;
  if (mapped === 'Fail') return { state: 'fail', mappedSectors: 0 };
  if (mapped === 'Error') return { state: 'error', mappedSectors: 0 };
  return mapped !== undefined && /^\d+$/.test(mapped) ? { state: 'ok', mappedSectors: Number(mapped) } : null;
}
