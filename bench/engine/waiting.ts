import { type ChildProcess, spawn } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const sleepers = fileURLToPath(new URL('../scale/sleepers.ts', import.meta.url));

/**
 * Runs that wait, in a process that is killed: how long from then until a new process, which begins at that moment,
 * has them all. Milliseconds, once for each of `times` kills.
 */
export async function backAfterKill(folder: string, count: number, times: number): Promise<number[]> {
  const path = join(folder, 'waiting.db');
  const took: number[] = [];
  let holder = begin('make');
  try {
    await firstLine(holder);
    for (let time = 0; time < times; time++) {
      const killedAt = performance.now();
      holder.kill('SIGKILL');
      holder = begin('wake');
      await firstLine(holder);
      took.push(performance.now() - killedAt);
    }
  } finally {
    holder.kill('SIGKILL');
  }
  return took;

  function begin(act: string): ChildProcess {
    const args = [sleepers, act, path, 'waiting', String(count), 'stay'];
    return spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  }
}

const firstLine = (child: ChildProcess): Promise<void> =>
  new Promise((done, fail) => {
    child.stdout?.once('data', () => done());
    child.once('exit', (code, signal) => fail(new Error(`the sleepers ended with ${code ?? signal}`)));
  });
