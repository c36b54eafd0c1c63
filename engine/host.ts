import { aborted, type FlydError } from '#core/errors';
import type { Committed, NewRun, Started, StartOutcome, StartWish } from '#db/engine/index';
import { Admission } from './admission.ts';
import { advance } from './advance.ts';
import { Alarms, nextDue } from './alarms.ts';
import { type Birth, Births, probeAll } from './births.ts';
import { type ClaimableRun, claimFromDead, wantedOfOthers, yieldsToOthers } from './claim.ts';
import { newDraft, type Rules } from './draft.ts';
import { Executor } from './executor.ts';
import { type HostOptions, rulesOf } from './host-options.ts';
import { LiveRuns } from './live-runs.ts';
import { loadRun, storedEvent } from './load.ts';
import { Polling } from './polling.ts';
import { limitPauses } from './retry.ts';
import { cancelWish, type LiveRun, type Mail } from './run.ts';
import { type Over, type Turn, turnOf } from './turn.ts';
import type { Timer } from './types.ts';

/** After a failed commit: time for a full disk or a locked database to change. */
const rereadMs = 1000;
/** A dead owner leaves no commit behind: look for those now and then. */
const sweepMs = 250;

/**
 * Moves the runs that this process owns. Mail is taken in ticks: every run with mail computes its next
 * snapshot, all of them are committed in one transaction, and only then do effects start.
 */
export class Host {
  readonly #options: HostOptions;
  readonly #runs = new LiveRuns();
  readonly #mailed = new Set<LiveRun>();
  readonly #alarms: Alarms;
  readonly #admission: Admission;
  readonly #executor: Executor;
  readonly #births = new Births(() => this.#guard(() => this.#tick()));
  #ticking: Timer | null = null;
  readonly #polling: Polling;
  #doubting: Timer | null = null;
  /** Runs of failed commits: whether they changed is to be told when it is known. */
  readonly #doubted = new Set<number>();
  #seenVersion = -1;
  #sweptAt = 0;
  #closed = false;
  /** Runs of others that somebody in this process waits for. */
  readonly watched = new Set<number>();

  constructor(options: HostOptions) {
    this.#options = options;
    this.#alarms = new Alarms(options.system, (run) => this.#guard(() => this.#ring(run)));
    this.#polling = new Polling({
      system: options.system,
      look: () => this.#guard(() => this.#poll()),
      goesOn: () => this.#runs.size > 0 || this.watched.size > 0,
    });
    this.#admission = new Admission({
      admit: ({ id, queue }, now) => options.commits.admit(id, queue, now),
      yields: (run) => yieldsToOthers(run, options),
      isFifo: (queue) => options.queues.get(queue)?.ordering === 'fifo',
    });
    this.#executor = new Executor({
      system: options.system,
      deliver: (run, mail) => this.#post(run, mail),
      // The run may have been dropped meanwhile, and read anew.
      settled: ({ id }) => {
        const run = this.#runs.get(id);
        if (run !== undefined) this.#reconcile(run);
      },
      progress: options.progress,
      spans: options.spans,
      probe: options.probe,
    });
  }

  /** Loads a run that this process has just come to own, and lets it go on. */
  adopt(id: number): void {
    if (this.#runs.has(id) || this.#closed) return;
    const { reads, token } = this.#options;
    const row = reads.run(id);
    if (row === undefined || row.endedAt !== null || row.owner !== token) return;
    const run = loadRun(row, this.#options);
    if (run === undefined) return;
    if (run === null) {
      this.#admit();
      return;
    }
    this.#runs.set(id, run);
    this.#options.spans?.took(run);
    if (!run.begun) this.#admission.add(run);
    // What the world lacked may be there by now: look again at once.
    for (const effect of run.effects.values())
      if (effect.state === 'pending') effect.dueAt = this.#options.system.now();
    this.#readInbox(run);
    // First of all: a run that was cancelled before it began is not to begin.
    if (row.cancel !== null && !row.cancelDelivered)
      this.#post(run, { type: 'cancel', ...cancelWish(row.cancel) });
    this.#admit();
    this.#reconcile(run);
    this.#polling.start();
  }

  /** Stores a run and moves it, or finds the one that is the answer. Rejects when that is not known. */
  start(run: NewRun, wish: StartWish): Promise<StartOutcome> {
    return this.#births.add(run, wish);
  }

  /** The runs to be told of again: others have committed, or this process has just written. */
  look(): void {
    if (this.#closed) return;
    for (const { id, cancel, killed } of this.#options.reads.calledFor(this.#options.token)) {
      const run = this.#runs.get(id);
      if (run === undefined) {
        this.adopt(id);
        continue;
      }
      this.#readInbox(run);
      if (cancel !== null && run.cancel === null && !run.mailbox.some(({ type }) => type === 'cancel'))
        this.#post(run, { type: 'cancel', ...cancelWish(cancel) });
      if (killed !== null && run.killed === null) {
        run.killed = cancelWish(killed).reason;
        this.#reconcile(run);
      }
    }
    this.#lookAtHeld();
    this.#admit();
  }

  /** Runs that waited for another's end are read anew when it has come: whatever their rows say now. */
  #lookAtHeld(): void {
    const { held } = this.#admission;
    if (held.size === 0) return;
    const { reads, token } = this.#options;
    const still = new Set(reads.held(token));
    for (const run of [...held]) {
      if (still.has(run.id)) continue;
      this.#drop(run, aborted('superseded', 'the run is read anew'));
      this.adopt(run.id);
    }
  }

  /** Takes the live runs among these whose owner is dead. Gives those taken. */
  takeOver(runs: readonly ClaimableRun[]): number[] {
    const taken = claimFromDead(runs, this.#options);
    this.#sweptAt = this.#options.system.now();
    for (const id of taken) {
      // It was ours before, and was moved by others since, without our knowledge.
      const stale = this.#runs.get(id);
      if (stale !== undefined)
        this.#drop(stale, aborted('ownership_lost', 'another process owned the run meanwhile'));
      this.adopt(id);
    }
    return taken;
  }

  /** The outcome of a write is unknown: soon, all that this process owns is looked at again. */
  doubt(): void {
    if (this.#closed) return;
    this.#doubting ??= this.#options.system.setTimer(() => {
      this.#doubting = null;
      this.#guard(() => this.#recollect());
    }, rereadMs);
  }

  /** The number of the run of this id, if it lives in this process. */
  numberOf(uid: string): number | undefined {
    return this.#runs.numberOf(uid);
  }

  watch(id: number): () => void {
    this.watched.add(id);
    this.#polling.start();
    return () => this.watched.delete(id);
  }

  /** No new effects; running ones are told to stop and waited for; every run is let go. */
  async close(why: FlydError): Promise<void> {
    this.#closed = true;
    this.#polling.stop();
    this.#doubting?.cancel();
    await this.#executor.close(this.#runs, why);
    this.#ticking?.cancel();
    this.#ticking = null;
    this.#tick();
    this.#alarms.clear();
    this.#runs.clear();
    this.#options.spans?.leftAll(why);
    this.#options.reads.disown(this.#options.token);
  }

  /** Begins the runs that have not been, as far as nothing holds them. */
  #admit(): void {
    for (const run of this.#admission.take(this.#options.system.now())) {
      run.begun = true;
      this.#post(run, { type: 'begin' });
      this.#readInbox(run);
    }
  }

  /** A run that has not begun takes nothing yet, but to be woken when it is parked. */
  #readInbox(run: LiveRun): void {
    if (!run.begun && run.parked === null) return;
    for (const { id, event, child, epoch } of this.#options.reads.inbox(run.id)) {
      if (run.reading.has(id)) continue;
      run.reading.add(id);
      this.#post(run, { type: 'event', id, event: storedEvent(run, event, this.#options), child, epoch });
    }
  }

  #post(run: LiveRun, mail: Mail): void {
    if (this.#runs.get(run.id) !== run) return;
    run.mailbox.push(mail);
    this.#mailed.add(run);
    this.#ticking ??= this.#options.system.setTimer(() => {
      this.#ticking = null;
      this.#guard(() => this.#tick());
    }, 0);
  }

  /** What fails half-way, for the database's sake, is made good later. */
  #guard(work: () => void): void {
    try {
      work();
    } catch (fault) {
      this.doubt();
      this.#options.fault(fault);
    }
  }

  #recollect(): void {
    const { reads, token, changed } = this.#options;
    for (const id of reads.ownedBy(token)) this.adopt(id);
    this.look();
    for (const run of this.#runs.values()) this.#reconcile(run);
    changed([...new Set([...this.#runs.keys(), ...this.watched, ...this.#doubted])]);
    this.#doubted.clear();
  }

  #tick(): void {
    const { commits, registry, token, changed, probe } = this.#options;
    const rules = rulesOf(this.#options);
    const turns = this.#takeMail(rules);
    const births = this.#births.take(registry, token, rules);
    if (turns.length + births.length === 0) return;
    let done: ReturnType<typeof commits.commit>;
    try {
      probeAll(probe, turns, births, 'before');
      done = commits.commit(
        turns.map(({ write }) => write),
        births.map(({ run, wish, first }) => ({ run, wish, first: first?.write ?? null })),
      );
    } catch (fault) {
      this.#lost(turns, births, fault);
      return;
    }
    // Whoever asked is answered, whatever comes of what follows.
    for (const [index, { resolve }] of births.entries()) resolve(done.started[index] as Started);
    probeAll(probe, turns, births, 'after');
    const over: Over = { moved: [], born: [], look: false };
    for (const [index, turn] of turns.entries()) this.#afterCommit(turn, done.committed[index], over);
    for (const [index, birth] of births.entries())
      this.#afterBirth(birth, done.started[index] as Started, over);
    changed(over.moved, this.#runs);
    // Last, for this writes, and may fail: what is in memory is as it was committed by now.
    for (const id of over.born) this.adopt(id);
    if (over.look) this.look();
  }

  /** Whether the commit was written is unknown: what is in memory is worth nothing now, and is read anew. */
  #lost(turns: readonly Turn[], births: readonly Birth[], fault: unknown): void {
    for (const { run } of turns) {
      this.#drop(run, aborted('database_failed', 'the commit failed', { cause: fault }));
      this.#doubted.add(run.id);
    }
    this.doubt();
    for (const { reject } of births) reject(fault);
    if (turns.length > 0) this.#options.fault(fault);
  }

  #takeMail(rules: Rules): Turn[] {
    const turns: Turn[] = [];
    // What is posted meanwhile is for the next tick.
    const mailed = [...this.#mailed];
    this.#mailed.clear();
    for (const run of mailed) {
      const draft = newDraft(run);
      for (const mail of run.mailbox.splice(0)) advance(run, mail, draft, rules);
      const turn = turnOf(run, draft, this.#options.token, rules);
      if (turn !== null) turns.push(turn);
      else {
        if (run.parked === null) run.reading.clear();
        this.#reconcile(run);
      }
    }
    return turns;
  }

  #afterBirth({ first }: Birth, outcome: Started, over: Over): void {
    if (first !== null && outcome.first !== null) {
      first.run.id = outcome.id;
      this.#runs.set(outcome.id, first.run);
      this.#options.spans?.took(first.run);
      this.#afterCommit(first, outcome.first, over);
      this.#polling.start();
    } else if (outcome.verdict === 'started') over.born.push(outcome.id);
    over.look ||= outcome.joined || outcome.replaced !== null;
  }

  #afterCommit({ run, draft, write }: Turn, committed: Committed | undefined, over: Over): void {
    over.moved.push(run.id);
    if (committed?.held !== true) {
      this.#drop(run, aborted('ownership_lost', 'another process owns the run now', { subject: run.uid }));
      return;
    }
    run.last = committed.last;
    run.status = write.row.status;
    run.written = write.row.rest;
    over.born.push(...committed.born);
    for (const event of draft.emitted)
      this.#options.emitted(run, run.secrets === null ? event : run.secrets.scrub(event));
    this.#options.spans?.committed(run);
    if (run.ended !== null) {
      this.#runs.delete(run.id);
      this.#admission.remove(run);
    } else if (run.seq === 0) {
      run.begun = false;
      this.#admission.add(run);
    }
    if (run.parked === null) run.reading.clear();
    if (draft.unparked) this.#readInbox(run);
    this.#reconcile(run);
    // A failure may free a place in a queue: its own, or that of a run above it.
    over.look ||=
      committed.reached ||
      (run.ended !== null && run.queue !== null) ||
      run.parked !== null ||
      write.operations.some(
        ({ type }) => type.startsWith('child.') || type.startsWith('event.') || type === 'effect.fail',
      );
  }

  /** Starts and stops effects as the committed run wants it, and sets its next alarm. */
  #reconcile(run: LiveRun): void {
    if (run.killed !== null && run.ended === null) {
      this.#kill(run, run.killed);
      return;
    }
    limitPauses(run, this.#options.system.now(), this.#options.retry);
    this.#executor.reconcile(run);
    const sleeps = this.#closed || this.#runs.get(run.id) !== run || run.parked !== null;
    if (sleeps || this.#executor.isWinding(run)) this.#alarms.drop(run);
    else this.#alarms.set(run, nextDue(run, this.#options.system.now()));
  }

  /** Ends the run when nothing of it moves any more. */
  #kill(run: LiveRun, reason: string): void {
    this.#alarms.drop(run);
    this.#executor.drop(run, aborted('killed', `the run was killed: ${reason}`));
    if (!this.#executor.isWinding(run) && !run.mailbox.some(({ type }) => type === 'kill'))
      this.#post(run, { type: 'kill', reason });
  }

  #ring(run: LiveRun): void {
    const now = this.#options.system.now();
    for (const [timer, { epoch, dueAt }] of run.timers)
      if (dueAt <= now) this.#post(run, { type: 'timer', timer, epoch });
    if (!run.begun) this.#admit();
    this.#reconcile(run);
  }

  #drop(run: LiveRun, why: FlydError): void {
    this.#runs.delete(run.id);
    this.#admission.remove(run);
    this.#executor.drop(run, why);
    this.#options.spans?.left(run, why);
    this.#alarms.drop(run);
  }

  #poll(): void {
    const { reads, system } = this.#options;
    const version = reads.dataVersion();
    if (version !== this.#seenVersion) {
      this.#seenVersion = version;
      this.look();
      this.#options.changed([...this.watched]);
    }
    const sinceMs = system.now() - this.#sweptAt;
    // Less than nothing: the wall clock was set back.
    if (sinceMs >= 0 && sinceMs < sweepMs) return;
    this.#sweptAt = system.now();
    const { queues, held } = this.#admission;
    const waits = { watched: this.watched, holds: held.size > 0, queues };
    this.takeOver(wantedOfOthers(this.#options, waits));
    if (queues.length > 0) this.#admit();
  }
}
