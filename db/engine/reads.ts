import type { Database } from 'better-sqlite3';
import { FlydError } from '#core/errors';
import { drizzle, orm } from '../drizzle.ts';
import { once } from '../lazy.ts';
import { write } from '../open.ts';
import { lockWaitOf } from '../waiting.ts';
import type { EffectRow, EventRow, FoundRun, LinkRow, RunRow, SecretRow, TimerRow } from './records.ts';
import { rowsOf } from './rows.ts';
import { createRunList } from './run-list.ts';
import { definitions, effects, events, runLinks, runs, secrets, timers, type transitions } from './schema.ts';

const { and, eq, isNull, sql } = orm;

export type TransitionRow = typeof transitions.$inferSelect;
export type Reads = ReturnType<typeof createReads>;

/** So many claims hold the database's lock for a few milliseconds. */
const claimsACommit = 500;
/** At the end of a process, which others may wait for. */
const disownWaitMs = 1000;

// `= +?`: see statements.ts.

/** What the engine and its watchers read, and the two writes that move ownership. */
export function createReads(db: Database) {
  const query = drizzle(db);

  // CROSS, here and where else a history is followed: SQLite would walk all histories, for the sake of the order.
  /** Rows of a run from the newest back, by the `prev` pointers. */
  const walk = once(() =>
    db.prepare(`WITH RECURSIVE chain(id) AS (
      SELECT last FROM runs WHERE id = ?
      UNION ALL SELECT t.prev FROM chain JOIN transitions t ON t.id = chain.id WHERE t.prev IS NOT NULL)
    SELECT t.id, t.run, t.seq, t.prev, t.at, t.event, t.from_state AS fromState, t.to_state AS toState, t.effects,
      t.ms, t.error, t.definition, t.patch, t.snapshot, t.timers
    FROM chain CROSS JOIN transitions t ON t.id = chain.id ORDER BY t.id`),
  );
  const dataVersion = once(() => db.prepare('PRAGMA data_version').pluck());
  const claim = once(() =>
    db.prepare('UPDATE runs SET owner = @to WHERE id = @run AND owner IS @from AND ended_at IS NULL'),
  );
  // The plus keeps SQLite from walking through all runs for the sake of the order.
  const liveRuns = once(() => db.prepare('SELECT id, owner FROM runs WHERE ended_at IS NULL ORDER BY +id'));
  const uidOf = once(() => db.prepare('SELECT uid FROM runs WHERE id = ?').pluck());
  const liveParents = once(() =>
    db
      .prepare(
        'SELECT p.id FROM run_links l JOIN runs p ON p.id = l.parent WHERE l.child = +? AND p.ended_at IS NULL',
      )
      .pluck(),
  );
  const ownedBy = once(() =>
    db.prepare('SELECT id FROM runs WHERE owner = +? AND ended_at IS NULL ORDER BY id').pluck(),
  );
  const disown = once(() => db.prepare('UPDATE runs SET owner = NULL WHERE owner = +? AND ended_at IS NULL'));
  const held = once(() =>
    db
      .prepare(`SELECT id FROM runs
      WHERE owner = +? AND ended_at IS NULL AND seq = 0 AND (after_run IS NOT NULL OR replaces IS NOT NULL)`)
      .pluck(),
  );
  const foreignHolds = once(() =>
    db.prepare(`SELECT DISTINCT d.id, d.owner FROM runs r
    JOIN runs d ON d.id = r.after_run OR d.id = r.replaces
    WHERE r.owner = +@owner AND r.ended_at IS NULL AND r.seq = 0 AND d.ended_at IS NULL AND d.owner IS NOT +@owner`),
  );
  const placeHolders = once(() =>
    db.prepare(`SELECT id, owner FROM runs WHERE queue = +@queue AND admitted = 1
    AND ended_at IS NULL AND status NOT IN ('pending', 'parked') AND owner IS NOT @owner`),
  );
  // Apart for the owners below and above: so that it costs nothing where there is no other owner.
  const ahead = once(() =>
    db
      .prepare(
        ['<', '>']
          .map(
            (side) => `SELECT DISTINCT owner FROM runs
            WHERE queue = +@queue AND owner ${side} +@owner AND admitted = 0 AND ended_at IS NULL AND seq = 0
              AND cancel IS NULL AND parked IS NULL AND after_run IS NULL AND replaces IS NULL
              AND (start_at IS NULL OR start_at <= @now)
              AND CASE WHEN @priority IS NULL THEN id < @run
                ELSE priority > @priority OR (priority = @priority AND id < @run) END`,
          )
          .join(' UNION '),
      )
      .pluck(),
  );
  const moving = once(() =>
    db.prepare(`WITH RECURSIVE tree(id) AS (
      SELECT id FROM runs WHERE id = ?
      UNION SELECT l.child FROM tree JOIN run_links l ON l.parent = tree.id WHERE l.settled = 0)
    SELECT EXISTS (SELECT 1 FROM tree JOIN runs r ON r.id = tree.id WHERE r.ended_at IS NULL AND r.parked IS NULL AND (
      EXISTS (SELECT 1 FROM effects e WHERE e.run = r.id AND e.state = 'due')
      OR EXISTS (SELECT 1 FROM events v WHERE v.run = r.id AND v.direction = 'in' AND v.applied IS NULL)
      OR (r.seq = 0))) AS moving`),
  );
  const subtree = once(() =>
    db.prepare(`WITH RECURSIVE tree(id) AS (
      SELECT id FROM runs WHERE uid = ?
      UNION SELECT l.child FROM tree JOIN run_links l ON l.parent = tree.id WHERE l.settled = 0)
    SELECT r.id FROM tree JOIN runs r ON r.id = tree.id WHERE r.ended_at IS NULL`),
  );

  // A query is built once: building it costs more than running it.
  const { placeholder } = sql;
  const byId = rowsOf(db, runs, 'id = ?');
  // In one statement, so that it locks once.
  const byUid = rowsOf(db, runs, 'uid = ?', [], {
    parents: `(SELECT json_group_array(p.uid) FROM run_links l JOIN runs p ON p.id = l.parent
      WHERE l.child = runs.id)`,
  });
  const secretsOf = rowsOf(db, secrets, 'run = ?');
  const effectsOf = rowsOf(db, effects, 'run = ?');
  const timersOf = rowsOf(db, timers, 'run = ?');
  const linksOf = rowsOf(db, runLinks, 'parent = ?');
  const inboxOf = rowsOf(db, events, "run = +? AND direction = 'in' AND applied IS NULL ORDER BY id");
  const parentsOf = once(() =>
    db.prepare(`SELECT p.uid, p.ended_at IS NULL AS live FROM run_links l JOIN runs p ON p.id = l.parent
      WHERE l.child = +?`),
  );
  const calledFor = once(() =>
    db.prepare(`SELECT id, CASE WHEN cancel_delivered THEN NULL ELSE cancel END AS cancel, killed FROM runs r
      WHERE owner = +? AND ended_at IS NULL AND ((cancel IS NOT NULL AND NOT cancel_delivered) OR killed IS NOT NULL
        OR EXISTS (SELECT 1 FROM events v WHERE v.run = r.id AND v.direction = 'in' AND v.applied IS NULL))`),
  );
  const foreignChildren = once(() =>
    query
      .select({ id: runs.id, owner: runs.owner })
      .from(runs)
      .where(
        and(
          isNull(runs.endedAt),
          sql`${runs.owner} IS NOT +${placeholder('owner')}`,
          sql`EXISTS (SELECT 1 FROM run_links l JOIN runs p ON p.id = l.parent
          WHERE l.child = ${runs.id} AND l.settled = 0 AND p.owner = +${placeholder('owner')} AND p.ended_at IS NULL)`,
        ),
      )
      .prepare(),
  );

  return {
    run: (id: number): RunRow | undefined => byId.get(id),
    runByUid: (uid: string): FoundRun | undefined => byUid.get(uid) as FoundRun | undefined,
    ...createRunList(db),
    /** What the references in the run stand for. */
    secrets: (run: number): SecretRow[] => secretsOf.all(run),
    effects: (run: number): EffectRow[] => effectsOf.all(run),
    timers: (run: number): TimerRow[] => timersOf.all(run),
    links: (parent: number): LinkRow[] => linksOf.all(parent),
    parents: (child: number): { uid: string; live: boolean }[] =>
      (parentsOf().all(child) as { uid: string; live: number }[]).map(({ uid, live }) => ({
        uid,
        live: live === 1,
      })),
    /** Events to the run that it has not taken yet, in order. */
    inbox: (run: number): EventRow[] => inboxOf.all(run),
    /** Runs of this owner that have events to take, or a cancel to hear. */
    calledFor: (owner: string): { id: number; cancel: string | null; killed: string | null }[] =>
      calledFor().all(owner) as { id: number; cancel: string | null; killed: string | null }[],
    /** Live runs of this owner, oldest first. */
    ownedBy: (owner: string): number[] => ownedBy().all(owner) as number[],
    /** Runs of this owner that wait for another run's end before they begin. */
    held: (owner: string): number[] => held().all(owner) as number[],
    /** Others' live runs for whose end runs of this owner wait. */
    foreignHolds: (owner: string) => foreignHolds().all({ owner }) as { id: number; owner: string | null }[],
    /** Others' runs that have a place of the queue. */
    placeHolders: (queue: string, owner: string) =>
      placeHolders().all({ queue, owner }) as { id: number; owner: string | null }[],
    /** The other owners of runs that may begin and are before this one in its queue; without `priority`: older. */
    ahead: (place: {
      run: number;
      queue: string;
      owner: string;
      priority: number | null;
      now: number;
    }): string[] => ahead().all(place) as string[],
    /** Live runs that runs of this owner wait for and that somebody else has, or nobody. */
    foreignChildren: (owner: string): { id: number; owner: string | null }[] =>
      foreignChildren().all({ owner }),
    history: (run: number): TransitionRow[] => walk().all(run) as TransitionRow[],
    definition: (hash: string): { machine: string; version: number; config: string } | undefined =>
      query.select().from(definitions).where(eq(definitions.hash, hash)).get(),
    /** Whether anything of the run or the runs below it moves by itself right now. */
    moving: (run: number): boolean => (moving().get(run) as { moving: number }).moving === 1,
    /** The run and every live run below it. */
    subtree: (uid: string): number[] => (subtree().all(uid) as { id: number }[]).map(({ id }) => id),
    /** Changes whenever another connection has committed. */
    dataVersion: (): number => dataVersion().get() as number,
    /** Takes a run from its last owner, by compare and swap. */
    /** Of the runs those that still had this owner and have another now; many a commit, but never for long. */
    claim(wanted: readonly { id: number; owner: string | null }[], to: string): number[] {
      const taken: number[] = [];
      for (let at = 0; at < wanted.length; at += claimsACommit) {
        const some = wanted.slice(at, at + claimsACommit);
        const claimed = write(db, () =>
          some.filter(({ id, owner }) => claim().run({ run: id, from: owner, to }).changes > 0),
        );
        taken.push(...claimed.map(({ id }) => id));
      }
      return taken;
    },
    /** Every live run with its owner, oldest first: cheap, however many there are. */
    liveRuns: (): { id: number; owner: string | null }[] =>
      liveRuns().all() as { id: number; owner: string | null }[],
    /** Of these runs the uids of those that none of the others, being live, is a parent of. */
    topmost(ids: readonly number[]): string[] {
      const among = new Set(ids);
      return ids.flatMap((id) => {
        const below = (liveParents().all(id) as number[]).some((parent) => among.has(parent));
        return below ? [] : ((uidOf().get(id) as string | undefined) ?? []);
      });
    },
    /** Lets every run of this owner go: a courtesy, for whoever finds that it is dead may take them anyway. */
    disown(owner: string): void {
      try {
        write(db, () => void disown().run(owner), Math.min(disownWaitMs, lockWaitOf(db)));
      } catch (error) {
        if (!(error instanceof FlydError)) throw error;
      }
    },
  };
}
