/** An entry of a ustar archive that a test builds by hand, with nothing of flyd or npm in between. */
export interface TarEntry {
  name: string;
  /** Default: a file; a name with a `/` at its end is a folder. */
  type?: 'file' | 'dir' | 'symlink' | 'hardlink';
  data?: string | Buffer;
  mode?: number;
  /** Target of a link. */
  link?: string;
  uid?: number;
  gid?: number;
  /** Seconds since 1970. */
  mtime?: number;
}

const blockBytes = 512;
const flags = { file: '0', hardlink: '1', symlink: '2', dir: '5' } as const;

/** The archive (POSIX.1-1988 ustar), with its two empty blocks at the end. */
export function tarOf(entries: readonly TarEntry[]): Buffer {
  const blocks = entries.flatMap((entry) => {
    const data = Buffer.from(entry.data ?? '');
    const padding = Buffer.alloc((blockBytes - (data.length % blockBytes)) % blockBytes);
    return [headerOf(entry, data.length), data, padding];
  });
  return Buffer.concat([...blocks, Buffer.alloc(2 * blockBytes)]);
}

function headerOf(entry: TarEntry, size: number): Buffer {
  const type = entry.type ?? (entry.name.endsWith('/') ? 'dir' : 'file');
  const block = Buffer.alloc(blockBytes);
  const octal = (value: number, at: number, length: number) =>
    block.write(value.toString(8).padStart(length - 1, '0'), at, 'latin1');
  block.write(entry.name, 0, 100);
  octal(entry.mode ?? (type === 'dir' ? 0o755 : 0o644), 100, 8);
  octal(entry.uid ?? 0, 108, 8);
  octal(entry.gid ?? 0, 116, 8);
  octal(size, 124, 12);
  octal(entry.mtime ?? 1_700_000_000, 136, 12);
  block.write('        ', 148, 'latin1');
  block.write(flags[type], 156, 'latin1');
  block.write(entry.link ?? '', 157, 100);
  block.write('ustar\x0000', 257, 'latin1');
  octal(
    block.reduce((sum, byte) => sum + byte, 0),
    148,
    7,
  );
  return block;
}
