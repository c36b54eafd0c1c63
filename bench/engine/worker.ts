import { setTimeout as sleep } from 'node:timers/promises';
import { type Figures, keepGoing, StepClock } from './clock.ts';
import { cpuMsOf } from './cpu.ts';
import type { OpenSubject, Written } from './subject.ts';
import { openDbos } from './subjects/dbos.ts';
import { openAppends, openCommits } from './subjects/disk.ts';
import { openFlyd } from './subjects/flyd.ts';
import { openRestateRun, openRestateXState } from './subjects/restate.ts';
import { openTable, openXStateTable } from './subjects/table.ts';

/** What a worker is asked to do: its one argument, as JSON. */
export interface Task {
  subject: keyof typeof subjects;
  atOnce: number;
  folder: string;
  /** As `Surroundings.server`. */
  server: string;
  /** The process of that server; 0 for none. */
  serverPid: number;
  peers: string;
  warmMs: number;
  measureMs: number;
}

/** What it answers: its one line of output, as JSON. */
export interface Answer extends Figures {
  /** CPU of this process and the server in that time, user and system. */
  cpuMs: number;
  /** That time; milliseconds since the epoch. */
  from: number;
  to: number;
  /** Over the worker's whole life. */
  written: Written | null;
}

const subjects = {
  flyd: openFlyd,
  table: openTable,
  'xstate-table': openXStateTable,
  commits: openCommits,
  appends: openAppends,
  'restate-xstate': openRestateXState,
  'restate-run': openRestateRun,
  dbos: openDbos,
} satisfies Record<string, OpenSubject>;

const task = JSON.parse(process.argv[2] ?? '') as Task;
const clock = new StepClock();
const subject = await subjects[task.subject]({ ...task, clock });
const cpuMs = (): number => cpuMsOf(process.pid) + (task.serverPid === 0 ? 0 : cpuMsOf(task.serverPid));
let over = false;
const load = keepGoing(
  task.atOnce,
  async (name) => {
    await subject.run(name);
    clock.end(name);
  },
  () => over,
);
await Promise.race([sleep(task.warmMs), load]);
const [cpuBefore, from] = [cpuMs(), Date.now()];
clock.open();
await Promise.race([sleep(task.measureMs), load]);
const figures = clock.close();
const [cpuAfter, to] = [cpuMs(), Date.now()];
over = true;
await load;
const written = await subject.close();
const answer: Answer = { ...figures, cpuMs: cpuAfter - cpuBefore, from, to, written };
process.stdout.write(`${JSON.stringify(answer)}\n`, () => process.exit(0));
