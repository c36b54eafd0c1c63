import { spawn } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { fsyncsWithin, watchingFsyncs } from './fsyncs.ts';
import type { Rival } from './rivals.ts';
import type { Server } from './servers.ts';
import type { Answer, Task } from './worker.ts';

const worker = fileURLToPath(new URL('worker.ts', import.meta.url));

export interface Lengths {
  warmMs: number;
  measureMs: number;
}

export interface Places {
  /** Where databases are made: on the disk that counts. */
  work: string;
  peers: string;
}

/** One figure of a rival after another, each in a process of its own, over one fresh server. */
export async function* measure(
  rival: Rival,
  atOnce: readonly number[],
  { warmMs, measureMs }: Lengths,
  places: Places,
): AsyncGenerator<{ atOnce: number; answer: Answer }> {
  const folder = freshFolder(places.work);
  let server: Server | null = null;
  try {
    server = (await rival.start?.(folder, [])) ?? null;
    for (const many of atOnce) {
      const own = freshFolder(places.work);
      try {
        const task = { ...taskOf(rival, many, own, server, places), warmMs, measureMs };
        yield { atOnce: many, answer: await ask(task, []) };
      } finally {
        rmSync(own, { recursive: true, force: true });
      }
    }
  } finally {
    await server?.stop();
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Calls that reach for the disk, of the server or else of the worker, for each step. */
export async function fsyncsPerStep(
  rival: Rival,
  atOnce: number,
  lengths: Lengths,
  places: Places,
): Promise<number> {
  const folder = freshFolder(places.work);
  const log = join(folder, 'fsyncs');
  let server: Server | null = null;
  try {
    server = (await rival.start?.(folder, watchingFsyncs(log))) ?? null;
    const task = { ...taskOf(rival, atOnce, folder, server, places), ...lengths };
    const { from, to, steps } = await ask(task, server === null ? watchingFsyncs(log) : []);
    return fsyncsWithin(log, from, to) / steps;
  } finally {
    await server?.stop();
    rmSync(folder, { recursive: true, force: true });
  }
}

const taskOf = (
  { subject }: Rival,
  atOnce: number,
  folder: string,
  server: Server | null,
  { peers }: Places,
): Omit<Task, keyof Lengths> => ({
  ...{ subject, atOnce, folder, peers },
  server: server?.server ?? '',
  serverPid: server?.pid ?? 0,
});

/** A server's own user must be able to enter it. */
export function freshFolder(work: string): string {
  const folder = mkdtempSync(join(work, 'engine-'));
  chmodSync(folder, 0o755);
  return folder;
}

/** Lets a fresh process do the task; throws with its words when it fails. */
function ask(task: Task, watching: readonly string[]): Promise<Answer> {
  const [program = '', ...args] = [...watching, process.execPath, worker, JSON.stringify(task)];
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  const texts = { out: '', err: '' };
  child.stdout.on('data', (data: Buffer) => {
    texts.out += data.toString();
  });
  child.stderr.on('data', (data: Buffer) => {
    texts.err += data.toString();
  });
  // What hangs ends too, and says so.
  const patience = setTimeout(() => child.kill('SIGKILL'), task.warmMs + task.measureMs + 60_000);
  return new Promise((done, fail) => {
    child.once('error', fail);
    child.once('close', (code, signal) => {
      clearTimeout(patience);
      if (code !== 0)
        fail(new Error(`${task.subject} ended with ${code ?? signal}: ${texts.err.slice(-2000)}`));
      else done(JSON.parse(texts.out.trim().split('\n').at(-1) ?? '') as Answer);
    });
  });
}
