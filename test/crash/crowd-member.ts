import { type ChildProcess, fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { type Ended, environmentOf, patienceMs, type Sandbox, startFlyd } from './sandbox.ts';

/** One in a crowd, who runs one command of flyd after the other. */
export interface Member {
  /** Gets as far as it can without a command. */
  ready(): Promise<void>;
  /** Runs it to its end, or until it is killed after so many milliseconds. */
  run(args: readonly string[], killAfterMs: number | null): Promise<Ended>;
  close(): void;
}

/** Starts a process for each command, as people and scripts do. */
export const commandMember = (sandbox: Sandbox, env: Record<string, string>): Member => ({
  async ready() {},
  async run(args, killAfterMs) {
    const running = startFlyd(sandbox, [...args, '--json'], { env });
    const timer = killAfterMs === null ? undefined : setTimeout(() => running.kill('SIGKILL'), killAfterMs);
    const ended = await running.ended;
    clearTimeout(timer);
    return ended;
  },
  close() {},
});

/** What the process of a resident member answers. */
export interface Said {
  code: number;
  stdout: string;
  stderr: string;
}

/** Sixteen on one emulated processor: who has the database's lock may have to wait long for its turn. */
const patient = ['--timeout', 'databaseMs=120000'];
const resident = fileURLToPath(new URL('./crowd-resident.ts', import.meta.url));

/**
 * Is one process until it is killed, and then another: in an emulated guest a process of Node takes so long to
 * load that sixteen would do little else.
 */
export function residentMember(sandbox: Sandbox, env: Record<string, string>): Member {
  let child: ChildProcess | null = null;
  let stderr = '';
  const start = async (): Promise<ChildProcess> => {
    const fresh = fork(resident, [], {
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
      cwd: sandbox.folder,
      env: { ...environmentOf(sandbox), ...env },
    });
    fresh.stderr?.on('data', (chunk: Buffer) => {
      stderr += chunk.toString();
    });
    // It says so when it has loaded: who is to be killed is killed at work.
    await new Promise((go, fail) => {
      fresh.once('message', go);
      fresh.once('error', fail);
      fresh.once('exit', go);
    });
    return fresh;
  };
  return {
    async ready() {
      child ??= await start();
    },
    async run(args, killAfterMs) {
      stderr = '';
      child ??= await start();
      const working = child;
      const kill = (): void => void working.kill('SIGKILL');
      const timers = [killAfterMs ?? patienceMs(sandbox.driver)].map((ms) => setTimeout(kill, ms));
      const ended = await new Promise<Ended>((give) => {
        const gone = (code: number | null, signal: NodeJS.Signals | null): void => {
          child = null;
          give({ code, signal, stdout: '', stderr });
        };
        if (working.exitCode !== null || working.signalCode !== null) {
          gone(working.exitCode, working.signalCode);
          return;
        }
        working.once('exit', gone);
        working.once('message', (said) => {
          working.removeListener('exit', gone);
          give({ ...(said as Said), signal: null });
        });
        working.send([...args, '--state-dir', sandbox.state, ...patient]);
      });
      working.removeAllListeners('message');
      for (const timer of timers) clearTimeout(timer);
      return ended;
    },
    close: () => child?.disconnect(),
  };
}
