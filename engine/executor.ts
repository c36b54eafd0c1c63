import type { Progress } from '#core/effect';
import { aborted, type FlydError, fromErrorRecord, toErrorRecord } from '#core/errors';
import { Attempt } from './attempt.ts';
import { watchAttempt } from './deadlines.ts';
import { Given } from './given.ts';
import { plain } from './json.ts';
import { type EffectOutcome, effectIdOf, type LiveEffect, type LiveRun, type Mail } from './run.ts';
import type { Spans } from './spans.ts';
import type { Json, System } from './types.ts';

export interface ExecutorOptions {
  system: System;
  /** Hands the result to the run. */
  deliver(run: LiveRun, mail: Mail): void;
  /** An effect has wound down: what waited for it may start now. */
  settled(run: LiveRun): void;
  progress(run: LiveRun, child: string, effect: LiveEffect, progress: Progress): void;
  /** Null where there are no interceptors. */
  spans: Spans | null;
  /** Called around every attempt: a place to stop, for drills and tests. Null where nobody wants it. */
  probe: ((point: string) => void) | null;
}

/** Runs the effects of this process: those that are due and committed, each once at a time. */
export class Executor {
  readonly #options: ExecutorOptions;
  /**
   * Attempts that were told to stop and have not yet: nothing new of their run starts before they have.
   * By the run's number, because a run that is read anew is another object.
   */
  readonly #winding = new Map<number, Set<Attempt>>();
  #closed = false;

  constructor(options: ExecutorOptions) {
    this.#options = options;
  }

  /** Stops what the run no longer wants and starts what is due. Say what is, not what changed: safe to call at any time. */
  reconcile(run: LiveRun): void {
    for (const [child, attempt] of run.attempts)
      if (run.effects.get(child)?.epoch !== attempt.epoch)
        this.#stop(run, child, attempt, aborted('superseded', 'the run no longer wants this effect'));
    if (this.#closed || run.parked !== null || this.isWinding(run)) return;
    const now = this.#options.system.now();
    for (const [child, effect] of run.effects)
      if (
        effect.state !== 'parked' &&
        effect.dueAt <= now &&
        !run.attempts.has(child) &&
        !isAnswered(run, child, effect.epoch)
      )
        this.#start(run, child, effect);
  }

  /** Something of the run was told to stop and has not yet. */
  isWinding(run: LiveRun): boolean {
    return this.#winding.has(run.id);
  }

  /** The run is not this process's any more: everything of it stops, and its results are nobody's. */
  drop(run: LiveRun, why: FlydError): void {
    for (const [child, attempt] of run.attempts) this.#stop(run, child, attempt, why);
  }

  /** Starts nothing more and tells everything of these runs to stop; resolves when all attempts have. */
  async close(runs: ReadonlyMap<number, LiveRun>, why: FlydError): Promise<void> {
    this.#closed = true;
    for (const { attempts } of runs.values()) for (const attempt of attempts.values()) attempt.abort(why);
    for (;;) {
      const open = [...runs.values()].flatMap(({ attempts }) => [...attempts.values()]);
      for (const attempts of this.#winding.values()) open.push(...attempts);
      if (open.length === 0) return;
      await Promise.all(open.map(({ over }) => over));
    }
  }

  #start(run: LiveRun, child: string, effect: LiveEffect): void {
    const { system, deliver } = this.#options;
    const { src } = effect;
    const attempt = new Attempt(effect.epoch, system.now());
    attempt.watch = watchAttempt(src, run.definition.effects[src], system, (why) => {
      const mail = this.#result(run, child, attempt, failure(src, why));
      this.#stop(run, child, attempt, why);
      deliver(run, mail);
    });
    attempt.over = this.#carryOut(run, child, effect, attempt);
    run.attempts.set(child, attempt);
  }

  #carryOut(run: LiveRun, child: string, effect: LiveEffect, attempt: Attempt): Promise<void> {
    const { spans } = this.#options;
    const worked =
      spans === null
        ? this.#work(run, child, effect, attempt)
        : spans.attempt(run, child, effect, () => this.#work(run, child, effect, attempt));
    return worked.then(
      (output) => this.#finish(run, child, attempt, this.#result(run, child, attempt, { ok: true, output })),
      (thrown) => {
        const failed = (): Mail => this.#result(run, child, attempt, failure(effect.src, thrown));
        this.#finish(run, child, attempt, attempt.isAborted ? null : failed());
      },
    );
  }

  #result(run: LiveRun, child: string, attempt: Attempt, outcome: EffectOutcome): Mail {
    const { spans, system } = this.#options;
    const { epoch, startedAt } = attempt;
    spans?.gave(run, child, epoch, outcome);
    const ms = system.now() - startedAt;
    return { type: 'result', child, epoch, ms, outcome, saved: attempt.endSaving() };
  }

  async #work(run: LiveRun, child: string, effect: LiveEffect, attempt: Attempt): Promise<Json> {
    const { probe, progress, system, deliver } = this.#options;
    const { epoch, src, input, saved } = effect;
    try {
      probe?.(`effect:${src}:before`);
      const implementation = run.definition.actors[src];
      if (implementation === undefined) throw new TypeError(`no implementation of '${src}'`);
      const effectId = effectIdOf(run, child, epoch);
      const what = { input, effectId, attempt: effect.attempt + 1, saved };
      const given = new Given(attempt, what, {
        progress(detail) {
          attempt.watch.alive();
          progress(run, child, effect, run.secrets === null ? detail : run.secrets.scrub(detail));
        },
        heartbeat(position) {
          attempt.watch.alive();
          if (position !== undefined && position !== null)
            attempt.save(src, system, position, (saved) =>
              deliver(run, { type: 'saved', child, epoch, saved }),
            );
        },
      });
      const output = await implementation(given as never);
      const copy = plain(output, `output of ${src}`);
      probe?.(`effect:${src}:after`);
      return copy;
    } catch (thrown) {
      // Whoever looks at it from here on sees no secret in its message.
      throw run.secrets === null || attempt.isAborted
        ? thrown
        : fromErrorRecord(run.secrets.scrub(toErrorRecord(thrown)));
    }
  }

  #stop(run: LiveRun, child: string, attempt: Attempt, why: FlydError): void {
    run.attempts.delete(child);
    const winding = this.#winding.get(run.id) ?? new Set<Attempt>();
    winding.add(attempt);
    this.#winding.set(run.id, winding);
    attempt.endSaving();
    attempt.abort(why);
  }

  #finish(run: LiveRun, child: string, attempt: Attempt, mail: Mail | null): void {
    const { deliver, settled } = this.#options;
    attempt.watch.end();
    const winding = this.#winding.get(run.id);
    if (winding?.delete(attempt)) {
      if (winding.size === 0) this.#winding.delete(run.id);
      settled(run);
      return;
    }
    run.attempts.delete(child);
    if (mail !== null) {
      deliver(run, mail);
      return;
    }
    // The process closes: whoever carries the run on begins from there.
    const saved = attempt.endSaving();
    if (saved !== null) deliver(run, { type: 'saved', child, epoch: attempt.epoch, saved });
  }
}

const failure = (src: string, thrown: unknown): EffectOutcome => ({
  ok: false,
  error: { op: src, ...toErrorRecord(thrown) },
});

/** Its result is there, and only waits to be taken: kept while the run was parked, or stored by an earlier owner. */
const isAnswered = (run: LiveRun, child: string, epoch: number): boolean =>
  run.mailbox.some(
    (mail) =>
      (mail.type === 'result' || mail.type === 'event') && mail.child === child && mail.epoch === epoch,
  );
