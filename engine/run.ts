import type { ErrorRecord } from '#core/errors';
import type { RunStatus } from '#core/status';
import type { EffectRow, LinkRow, RowRest, RunRow, TimerRow } from '#db/engine/index';
import type { Attempt } from './attempt.ts';
import type { Definition } from './definition.ts';
import type { Past } from './past.ts';
import type { RunSecrets } from './secrets.ts';
import type { MachineEvent, Snapshot } from './statechart.ts';
import type { TraceHeaders } from './trace.ts';
import type { Json } from './types.ts';

/** A run that this process owns, as it was after its last commit. */
export interface LiveRun {
  /** 0 before it is stored. */
  id: number;
  readonly uid: string;
  readonly definition: Definition;
  /** The hash of the definition that this build runs. */
  readonly hash: string;
  readonly key: string | null;
  readonly input: Json;
  readonly queue: string | null;
  readonly labels: Readonly<Record<string, string>>;
  readonly trace: TraceHeaders | null;
  /** Null for a run that has none. */
  secrets: RunSecrets | null;
  /** It may begin, the database says; null: it was asked, and the answer was lost. */
  admitted: boolean | null;
  /** Among those that wait for a place of the same queue: higher first. */
  readonly priority: number;
  /** It begins no earlier. */
  readonly startAt: number | null;
  /** It waits for another run's end before it begins. */
  readonly held: boolean;
  /** It was told to begin: only then it takes events. */
  begun: boolean;
  /** Null before the first transition. */
  snapshot: Snapshot | null;
  json: Json;
  /** `json` was migrated: the history cannot tell it as a patch of the row before. */
  rebased: boolean;
  state: string;
  tags: readonly string[];
  /** Of a fork that has not begun: where it begins. */
  origin: { run: string; past: Past } | null;
  /** By tag: the last commit whose states had it. */
  tagsLast: Record<string, number>;
  /** The oldest commit that its history still has, as far as this process knows. */
  historyFrom: number;
  /** Commits so far; what the next commit expects to find. */
  seq: number;
  /** Its newest row of history. */
  last: number | null;
  /** As it was last written; null where it depends on other rows, or is not known. */
  status: RunStatus | null;
  /** The rest of its row as this process last wrote it; null before that. */
  written: RowRest | null;
  epoch: number;
  effects: Map<string, LiveEffect>;
  timers: Map<string, LiveTimer>;
  /** Attempts of its effects that run in this process, by child. */
  readonly attempts: Map<string, Attempt>;
  links: Map<string, LiveLink>;
  /** Why the run as a whole cannot move. */
  parked: ErrorRecord | null;
  /** Why it is to be cancelled; null while nobody has told this process so. */
  cancel: string | null;
  cancelDelivered: boolean;
  /** Why it is to end at once, without compensation, as soon as its effects have wound down. */
  killed: string | null;
  ended: 'done' | 'failed' | 'cancelled' | null;
  output: Json | null;
  error: ErrorRecord | null;
  mailbox: Mail[];
  /** Inbox rows that are in the mailbox, so that none is read twice. */
  reading: Set<number>;
}

export interface LiveEffect {
  epoch: number;
  src: string;
  input: Json;
  state: 'due' | 'pending' | 'parked';
  /** Failed attempts so far. */
  attempt: number;
  looks: number;
  dueAt: number;
  error: ErrorRecord | null;
  /** What its last attempt gave to `heartbeat`, as far as it is stored. */
  saved: Json;
}

export interface LiveTimer {
  epoch: number;
  event: MachineEvent;
  dueAt: number;
}

export interface LiveLink {
  epoch: number;
  settled: boolean;
}

/** Something for a run to take, one at a time. */
export type Mail =
  | { type: 'begin' }
  | { type: 'result'; child: string; epoch: number; ms: number; outcome: EffectOutcome; saved: Json }
  | { type: 'saved'; child: string; epoch: number; saved: Json }
  | { type: 'timer'; timer: string; epoch: number }
  | { type: 'event'; id: number; event: MachineEvent; child: string | null; epoch: number | null }
  | { type: 'cancel'; reason: string; code: string | null }
  | { type: 'kill'; reason: string };

export type EffectOutcome = { ok: true; output: Json } | { ok: false; error: ErrorRecord };

/** The effect's id: the same over every rerun, another after every re-entry. */
export const effectIdOf = (run: LiveRun, child: string, epoch: number): string =>
  `${run.uid}/${child}/${epoch}`;

/** Why a run is to be cancelled or killed, of the stored wish; `code` when the engine itself wished it. */
export function cancelWish(wish: string): { reason: string; code: string | null } {
  const { reason = '', code = null } = JSON.parse(wish) as { reason?: string; code?: string };
  return { reason, code };
}

interface StoredRun {
  row: RunRow;
  effects: EffectRow[];
  timers: TimerRow[];
  links: LinkRow[];
  secrets: RunSecrets | null;
}

/** A run as stored. Its snapshot is not revived yet: that may fail, and is the caller's to judge. */
export function liveRun(
  { row, effects, timers, links, secrets }: StoredRun,
  definition: Definition,
  hash: string,
): LiveRun {
  const parse = (text: string | null): Json => {
    const stored = text === null ? null : (JSON.parse(text) as Json);
    return secrets === null ? stored : secrets.unmask(stored);
  };
  secrets?.learn('input', parse(row.input));
  return {
    id: row.id,
    uid: row.uid,
    definition,
    hash,
    key: row.key,
    input: parse(row.input),
    queue: row.queue,
    labels: (parse(row.labels) ?? {}) as Record<string, string>,
    trace: parse(row.trace) as TraceHeaders | null,
    secrets,
    admitted: row.admitted,
    priority: row.priority,
    startAt: row.startAt,
    held: row.afterRun !== null || row.replaces !== null,
    // One that failed and was brought back needs a place of its queue again.
    begun: row.seq > 0 && (row.queue === null || row.admitted),
    snapshot: null,
    json: parse(row.snapshot),
    rebased: false,
    state: row.state,
    tags: JSON.parse(row.tags) as string[],
    origin: parse(row.origin) as LiveRun['origin'],
    tagsLast: JSON.parse(row.tagsLast) as Record<string, number>,
    seq: row.seq,
    last: row.last,
    status: row.seq === 0 ? null : row.status,
    written: null,
    historyFrom: row.historyFrom,
    epoch: row.epoch,
    effects: new Map(
      effects.map(({ child, epoch, src, input, state, attempt, looks, dueAt, error, saved }) => [
        child,
        {
          epoch,
          src,
          input: parse(input),
          state,
          attempt,
          looks,
          dueAt,
          error: parse(error) as ErrorRecord | null,
          saved: parse(saved),
        },
      ]),
    ),
    timers: new Map(
      timers.map(({ timer, epoch, event, dueAt }) => [
        timer,
        { epoch, event: parse(event) as MachineEvent, dueAt },
      ]),
    ),
    attempts: new Map(),
    links: new Map(links.map(({ childId, epoch, settled }) => [childId, { epoch, settled }])),
    parked: parse(row.parked) as ErrorRecord | null,
    cancel: null,
    cancelDelivered: row.cancelDelivered,
    killed: row.killed === null ? null : cancelWish(row.killed).reason,
    ended: null,
    output: null,
    error: null,
    mailbox: [],
    reading: new Set(),
  };
}
