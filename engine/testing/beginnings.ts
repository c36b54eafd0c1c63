import type { Observed, ObservedRun, ObservedSchedule } from './observed.ts';
import { rule } from './violation.ts';

export interface Moment {
  now: Observed;
  before: ReadonlyMap<number, ObservedRun>;
  /** The wall clock of the process that wrote. */
  clock: number | null;
  /** Whether an effect of the run is under way where the run was owned. */
  isOpen(uid: string): boolean;
}

/** When and whether runs begin, and how they end for others: laws of one committed state and the one before. */
export function beginnings(moment: Moment): void {
  const { now, before } = moment;
  for (const run of now.runs.values()) {
    heldDoesNotBegin(run);
    const earlier = before.get(run.id);
    if (earlier?.uid !== run.uid) continue;
    notBeforeItsTime(run, earlier, moment.clock);
    liftedByTheEnd(run, earlier, now);
    if (earlier.endedAt === null && run.endedAt !== null) {
      rule(
        run.errorCode !== 'killed' || !moment.isOpen(run.uid),
        'killed-is-still',
        () => `${run.uid} ended by a kill while an effect of it was under way`,
      );
      rule(
        run.continuedAs === null || (run.status === 'done' && now.runs.has(run.continuedAs)),
        'handoff-in-one',
        () => `${run.uid} is ${run.status} and goes on as run ${run.continuedAs}, which is not there`,
      );
    }
  }
  keepsNewest(now);
  oneAtATime(now);
}

function heldDoesNotBegin({ uid, seq, admitted, afterRun, replaces }: ObservedRun): void {
  rule(
    (afterRun === null && replaces === null) || (seq === 0 && admitted === 0),
    'held-waits',
    () => `${uid} has begun, and waits for run ${afterRun ?? replaces}`,
  );
}

function notBeforeItsTime(run: ObservedRun, earlier: ObservedRun, clock: number | null): void {
  const { uid, startAt, admitted, seq } = run;
  if (startAt === null) return;
  rule(
    seq === 0 || earlier.seq > 0 || admitted === 1,
    'starts-in-time',
    () => `${uid} has begun, and nobody looked at the time`,
  );
  rule(
    admitted === 0 || earlier.admitted === 1 || (clock !== null && clock >= startAt),
    'starts-in-time',
    () => `${uid} may begin at ${clock}, and was to begin at ${startAt}`,
  );
}

/** A run that waited for another may begin only when that one has ended as it should. */
function liftedByTheEnd(run: ObservedRun, earlier: ObservedRun, { runs }: Observed): void {
  if (earlier.replaces !== null && run.replaces === null)
    rule(
      runs.get(earlier.replaces)?.endedAt !== null,
      'held-waits',
      () => `${run.uid} replaces run ${earlier.replaces}, which is live`,
    );
  if (earlier.afterRun === null || run.afterRun === earlier.afterRun) return;
  const other = runs.get(earlier.afterRun);
  if (run.afterRun !== null) {
    rule(
      other?.continuedAs === run.afterRun,
      'held-waits',
      () => `${run.uid} waits for run ${run.afterRun} now, and waited for ${earlier.afterRun}`,
    );
    return;
  }
  if (other === undefined || run.endedAt !== null) return;
  const met = other.endedAt !== null && (run.afterWhen === 'ended' || run.afterWhen === other.status);
  rule(
    met || (other.endedAt !== null && (run.cancel !== null || run.parked !== null)),
    'held-waits',
    () => `${run.uid} waits no more for ${other.uid}, which is ${other.status}, not ${run.afterWhen}`,
  );
}

function keepsNewest({ runs, queues }: Observed): void {
  for (const { name, places, keepNewest } of queues) {
    if (keepNewest === null) continue;
    const waiting = [...runs.values()].filter(
      ({ queue, seq, admitted, endedAt, cancel }) =>
        queue === name && seq === 0 && admitted === 0 && endedAt === null && cancel === null,
    );
    rule(
      waiting.length <= keepNewest + places,
      'keeps-newest',
      () => `${waiting.length} runs wait in queue '${name}', which keeps ${keepNewest}`,
    );
  }
}

function oneAtATime({ runs, schedules }: Observed): void {
  for (const { name, overlap } of schedules as ObservedSchedule[]) {
    if (overlap !== 'skip') continue;
    const live = [...runs.values()].filter(({ schedule, endedAt }) => schedule === name && endedAt === null);
    rule(
      live.length <= 1,
      'schedule-skips',
      () => `schedule '${name}' has ${live.length} live runs: ${live.map(({ uid }) => uid).join(', ')}`,
    );
  }
}
