import { FlydError } from '#core/errors';
import type { Clock } from './clock.ts';
import { isInjected, type SimulatedProcess } from './process.ts';
import type { Random } from './random.ts';
import type { ClientCall } from './scene.ts';

export interface ClientsOptions {
  random: Random;
  clock: Clock;
  calls: readonly ClientCall[];
  /** The chance that a call that was answered is made once more. */
  twice: number;
  note(line: string): void;
  broke(broken: unknown): void;
}

/** Answers that stay the same however often it is asked. */
const refusals = ['run_not_active', 'run_conflict', 'reset_refused', 'tag_unreachable'];

interface Waiting {
  readonly call: ClientCall;
  at: number;
  /** Who is answering; null when nobody was asked yet. */
  asked: SimulatedProcess | null;
}

/** Makes the calls of a scene, each again and again until a process has answered it. */
export class Clients {
  readonly #options: ClientsOptions;
  readonly #waiting = new Set<Waiting>();
  readonly answered = new Set<string>();

  constructor(options: ClientsOptions) {
    this.#options = options;
    const start = options.clock.now();
    for (const call of options.calls) this.#waiting.add({ call, at: start + call.at, asked: null });
  }

  /** Names of the calls that have no answer yet. */
  get open(): string[] {
    return [...this.#waiting].map(({ call }) => call.name);
  }

  get nextAt(): number | null {
    const times = [...this.#waiting].flatMap(({ at, asked }) => (asked === null ? [at] : []));
    return times.length === 0 ? null : Math.min(...times);
  }

  get isDue(): boolean {
    const { nextAt } = this;
    return nextAt !== null && nextAt <= this.#options.clock.now();
  }

  /** Makes one of the calls that are due. */
  makeOne(process: SimulatedProcess): void {
    const { random, clock, note } = this.#options;
    const now = clock.now();
    const due = [...this.#waiting].filter(({ at, asked }) => asked === null && at <= now);
    const waiting = random.pick(due);
    waiting.asked = process;
    note(`${process.name} is asked to ${waiting.call.name}`);
    waiting.call
      .call(process.engine, (name) => process.machine(name))
      .then(
        () => this.#took(waiting, process),
        (thrown) => this.#refused(waiting, process, thrown),
      );
  }

  /** Whatever the process was asked is to be asked again. */
  died(process: SimulatedProcess): void {
    for (const waiting of this.#waiting) if (waiting.asked === process) this.#again(waiting);
  }

  #took(waiting: Waiting, process: SimulatedProcess): void {
    if (waiting.asked !== process || !process.isAlive) return;
    const { call } = waiting;
    this.#options.note(`${process.name} did ${call.name}`);
    this.answered.add(call.name);
    this.#waiting.delete(waiting);
    if (call.repeatable !== false && this.#options.random.chance(this.#options.twice))
      this.#waiting.add({ call: { ...call, repeatable: false }, at: this.#soon(), asked: null });
  }

  #refused(waiting: Waiting, process: SimulatedProcess, thrown: unknown): void {
    if (waiting.asked !== process || !process.isAlive) return;
    const code = thrown instanceof FlydError ? thrown.code : '';
    this.#options.note(`${process.name} could not ${waiting.call.name}: ${String(thrown)}`);
    if (refusals.includes(code)) this.#waiting.delete(waiting);
    else if (isInjected(thrown) || code === 'interrupted' || code === 'run_not_found') this.#again(waiting);
    else this.#options.broke(thrown);
  }

  #again(waiting: Waiting): void {
    waiting.asked = null;
    waiting.at = this.#soon();
  }

  #soon(): number {
    return this.#options.clock.now() + this.#options.random.int(100);
  }
}
