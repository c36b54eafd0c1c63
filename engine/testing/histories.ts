import { isDeepStrictEqual } from 'node:util';
import type { Database } from 'better-sqlite3';
import { createReads } from '#db/engine/index';
import type { Definition } from '../definition.ts';
import {
  begin,
  type MachineEvent,
  type Moved,
  move,
  persist,
  revive,
  type Snapshot,
  stand,
} from '../statechart.ts';
import type { Json } from '../types.ts';
import { patched } from './patch.ts';

/** All that a run has been through, as plain data: to be kept in a file, and replayed by later builds. */
export interface RecordedHistory {
  machine: string;
  version: number;
  input: Json;
  commits: RecordedCommit[];
}

export interface RecordedCommit {
  event: MachineEvent;
  /** The state that it led to. */
  to: string;
  /** What it started, as `src` or `src#id`. */
  effects: string[];
  /** The snapshot after it; or the RFC 6902 patch that makes it of the one before. */
  snapshot?: Json;
  patch?: Json;
}

/** Where a definition would do something else than the one that was recorded. */
export interface Drift {
  /** The commit, from 1. */
  seq: number;
  event: string;
  /**
   * `refused`: a run that stands there would be parked. `state`, `effects`, `data`: it goes on, and comes to
   * another state, starts other effects, or keeps other data than was recorded.
   */
  what: 'refused' | 'state' | 'effects' | 'data';
  message: string;
}

/** The histories of all runs of a database whose first commit is still there, oldest run first. */
export function recordHistories(db: Database): RecordedHistory[] {
  const reads = createReads(db);
  return reads.runs({}).flatMap((row) => {
    const rows = reads.history(row.id);
    if (rows[0]?.seq !== 1) return [];
    const commits = rows.map(({ event, toState, effects, patch, snapshot }) => ({
      event: JSON.parse(event) as MachineEvent,
      to: toState,
      effects: JSON.parse(effects) as string[],
      ...(snapshot === null
        ? { patch: JSON.parse(patch ?? '[]') as Json }
        : { snapshot: JSON.parse(snapshot) as Json }),
    }));
    return [{ machine: row.machine, version: row.version, input: JSON.parse(row.input) as Json, commits }];
  });
}

/**
 * Plays what was recorded to the definition as it is now: each snapshot must fit into it, and each event
 * must lead from there to the state, the effects and the data that were recorded. Where the definition is
 * of a later version, each snapshot must fit after its migration, and no more is compared. Gives the
 * differences: none means that runs of that kind would not notice the change.
 */
export function replayHistory(definition: Definition, recorded: RecordedHistory): Drift[] {
  const drifts: Drift[] = [];
  const { machine } = definition;
  let stored: Json = null;
  let live: Snapshot | null = null;
  const timers = new Map<string, MachineEvent>();
  for (const [at, commit] of recorded.commits.entries()) {
    const before: Json = stored;
    const note = (what: Drift['what'], message: string): void =>
      void drifts.push({ seq: at + 1, event: commit.event.type, what, message });
    stored = commit.snapshot ?? patched(before, commit.patch as never);
    if (recorded.version === definition.version && isTransition(commit, before, stored)) {
      const moved = attempt(note, () =>
        at === 0 ? begin(machine, recorded.input) : live && move(machine, live, commit.event),
      );
      if (moved) {
        compare(machineEnd(machine, moved), commit, stored, note);
        keepTimers(timers, commit.event, moved);
      }
    } else if (commit.event.type === 'flyd.reset') timers.clear();
    const current = stored;
    live = attempt(note, () => revive(machine, migrated(definition, recorded, current), timers.values()));
  }
  return drifts;
}

/** Failed attempts, parks and retries are rows of the history, and no transitions. */
const isTransition = ({ event }: RecordedCommit, before: Json, after: Json): boolean =>
  !event.type.startsWith('flyd.') || (event.type === 'flyd.cancel' && !isDeepStrictEqual(before, after));

function attempt<T>(note: (what: 'refused', message: string) => void, work: () => T): T | null {
  try {
    return work();
  } catch (thrown) {
    note('refused', thrown instanceof Error ? thrown.message : String(thrown));
    return null;
  }
}

function migrated(definition: Definition, { version }: RecordedHistory, snapshot: Json): Json {
  if (version === definition.version) return snapshot;
  const migrate = definition.migrate[version];
  if (migrate === undefined)
    throw new RangeError(`no migration from version ${version} to ${definition.version}`);
  return migrate(structuredClone(snapshot));
}

interface End {
  state: string;
  effects: string[];
  snapshot: Json;
}

const machineEnd = (machine: Definition['machine'], { snapshot, commands }: Moved): End => ({
  state: stand(snapshot).state,
  effects: commands.flatMap((command) =>
    command.type === 'spawn'
      ? [command.src === command.child ? command.src : `${command.src}#${command.child}`]
      : [],
  ),
  snapshot: persist(machine, snapshot),
});

function compare(
  end: End,
  commit: RecordedCommit,
  stored: Json,
  note: (what: Drift['what'], message: string) => void,
): void {
  if (end.state !== commit.to) note('state', `comes to '${end.state}', not to '${commit.to}'`);
  else if (!isDeepStrictEqual(end.effects, commit.effects))
    note('effects', `starts ${list(end.effects)}, not ${list(commit.effects)}`);
  else if (!isDeepStrictEqual(end.snapshot, stored))
    note('data', `keeps ${JSON.stringify(end.snapshot)}, not ${JSON.stringify(stored)}`);
}

const list = (names: readonly string[]): string => (names.length === 0 ? 'nothing' : names.join(', '));

function keepTimers(
  timers: Map<string, MachineEvent>,
  { type }: MachineEvent,
  { snapshot, commands }: Moved,
): void {
  timers.delete(type);
  for (const command of commands)
    if (command.type === 'schedule') timers.set(command.timer, command.event);
    else if (command.type === 'unschedule') timers.delete(command.timer);
  if (snapshot.status !== 'active') timers.clear();
}
