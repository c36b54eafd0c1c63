import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import test, { type TestContext } from 'node:test';
import { whyNot } from '../support/needs.ts';
import { disturbed, undisturbed } from './disturb.ts';
import { type Family, makeFamily } from './family.ts';
import { documentOf, each, labFolder, openSandbox, runPull } from './sandbox.ts';
import { type Chance, seeded } from './seed.ts';

/**
 * Finer than the points that the engine knows: SIGKILL when a thread of flyd, or a command that it runs,
 * enters a system call that changes what is on the host. strace brings it about; the calls are sampled.
 */
const calls =
  '/^(rename|mount|umount|move_mount|fsmount|fsconfig|open_tree|ioctl|link|unlink|fsync|fdatasync|syncfs|execve)';
/** With one thread for files, the how-manieth call of a thread is the same call each time. */
const env = { UV_THREADPOOL_SIZE: '1' };
// Not with --seccomp-bpf, which would be faster: strace 6.1 then forgets every `when` above 1.
const strace = ['strace', '--follow-forks', '-qq', '-e', 'signal=none'];

/** A system call to be killed at: its name, and the how-manieth of its thread; an execve by its program. */
interface Shot {
  call: string;
  when: number;
  program: string | null;
}

/** Every call of interest that an undisturbed pull makes. */
async function recorded(lab: string, family: Family, driver: string): Promise<Shot[]> {
  const sandbox = await openSandbox(lab, family, driver);
  try {
    const file = join(sandbox.folder, 'calls');
    documentOf(await runPull(sandbox, { env, under: [...strace, '-e', `trace=${calls}`, '-o', file] }));
    const counts = new Map<string, number>();
    return readFileSync(file, 'utf8')
      .split('\n')
      .flatMap((line): Shot[] => {
        const [, thread, call, program] = /^(\d+)\s+(\w+)\((?:"([^"]*)")?/.exec(line) ?? [];
        if (thread === undefined || call === undefined) return [];
        if (call === 'execve') return [{ call, when: 1, program: program ?? null }];
        const when = (counts.get(`${thread} ${call}`) ?? 0) + 1;
        counts.set(`${thread} ${call}`, when);
        return [{ call, when, program: null }];
      })
      .filter(({ program }) => program !== process.execPath);
  } finally {
    await sandbox.close();
  }
}

const nameOf = ({ call, when, program }: Shot): string =>
  `${call} ${program ?? `number ${when} of its thread`}`;

/** Some of each kind of call, none twice. */
function choose(shots: readonly Shot[], count: number, chance: Chance): Shot[] {
  const byCall = new Map<string, Shot[]>();
  for (const shot of new Map(shots.map((each) => [nameOf(each), each])).values())
    byCall.set(shot.call, [...(byCall.get(shot.call) ?? []), shot]);
  const kinds = [...byCall.values()];
  const first = kinds.map((kind) => chance.pick(kind));
  const rest = kinds.flat().filter((shot) => !first.includes(shot));
  return [...first, ...chance.sample(rest, count - first.length)];
}

function under({ call, when, program }: Shot): string[] {
  const path = program === null ? [] : ['--trace-path', program];
  return [
    ...strace,
    ...path,
    '-e',
    `trace=${call}`,
    '-e',
    `inject=${call}:signal=KILL:when=${when}`,
    '-o',
    '/dev/null',
  ];
}

async function shootAt(t: TestContext, driver: string, few: number): Promise<void> {
  const count = Number(process.env.FLYD_TEST_SHOTS ?? few);
  const lab = labFolder(t);
  const family = makeFamily(lab, { bytes: 1_500_000 }); // enough that a driver prepares the layer
  const { reference } = await undisturbed(lab, family, driver);
  const shots = choose(await recorded(lab, family, driver), count, seeded(t));
  const failures: string[] = [];
  let killed = 0;
  // Under strace a process stops at each call for its tracer: on busy cores that takes long.
  await each(shots, Math.max(1, availableParallelism() / 2), async (shot) => {
    const { struck, problems } = await disturbed({
      lab,
      family,
      driver,
      reference,
      blows: [{ env, under: under(shot) }],
    });
    if (struck[0]?.signal === 'SIGKILL') killed++;
    if (problems.length > 0) failures.push(`killed at ${nameOf(shot)}:\n  ${problems.join('\n  ')}`);
  });
  const kinds = [...new Set(shots.map(({ call }) => call))].join(', ');
  t.diagnostic(`${driver}: ${shots.length} shots at ${kinds}; ${killed} killed flyd itself`);
  assert.deepEqual(failures, []);
  // Some shots hit a command that flyd runs, which then tries again or another way.
  assert.ok(killed > shots.length / 2, `only ${killed} of ${shots.length} shots hit flyd`);
}

test('a pull that is killed in the middle of a system call ends as if nothing had happened (overlay)', async (t) => {
  const missing = whyNot(['zstd', 'getfattr', 'strace', 'root', 'overlay', 'setfattr']);
  if (missing !== null) return t.skip(missing);
  await shootAt(t, 'overlay', 14);
});

test('a pull that is killed in the middle of a system call ends as if nothing had happened (copy)', async (t) => {
  const missing = whyNot(['zstd', 'getfattr', 'strace']);
  if (missing !== null) return t.skip(missing);
  await shootAt(t, 'copy', 10);
});
