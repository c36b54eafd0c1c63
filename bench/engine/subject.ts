import type { StepClock } from './clock.ts';

/** What does ten durable steps, seen from the process that asks for them. */
export interface Subject {
  /** Starts a run of this name and waits for its end; tells the clock of each effect that begins, not of the end. */
  run(name: string): Promise<void>;
  /** Gives what it wrote in all, as far as that is known by counting rows. */
  close(): Promise<Written | null>;
}

export interface Written {
  runs: number;
  /** Rows of history. */
  transitions: number;
}

/** Where a subject may keep its files, what it tells of its steps, and the server it needs. */
export interface Surroundings {
  folder: string;
  clock: StepClock;
  /** The server that was started for it, in the form that it wants; empty for those without. */
  server: string;
  /** Where the packages of peers are installed. */
  peers: string;
}

export type OpenSubject = (surroundings: Surroundings) => Promise<Subject>;
