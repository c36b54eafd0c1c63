import { type ErrorRecord, unrecoverable } from '#core/errors';
import type { FoundRun, Reads, RunQuery, RunRow, ShownRunRow } from '#db/engine/index';
import type { Definition, SnapshotOf } from './definition.ts';
import { applyPatch, type PatchOperation } from './json.ts';
import { hasReferences, redact } from './secrets.ts';
import type { ChildRun, HistoryRow, Hold, Json, RunView } from './types.ts';

const parse = (text: string | null): Json => (text === null ? null : (JSON.parse(text) as Json));
/** Without secrets. A row that something else has spoilt is no reason to show none of them. */
function legible(text: string | null): Json {
  try {
    return hasReferences(text) ? redact(parse(text)) : parse(text);
  } catch {
    return null;
  }
}
const parseError = (text: string | null): ErrorRecord | null => parse(text) as ErrorRecord | null;

/** Generations below a run that are searched for the cause of its trouble. */
const depthMax = 8;

/** The row as anybody may see it; as a run of `D`, for a caller who knows that it is one. */
export function viewOf<D extends Definition>(
  reads: Reads,
  row: ShownRunRow,
  parents: readonly string[] = reads.parents(row.id).map(({ uid }) => uid),
): RunView<D> {
  const effects = row.endedAt === null ? reads.effects(row.id) : [];
  const timers = row.endedAt === null ? reads.timers(row.id) : [];
  const waitsFor = whatHolds(reads, row);
  const due = [...timers.map(({ dueAt }) => dueAt), ...effects.map(({ dueAt }) => dueAt)];
  for (const hold of waitsFor) if (hold.for === 'time') due.push(hold.until);
  return {
    id: row.uid,
    machine: row.machine,
    version: row.version,
    key: row.key,
    state: row.state,
    tags: JSON.parse(row.tags) as RunView<D>['tags'],
    status: row.status,
    attempts: row.attempts,
    owner: row.owner,
    input: legible(row.input) as RunView<D>['input'],
    output: (row.continuedAs === null ? legible(row.output) : null) as RunView<D>['output'],
    error: troubleOf(reads, row),
    nextAt: due.length === 0 ? null : Math.min(...due),
    queue: row.queue,
    priority: row.priority,
    waitsFor,
    labels: (parse(row.labels) ?? {}) as Record<string, string>,
    continuedAs: row.continuedAs === null ? null : (reads.run(row.continuedAs)?.uid ?? null),
    forkedFrom: parse(row.forkedFrom) as RunView['forkedFrom'],
    parents: [...parents],
    createdAt: row.createdAt,
    updatedAt: row.updatedAt,
    endedAt: row.endedAt,
  };
}

/** The same, of a row that was found by its id. */
export const viewOfFound = <D extends Definition>(reads: Reads, row: FoundRun): RunView<D> =>
  viewOf(reads, row, JSON.parse(row.parents) as string[]);

/** The newest runs that fit, as anybody may see them, oldest first. */
export const viewsOf = (reads: Reads, query: RunQuery): RunView[] =>
  reads.atOnce(() => {
    const rows = reads.runsToShow(query);
    const parents = reads.parentsOfAll(rows.map(({ id }) => id));
    return rows.map((row) => viewOf(reads, row, parents.get(row.id) ?? []));
  });

/** The runs that this one started or joined, and has not let go. */
export const childrenOf = <D extends Definition>(reads: Reads, row: RunRow): ChildRun<D>[] =>
  reads.links(row.id).flatMap(({ childId, child }) => {
    const below = reads.run(child);
    return below === undefined ? [] : [{ childId, run: viewOf(reads, below) } as ChildRun<D>];
  });

/** What keeps a run from beginning; nothing when it has begun. */
function whatHolds(reads: Reads, row: ShownRunRow): Hold[] {
  if (row.seq > 0 || row.endedAt !== null || row.admitted) return [];
  const holds: Hold[] = [];
  const uidOf = (id: number): string => reads.run(id)?.uid ?? '';
  if (row.replaces !== null) holds.push({ for: 'key', run: uidOf(row.replaces) });
  if (row.afterRun !== null)
    holds.push({ for: 'run', run: uidOf(row.afterRun), when: row.afterWhen ?? 'ended' });
  if (row.startAt !== null) holds.push({ for: 'time', until: row.startAt });
  if (row.queue !== null) holds.push({ for: 'queue', queue: row.queue });
  return holds;
}

/** What keeps a run from going on: its own error, or that of the child that it waits for. */
function troubleOf(reads: Reads, row: ShownRunRow, depth = 0): ErrorRecord | null {
  const own = parseError(row.error) ?? parseError(row.parked);
  if (own !== null || row.endedAt !== null) return own;
  const failing = reads.effects(row.id).filter(({ error }) => error !== null);
  const worst = failing.find(({ state }) => state === 'parked') ?? failing[0];
  if (worst !== undefined) return parseError(worst.error);
  if ((row.status !== 'parked' && row.status !== 'pending') || depth >= depthMax) return null;
  for (const { child, settled } of reads.links(row.id)) {
    const below = settled ? undefined : reads.run(child);
    if (below?.status !== row.status) continue;
    const trouble = troubleOf(reads, below, depth + 1);
    if (trouble !== null) return trouble;
  }
  return null;
}

/** The run's commits, oldest first. */
export function historyOf(reads: Reads, row: RunRow): HistoryRow[] {
  return reads.history(row.id).map((entry) => ({
    id: entry.id,
    seq: entry.seq,
    at: entry.at,
    event: (JSON.parse(entry.event) as { type: string }).type,
    from: entry.fromState,
    to: entry.toState,
    effects: JSON.parse(entry.effects) as string[],
    ms: entry.ms,
    error: parseError(entry.error),
  }));
}

/** The run's whole snapshot as it was after commit `seq`, rebuilt from the last full one before it. */
export function snapshotAt<D extends Definition>(reads: Reads, row: RunRow, seq: number): SnapshotOf<D> {
  let snapshot: Json = null;
  let found = false;
  for (const entry of reads.history(row.id)) {
    if (entry.seq > seq) break;
    if (entry.snapshot !== null) snapshot = parse(entry.snapshot);
    else snapshot = applyPatch(snapshot, parse(entry.patch) as unknown as PatchOperation[]);
    found = entry.seq === seq;
  }
  if (!found)
    throw unrecoverable('run_not_found', `the run has no commit ${seq}`, {
      subject: row.uid,
      hint:
        seq < row.historyFrom
          ? `compaction has left its commits from ${row.historyFrom} on`
          : 'see its commits in the history',
    });
  return snapshot as SnapshotOf<D>;
}
