import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import type { Member } from './crowd-member.ts';
import { rows } from './judge.ts';
import type { Ended, Sandbox } from './sandbox.ts';
import type { Chance } from './seed.ts';

/** What a command in a crowd may be told: what it was asked to work on is gone, or somebody needs it. */
const refusals: readonly string[] = [
  'image_not_found',
  'image_in_use',
  'activation_not_found',
  'activation_busy',
];

export interface Tally {
  commands: number;
  killed: number;
  /** How many commands each in the crowd has brought to an end, or to its kill. */
  each: number[];
  /** How often each command came to its end, by name. */
  done: Record<string, number>;
  /** How often each refusal was given. */
  refused: Record<string, number>;
  /** Ends that no crowd excuses. */
  wrong: string[];
}

export const newTally = (): Tally => ({ commands: 0, killed: 0, each: [], done: {}, refused: {}, wrong: [] });

/** The commands of whoever had the fewest, as a share of the mean: 1 is as fair as can be. */
export const leastShare = ({ commands, each }: Tally): number =>
  commands === 0 ? 0 : Math.min(...each) / (commands / each.length);

export interface Manners {
  families: readonly string[];
  chance: Chance;
  /** One of so many commands is killed. */
  killOneOf: number;
  /** Who is killed is killed within so many milliseconds of its start: about what a pull takes in the crowd. */
  killWithinMs: number;
}

/** One in the crowd: command after command until it is time, some killed on the way, and the next one begun. */
export async function mingle(
  sandbox: Sandbox,
  member: Member,
  { families, chance, killOneOf, killWithinMs }: Manners,
  tally: Tally,
  isOver: () => boolean,
): Promise<void> {
  const own = tally.each.push(0) - 1;
  // Everybody's share is as hard as the others': what is left to tell them apart is how they were served.
  const kinds = chance.deck(commandKinds);
  const kills = chance.deck(Array.from({ length: killOneOf }, (_, at) => at === 0));
  try {
    while (!isOver()) {
      const args = chooseCommand(sandbox, kinds(), families, chance);
      const isToDie = kills();
      const killAfterMs = isToDie ? chance.pick([0.2, 0.4, 0.6, 0.8, 1]) * killWithinMs : null;
      const ended = await member.run(args, killAfterMs);
      tally.each[own] = (tally.each[own] ?? 0) + 1;
      account(tally, args, ended, isToDie);
    }
  } finally {
    member.close();
  }
}

const commandKinds = [
  'pull',
  'pull',
  'activate',
  'activate',
  'deactivate',
  'deactivate',
  'rm',
  'gc',
  'resume',
] as const;

function chooseCommand(
  sandbox: Sandbox,
  kind: (typeof commandKinds)[number],
  families: readonly string[],
  chance: Chance,
): string[] {
  const pull = (): string[] => ['pull', chance.pick(families), ...sandbox.pullArgs];
  if (kind === 'pull' || !hasTables(sandbox)) return pull();
  if (kind === 'gc') return ['gc'];
  if (kind === 'resume') return ['resume', '--all'];
  if (kind === 'rm') return ['rm', chance.pick(families), ...chance.pick([['--force'], []])];
  if (kind === 'activate') return ['activate', chance.pick(families)];
  const active = rows<{ id: string }>(sandbox, 'SELECT id FROM activations');
  return active.length === 0 ? pull() : ['deactivate', chance.pick(active).id];
}

function account(
  tally: Tally,
  args: readonly string[],
  { code, signal, stdout, stderr }: Ended,
  wasToDie: boolean,
): void {
  const name = args[0] ?? '';
  tally.commands += 1;
  if (signal === 'SIGKILL' && wasToDie) tally.killed += 1;
  else if (code === 0) tally.done[name] = (tally.done[name] ?? 0) + 1;
  else {
    const codes = [...stdout.matchAll(/"code": "([a-z_]+)"/g)].map(([, found]) => found ?? '');
    const odd = codes.filter((found) => !refusals.includes(found));
    // A command can be told of a run that somebody else's blow has hit; its own end says why.
    if (signal !== null || codes.length === 0 || odd.length > 0)
      tally.wrong.push(`${args.join(' ')}: ${signal ?? code}\n${stdout}${stderr}`);
    for (const found of codes) tally.refused[found] = (tally.refused[found] ?? 0) + 1;
  }
}

interface Census {
  volumes: { id: string; driver: string; chain: string; state: string }[];
  activations: { id: string; driver: string; path: string | null; state: string }[];
  blobs: { digest: string; size: number; state: string }[];
  /** Activations that a run takes down: they may be unmounted already, and are not gone yet. */
  leaving: { id: string }[];
}

/** Whether somebody has made the tables yet. */
const hasTables = (sandbox: Sandbox): boolean =>
  existsSync(join(sandbox.state, 'flyd.db')) &&
  rows(sandbox, "SELECT name FROM sqlite_schema WHERE name = 'activations'").length > 0;

const census = (sandbox: Sandbox): Census => ({
  // First: one that ends meanwhile takes its activation with it.
  leaving: rows(sandbox, "SELECT key AS id FROM runs WHERE machine = 'deactivate' AND ended_at IS NULL"),
  volumes: rows(sandbox, 'SELECT id, driver, chain, state FROM volumes'),
  activations: rows(sandbox, 'SELECT id, driver, path, state FROM activations'),
  blobs: rows(sandbox, 'SELECT digest, size, state FROM blobs'),
});

/**
 * What is wrong at this moment, while everybody works, as the kernel and the files show it. The database is
 * read before and after: what it says both times must be so, and what neither time knows must not be there.
 */
export function sample(sandbox: Sandbox): string[] {
  if (!hasTables(sandbox)) return [];
  const before = census(sandbox);
  const mounted = mountPointsUnder(sandbox.mountRoot);
  const volumes = new Set(namesIn(join(sandbox.state, 'volumes', sandbox.driver)).flatMap(idIn));
  const blobs = new Set(namesIn(join(sandbox.state, 'blobs/sha256')));
  const after = census(sandbox);
  const steady = <Row extends { state: string }>(
    state: string,
    key: (row: Row) => string,
    then: Row[],
    now: Row[],
  ): Row[] => {
    const still = new Set(now.filter((row) => row.state === state).map(key));
    return then.filter((row) => row.state === state && still.has(key(row)));
  };
  const leaving = new Set([...before.leaving, ...after.leaving].map(({ id }) => id));
  const known = new Set(
    [before, after].flatMap((each) => [...each.volumes, ...each.activations].map(({ id }) => id)),
  );
  const chains = after.volumes
    .filter(({ state }) => state === 'sealed')
    .map(({ driver, chain }) => `${driver} ${chain}`);
  return [
    ...steady('active', ({ id }) => id, before.activations, after.activations)
      .filter(
        ({ id, path }) =>
          path !== null && !leaving.has(id) && mounted.filter((point) => point === path).length !== 1,
      )
      .map(
        ({ id, path }) => `active ${id} is mounted ${mounted.filter((point) => point === path).length} times`,
      ),
    ...steady('sealed', ({ id }) => id, before.volumes, after.volumes)
      .filter(({ id }) => !volumes.has(id))
      .map(({ id }) => `sealed ${id} is not there`),
    ...steady('whole', ({ digest }) => digest, before.blobs, after.blobs)
      .filter(({ digest }) => !blobs.has(digest.replace('sha256:', '')))
      .map(({ digest }) => `whole ${digest} is not there`),
    ...[...volumes, ...mounted.flatMap((point) => idIn(basename(point)))]
      .filter((id) => !known.has(id))
      .map((id) => `nobody knows ${id}`),
    ...chains.filter((chain, at) => chains.indexOf(chain) !== at).map((chain) => `two volumes of ${chain}`),
  ];
}

/** The id with which a name begins. */
const idIn = (name: string): string[] => /^(?:vol|act)-[0-9a-f]{16}/.exec(name)?.slice(0, 1) ?? [];

function namesIn(folder: string): string[] {
  return existsSync(folder) ? readdirSync(folder) : [];
}

const mountPointsUnder = (root: string): string[] =>
  readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .map((line) => line.split(' ')[4] ?? '')
    .filter((point) => point.startsWith(`${root}/`));
