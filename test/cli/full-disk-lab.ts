import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { copySmallDisk, type DiskKind, makeSmallDisk, type SmallDisk } from '../support/small-disk.ts';
import { type Ended, openScene, type Running, type Scene } from './scene.ts';

/** What a command is told while its disk fills up: where its process is stopped, and how much room is left then. */
export interface Drill {
  command: CommandName;
  driver: string;
  /** A point of FLYD_FAULT; null: the disk is full before the command begins. */
  point: string | null;
  /** What the disk lacks, and how much of that it has left: KiB, or inodes. */
  lack: 'room' | 'inodes';
  left: number;
  /** The command is killed there on the full disk, and then given again. */
  killAt?: string;
}

export interface Outcome {
  /** `done`, the code of the error, or the signal that ended it. */
  end: string;
  /** What was being done. */
  op: string;
  problems: string[];
}

// biome-ignore format: one line says it
export const commandNames = ['pull', 'activate', 'deactivate', 'rm', 'gc', 'backup', 'unpin', 'images'] as const;
export type CommandName = (typeof commandNames)[number];
/** Those that an operator makes room with, or looks with: they end well on the fullest disk. */
const alwaysEndWell: readonly CommandName[] = ['deactivate', 'rm', 'gc', 'unpin', 'images'];

export interface Lab {
  /** The points that the command passes undisturbed, each once, with its occurrence. */
  points(command: CommandName, driver: string): Promise<string[]>;
  drill(drill: Drill): Promise<Outcome>;
  close(): Promise<void>;
}

const MiB = 1024 * 1024;
const diskBytes = 40 * MiB;
/** The btrfs driver is at home on a btrfs; on another disk its own would be in a sparse file, which no one promises to survive this. */
const kindFor = (driver: string): DiskKind => (driver === 'btrfs' ? 'btrfs' : 'ext4');
/** Few attempts, soon after one another, and little patience with the database. */
const quick = { FLYD_RETRY: 'attempts=2,pauseMs=5,pauseMsMax=5' };
const patience = ['--timeout', 'databaseMs=300'];

/** A server, a family, and for each driver a disk that knows it and one that has it. Needs root. */
export async function openFullDiskLab(kindOf = kindFor): Promise<Lab> {
  const scene = await openScene();
  await putFamily(scene);
  const prepared = new Map<string, Promise<string>>();
  let count = 0;

  const place = (disk: SmallDisk): string[] => [
    ...['--state-dir', disk.folder, '--mount-root', `${disk.folder}-mnt`],
    ...patience,
  ];
  const flyd = (disk: SmallDisk, args: readonly string[], fault?: string): Running =>
    scene.start([...args, ...place(disk), '--json'], {
      ...quick,
      ...(fault === undefined ? {} : { FLYD_FAULT: fault }),
    });
  const must = async (disk: SmallDisk, args: readonly string[]): Promise<Ended> => {
    const ended = await flyd(disk, args).ended;
    if (ended.code !== 0) throw new Error(`${args[0]}: ${ended.stdout}${ended.stderr}`);
    return ended;
  };
  const pullArgs = (driver: string, ...more: string[]): string[] => [
    ...['pull', 'big', '--source', 's3://images', '--endpoint', scene.endpoint, '--anonymous'],
    ...['--driver', driver, ...more],
  ];

  /** The file of a disk on which the command has something to do; not mounted. */
  function diskFor(command: CommandName, driver: string): Promise<string> {
    const name = command === 'pull' ? `fresh-${driver}` : `pulled-${driver}`;
    const known = prepared.get(name);
    if (known !== undefined) return known;
    const making = (async () => {
      const disk = makeSmallDisk(
        join(scene.folder, `${name}.img`),
        join(scene.folder, name),
        diskBytes,
        kindOf(driver),
      );
      try {
        await must(disk, ['gc']);
        if (command !== 'pull') await must(disk, pullArgs(driver, '--no-activate'));
      } finally {
        disk.close();
      }
      return disk.image;
    })();
    prepared.set(name, making);
    return making;
  }

  async function onDisk<T>(
    command: CommandName,
    driver: string,
    work: (disk: SmallDisk) => Promise<T>,
  ): Promise<T> {
    const from = await diskFor(command, driver);
    const folder = join(scene.folder, `disk-${count++}`);
    const disk = copySmallDisk(from, `${folder}.img`, folder);
    try {
      return await work(disk);
    } finally {
      unmountBelow(`${folder}-mnt`);
      disk.close();
      rmSync(`${folder}.img`);
    }
  }

  /** What the command is on this disk; brings about what it is to take away. */
  async function argsOf(disk: SmallDisk, command: CommandName, driver: string): Promise<string[]> {
    switch (command) {
      case 'pull':
        return pullArgs(driver);
      case 'activate':
        return ['activate', 'big'];
      case 'rm':
        return ['rm', 'big'];
      case 'gc':
        return ['gc', '--max-bytes', '1'];
      case 'unpin':
        return ['unpin', 'big'];
      case 'images':
        return ['images'];
      case 'backup':
        return ['db', 'backup', join(disk.folder, 'backup.db')];
      case 'deactivate': {
        const { stdout } = await must(disk, ['activate', 'big']);
        return ['deactivate', (JSON.parse(stdout) as { output: { id: string } }).output.id];
      }
    }
  }

  return {
    points: (command, driver) =>
      onDisk(command, driver, async (disk) => {
        const file = join(scene.folder, `points-${count++}`);
        const args = await argsOf(disk, command, driver);
        await flyd(disk, args, `record:${file}`).ended;
        const seen = new Map<string, number>();
        if (!existsSync(file)) return []; // it moves no run
        return readFileSync(file, 'utf8')
          .trimEnd()
          .split('\n')
          .map((point) => {
            const times = (seen.get(point) ?? 0) + 1;
            seen.set(point, times);
            return times === 1 ? point : `${point}#${times}`;
          });
      }),
    drill: ({ command, driver, point, lack, left, killAt }) =>
      onDisk(command, driver, async (disk) => {
        const args = await argsOf(disk, command, driver);
        const fill = () => (lack === 'inodes' ? disk.fillInodesBut(left) : disk.fillBut(left * 1024));
        let makeRoom = point === null ? fill() : null;
        if (killAt !== undefined) await flyd(disk, args, `${killAt}:kill`).ended;
        const running = flyd(disk, args, point === null ? undefined : `${point}:stop`);
        if (makeRoom === null && (await isStopped(running))) {
          makeRoom = fill();
          running.child.kill('SIGCONT');
        }
        const ended = await running.ended;
        makeRoom?.();
        const { end, op } = readEnd(ended);
        /**
         * SQLite maps the index of its log into memory, and a btrfs that has no room left lets nobody write to a
         * mapped page, though it is allocated. Nobody can catch that: it counts as a kill.
         */
        const isBusError =
          end === 'SIGBUS' && kindOf(driver) === 'btrfs' && makeRoom !== null && point !== null;
        const problems = isBusError ? [] : judgeEnd(ended, end, makeRoom === null ? null : lack);
        if (end !== 'done' && !isBusError && alwaysEndWell.includes(command))
          problems.push(`it ended with ${end} ${op}`);
        problems.push(...(await goesOn(disk, args, end)));
        return { end, op, problems };
      }),
    close: () => scene.close(),
  };

  /** There is room again: the work ends, and nothing is broken or left over. */
  async function goesOn(disk: SmallDisk, args: readonly string[], end: string): Promise<string[]> {
    const before = await flyd(disk, ['doctor', '--verify']).ended;
    const problems = before.code === 0 ? [] : [`broken while the disk was full: ${before.stdout}`];
    if (end !== 'done') {
      await flyd(disk, ['resume']).ended;
      const again = await flyd(disk, args).ended;
      // What a resumed run has taken away is not there to be taken away again.
      const gone = /"(activation_not_found|image_not_found)"/.test(again.stdout) && args[0] !== 'activate';
      if (again.code !== 0 && !gone) problems.push(`it does not go on: ${again.stdout}${again.stderr}`);
    }
    await must(disk, ['gc']);
    const { stdout } = await flyd(disk, ['doctor', '--verify']).ended;
    const { violations, leftovers } = JSON.parse(stdout) as { violations: unknown[]; leftovers: unknown[] };
    for (const one of [...violations, ...leftovers]) problems.push(JSON.stringify(one));
    return problems;
  }
}

/** Waits until the process has stopped itself; false when it ended without. */
async function isStopped({ child }: Running): Promise<boolean> {
  for (;;) {
    if (child.exitCode !== null || child.signalCode !== null) return false;
    const state = /^State:\s+(\w)/m.exec(readFileSync(`/proc/${child.pid}/status`, 'utf8'))?.[1];
    if (state === 'T') return true;
    if (state === 'Z') return false;
    await new Promise((give) => setTimeout(give, 5));
  }
}

function readEnd({ code, signal, stdout }: Ended): { end: string; op: string } {
  if (signal !== null) return { end: signal, op: '' };
  if (code === 0) return { end: 'done', op: '' };
  try {
    const { error } = JSON.parse(stdout) as { error?: { code: string; op: string | null } };
    return { end: error?.code ?? 'no error', op: error?.op ?? '' };
  } catch {
    return { end: 'no document', op: '' };
  }
}

/** What a message must say of what is free. */
const figures = { room: /\d+(\.\d+)? [KM]iB/, inodes: /\d+ (of \d+ )?inodes/ };

function judgeEnd({ code, stdout, stderr }: Ended, end: string, lack: Drill['lack'] | null): string[] {
  if (end === 'done') return [];
  const told = `${stdout}${stderr}`;
  const problems: string[] = [];
  if (lack === null) problems.push(`it failed before the disk was full: ${told}`);
  if (code !== 1) problems.push(`its exit code is ${code}`);
  if (end !== 'no_space') problems.push(`it failed with ${end}: ${told}`);
  else if (lack !== null && !figures[lack].test(stdout))
    problems.push(`it does not say how much is free: ${stdout}`);
  if (/^\s+at /m.test(stderr)) problems.push(`a stack trace: ${stderr}`);
  return problems;
}

function unmountBelow(folder: string): void {
  const points = readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .map((line) => line.split(' ')[4] ?? '')
    .filter((point) => point.startsWith(`${folder}/`));
  for (const point of points.reverse()) execFileSync('umount', [point]);
}

/** One layer that does not compress, large enough for everything that is done beside its fetch; and a small one. */
async function putFamily(scene: Scene): Promise<void> {
  const noise = (n: number): string => randomBytes(30_000).toString('base64') + n;
  const files = Array.from({ length: 48 }, (_, n) => ({
    type: 'file' as const,
    path: `f${n}`,
    content: noise(n),
  }));
  await scene.putLayers('big', [
    { name: '0.tar.gz', entries: files },
    { name: '1.tar.gz', entries: [{ type: 'file', path: 'last', content: 'y' }] },
  ]);
}

/** Every drill, so many at once: what went wrong, and how often each command ended how. */
export async function sweep(
  lab: Lab,
  drills: readonly Drill[],
  atOnce: number,
  tell: (line: string) => void = () => {},
): Promise<{ failures: string[]; tally: Map<string, number> }> {
  const failures: string[] = [];
  const tally = new Map<string, number>();
  const left = [...drills];
  await Promise.all(
    Array.from({ length: atOnce }, async () => {
      for (let drill = left.shift(); drill !== undefined; drill = left.shift()) {
        const { end, op, problems } = await lab.drill(drill);
        const what = `${drill.command} ${drill.driver}: ${end} ${op}`;
        tally.set(what, (tally.get(what) ?? 0) + 1);
        const label = `${drill.command} ${drill.driver} ${drill.point ?? 'from the start'}, ${drill.left} ${drill.lack === 'room' ? 'KiB' : 'inodes'} free`;
        tell(`${label}: ${end} ${op}`);
        if (problems.length > 0) failures.push(`${label}:\n  ${problems.join('\n  ')}`);
      }
    }),
  );
  return { failures, tally: new Map([...tally].sort()) };
}

/** A drill for each of these moments and each of these fills: KiB, or inodes. */
export const drillsOf = (
  command: CommandName,
  driver: string,
  points: readonly (string | null)[],
  fills: readonly number[],
  lack: Drill['lack'] = 'room',
): Drill[] => points.flatMap((point) => fills.map((left) => ({ command, driver, point, lack, left })));
