/** What a time of load gave. */
export interface Figures {
  /** Steps whose result was durable within it. */
  steps: number;
  seconds: number;
  /** From one effect's beginning to the next one's, or to the end of the run: what a step costs. */
  p50Ms: number;
  p99Ms: number;
}

/** Hears of every effect that begins and every run that ends, and so of every step. */
export class StepClock {
  readonly #begun = new Map<string, number>();
  #took: number[] = [];
  #openedAt = Number.NaN;

  /** An effect of this run begins: the one before it, if any, is durable. */
  begin(name: string): void {
    const now = performance.now();
    this.#over(name, now);
    this.#begun.set(name, now);
  }

  /** The run has ended, durably. */
  end(name: string): void {
    this.#over(name, performance.now());
    this.#begun.delete(name);
  }

  #over(name: string, now: number): void {
    const begun = this.#begun.get(name);
    if (begun !== undefined) this.#took.push(now - begun);
  }

  /** From here on it counts. */
  open(): void {
    this.#took = [];
    this.#openedAt = performance.now();
  }

  close(): Figures {
    const seconds = (performance.now() - this.#openedAt) / 1000;
    const took = Float64Array.from(this.#took).sort();
    const at = (part: number): number => took[Math.min(took.length - 1, Math.floor(took.length * part))] ?? 0;
    return { steps: took.length, seconds, p50Ms: at(0.5), p99Ms: at(0.99) };
  }
}

/** Keeps `atOnce` runs going, each followed by a new one, until `isOver`; resolves when the last has ended. */
export async function keepGoing(
  atOnce: number,
  run: (name: string) => Promise<void>,
  isOver: () => boolean,
): Promise<void> {
  let runs = 0;
  const place = async (): Promise<void> => {
    while (!isOver()) await run(`order-${process.pid}-${++runs}`);
  };
  await Promise.all(Array.from({ length: atOnce }, place));
}
