import { accessSync, constants, statSync } from 'node:fs';
import { delimiter, isAbsolute, join } from 'node:path';
import { execa } from 'execa';
import { aborted, diskHint, FlydError, recoverable, unrecoverable } from '#core/errors';

export interface ExecOptions {
  /** The operation that needs the command, for errors and logs. */
  op: string;
  /** Milliseconds until the command is told to end (SIGTERM, 5 s later SIGKILL). Default 30 s. */
  timeoutMs?: number;
  /** What the command reads on its standard input; without it, it reads nothing. */
  input?: string | Uint8Array;
  /** Exit codes that are no failure. Default: only 0. */
  okCodes?: readonly number[];
  signal?: AbortSignal | undefined;
  /** Working directory, for commands that take relative paths. */
  cwd?: string;
  /** What the command works on, for errors. */
  subject?: string;
  /** More environment for the child; it gets nothing but this, PATH and LC_ALL=C. */
  env?: Readonly<Record<string, string>>;
}

export interface ExecResult {
  stdout: string;
  stderr: string;
  code: number;
}

/**
 * Runs one external command, found on the host by its name, with arguments as they are (never a shell).
 * Throws `command_missing`, `command_failed` (facts: `code`, `signal`, `stderr`), `command_timeout`, or
 * the reason of `signal`.
 */
export type Exec = (command: string, args: readonly string[], options: ExecOptions) => Promise<ExecResult>;

export interface ExecLog {
  debug(fields: object, message: string): void;
}

export interface ExecDependencies {
  log?: ExecLog | undefined;
  /**
   * The fd of a lock of flock(2) that every child inherits: a child that outlives a killed flyd keeps
   * the lock held until it ends too, so that whoever takes over waits for it.
   */
  lockFd?: number | undefined;
  /** Folders to search, as in `PATH`; the system's sbin folders come after them in any case. */
  path?: string | undefined;
}

const systemPath = ['/usr/local/sbin', '/usr/local/bin', '/usr/sbin', '/usr/bin', '/sbin', '/bin'];
const timeoutMsDefault = 30_000;
const killDelayMs = 5_000;
/** A child in an uninterruptible sleep ends at no signal: this long after SIGKILL nobody waits for it. */
const abandonMs = 5_000;
const stderrMax = 4_000;

/** The one way to run external commands. See `Exec` for what it promises. */
export function createExec({ log, lockFd, path }: ExecDependencies = {}): Exec {
  const folders = [...new Set([...(path ?? '').split(delimiter).filter(isAbsolute), ...systemPath])];
  const found = new Map<string, string>();

  const resolve = (command: string, op: string): string => {
    const known = found.get(command) ?? findCommand(command, folders);
    if (known === null) throw missing(command, op);
    found.set(command, known);
    return known;
  };

  return async (command, args, options) => {
    const { op, timeoutMs = timeoutMsDefault, okCodes = [0], signal } = options;
    const file = resolve(command, op);
    signal?.throwIfAborted();
    const started = performance.now();
    const child = execa(file, args, {
      cwd: options.cwd ?? '/',
      env: { LC_ALL: 'C', PATH: folders.join(delimiter), ...options.env },
      extendEnv: false,
      reject: false,
      timeout: timeoutMs,
      forceKillAfterDelay: killDelayMs,
      stripFinalNewline: false,
      // An ended pipe rather than /dev/null, which a hardened host may keep from other users.
      input: options.input ?? '',
      ...(signal === undefined ? {} : { cancelSignal: signal }),
      stdio: [
        'pipe',
        'pipe',
        'pipe',
        // execa takes any open fd here; its types know the numbers to 9 only
        ...(lockFd === undefined ? [] : [lockFd as 3]),
      ],
    });
    const result = await within(child, timeoutMs + killDelayMs + abandonMs);
    const fields = { op, command, args, ms: Math.round(performance.now() - started) };
    if (result === null) {
      log?.debug(fields, 'command abandoned');
      throw timedOut(command, args, options, timeoutMs, 'it does not end even when killed');
    }
    log?.debug({ ...fields, code: result.exitCode ?? null, signal: result.signal ?? null }, 'command ended');
    if (result.isCanceled) throw cancelled(command, options);
    const stderr = String(result.stderr ?? '');
    if (result.timedOut)
      throw timedOut(command, args, options, timeoutMs, lastLines(stderr) || 'it said nothing');
    if (result.exitCode === undefined || !okCodes.includes(result.exitCode))
      throw failed(command, args, options, {
        code: result.exitCode ?? null,
        signal: result.signal ?? null,
        stderr: stderr === '' && result.exitCode === undefined ? (result.originalMessage ?? '') : stderr,
      });
    return { stdout: String(result.stdout ?? ''), stderr, code: result.exitCode };
  };
}

/** What `child` gives, or null when it takes longer than `ms`. */
async function within<T>(child: PromiseLike<T>, ms: number): Promise<T | null> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<null>((give) => {
    timer = setTimeout(() => give(null), ms);
  });
  try {
    return await Promise.race([child, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** The absolute path of an executable file of this name in the first folder that has one, or null. */
export function findCommand(command: string, folders: readonly string[] = systemPath): string | null {
  if (isAbsolute(command)) return isExecutable(command) ? command : null;
  if (command.includes('/')) return null;
  for (const folder of folders) {
    const candidate = join(folder, command);
    if (isExecutable(candidate)) return candidate;
  }
  return null;
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false;
  }
}

/** Debian's package of each command that flyd runs. */
const packages: Readonly<Record<string, string>> = {
  dmsetup: 'dmsetup',
  losetup: 'mount',
  mount: 'mount',
  umount: 'mount',
  wipefs: 'util-linux',
  blkdiscard: 'util-linux',
  fstrim: 'util-linux',
  fallocate: 'util-linux',
  unshare: 'util-linux',
  'mkfs.ext4': 'e2fsprogs',
  e2fsck: 'e2fsprogs',
  resize2fs: 'e2fsprogs',
  'mkfs.xfs': 'xfsprogs',
  xfs_growfs: 'xfsprogs',
  thin_ls: 'thin-provisioning-tools',
  thin_check: 'thin-provisioning-tools',
  thin_dump: 'thin-provisioning-tools',
  modprobe: 'kmod',
  cp: 'coreutils',
  rm: 'coreutils',
  sync: 'coreutils',
  find: 'findutils',
};

function missing(command: string, op: string): FlydError {
  const name = packages[command];
  return unrecoverable('command_missing', `${command} is not installed`, {
    op,
    subject: command,
    hint: name === undefined ? `install ${command}` : `apt-get install ${name}`,
  });
}

function failed(
  command: string,
  args: readonly string[],
  { op, subject }: ExecOptions,
  how: { code: number | null; signal: string | null; stderr: string },
): FlydError {
  const end = how.signal === null ? `exit code ${how.code ?? 'none'}` : how.signal;
  const said = lastLines(how.stderr);
  return recoverable('command_failed', `${command}: ${said === '' ? end : `${said} (${end})`}`, {
    op,
    subject: subject ?? command,
    hint: /Input\/output error/.test(how.stderr) ? diskHint : undefined,
    facts: {
      command: [command, ...args].join(' '),
      code: how.code,
      signal: how.signal,
      stderr: how.stderr.slice(-stderrMax),
    },
  });
}

function timedOut(
  command: string,
  args: readonly string[],
  { op, subject }: ExecOptions,
  timeoutMs: number,
  said: string,
): FlydError {
  return recoverable('command_timeout', `${command} did not end in ${timeoutMs / 1000} s: ${said}`, {
    op,
    subject: subject ?? command,
    facts: { command: [command, ...args].join(' '), timeoutMs },
  });
}

function cancelled(command: string, { op, subject, signal }: ExecOptions): unknown {
  if (signal?.reason instanceof FlydError) return signal.reason;
  return aborted('cancelled', `${command} was stopped`, {
    op,
    subject: subject ?? command,
    cause: signal?.reason,
  });
}

const lastLines = (text: string): string => text.trim().split('\n').slice(-3).join(' / ').slice(0, 600);

/** What a failed command wrote to its standard error; empty for any other error. */
export function stderrOf(error: unknown): string {
  const stderr = error instanceof FlydError ? error.facts?.stderr : undefined;
  return typeof stderr === 'string' ? stderr : '';
}
