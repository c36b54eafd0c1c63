import { printable } from '../sys/error.ts';

/** Things about a layer that are worth a word and do not stop it. */
export const warningCodes = {
  path_outside: 'a name that leads out of the image; it was kept inside, as chroot does',
  duplicate_entry: 'the same name twice; the last one won',
  link_with_body: 'a hard link that brings data, which was passed over',
  time_clamped: 'a time before 1970 or after 2262, set to 1970',
  tar_label: 'a label or continued header of GNU tar, passed over',
  trailing_data: 'data behind the end of the archive',
  aufs_metadata: 'bookkeeping of AUFS, passed over',
  xattr_dropped: 'an xattr that belongs to the host or to overlayfs, not to an image',
  xattr_refused: 'an xattr that this file system or kind of file does not take',
  xattr_unprivileged: 'an xattr that only root can set',
  owner_unprivileged: 'an owner that only root can set',
  setuid_unprivileged: 'set-uid or set-gid bits, cleared because the owner is not the one they mean',
  device_unprivileged: 'a device node, which only root can make',
  link_group_split: 'a hard link to one of several names of a file in a lower layer',
} as const;

export type WarningCode = keyof typeof warningCodes;

export interface LayerWarning {
  code: WarningCode;
  count: number;
  /** The first entry that it was about. */
  example: string;
}

/** Counts warnings: one line a kind, however many entries there are. */
export class Report {
  readonly #warnings: Map<WarningCode, LayerWarning>;

  /** Goes on from what was counted before. */
  constructor(before: readonly LayerWarning[] = []) {
    this.#warnings = new Map(before.map((warning) => [warning.code, { ...warning }]));
  }

  warn(code: WarningCode, entry: Buffer): void {
    const known = this.#warnings.get(code);
    if (known === undefined) this.#warnings.set(code, { code, count: 1, example: printable(entry) });
    else known.count++;
  }

  count(code: WarningCode): number {
    return this.#warnings.get(code)?.count ?? 0;
  }

  /** These and others, summed up by kind. */
  joined(others: readonly LayerWarning[]): LayerWarning[] {
    const all = new Map(others.map((warning) => [warning.code, { ...warning }]));
    for (const warning of this.#warnings.values()) {
      const known = all.get(warning.code);
      if (known === undefined) all.set(warning.code, { ...warning });
      else known.count += warning.count;
    }
    return [...all.values()];
  }

  get warnings(): LayerWarning[] {
    return [...this.#warnings.values()];
  }
}
