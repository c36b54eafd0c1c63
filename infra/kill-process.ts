import { closeSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { geteuid, pidfdOpen, pidfdSendSignal } from './sys.ts';

/**
 * SIGKILL to the process that has this pid now, if it is of this user and `isMeant` says so; gives whether
 * it was sent. The pidfd is opened before that is asked: no later process of the same pid can be hit.
 */
export function killProcess(pid: number, isMeant: () => boolean): boolean {
  let pidfd: number;
  try {
    pidfd = pidfdOpen(pid);
  } catch {
    return false; // ended already
  }
  try {
    if (statSync(`/proc/${pid}`).uid !== geteuid() || !isMeant()) return false;
    pidfdSendSignal(pidfd, 'SIGKILL');
    return true;
  } catch {
    return false; // ended in between, or is not ours to signal
  } finally {
    closeSync(pidfd);
  }
}

/** Field 22 of /proc/<pid>/stat (proc_pid_stat(5)): with the pid, it names one process only. Throws when it is gone. */
export const startTimeOf = (pid: number): string => statOf(pid)[19] ?? '';

/** Whether it was stopped by a signal, or by a tracer. False when it is gone. */
export function isStopped(pid: number): boolean {
  try {
    return ['T', 't'].includes(statOf(pid)[0] ?? '');
  } catch {
    return false;
  }
}

/** The fields from the third on, counted from behind the name, which may hold anything. */
function statOf(pid: number): string[] {
  const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
  return stat.slice(stat.lastIndexOf(')') + 2).split(' ');
}

/**
 * Stopped processes that hold flock(2) on the file by an fd that they were given; their pids. Who merely has
 * it open, to ask for the lock, is not one (`lock:` of /proc/<pid>/fdinfo, proc_pid_fdinfo(5)).
 */
export function stoppedHoldersOf(path: string): number[] {
  const file = statSync(path, { throwIfNoEntry: false });
  if (file === undefined) return [];
  const holds = (pid: number): boolean => {
    try {
      return readdirSync(`/proc/${pid}/fd`).some((fd) => {
        const { ino, dev } = statSync(`/proc/${pid}/fd/${fd}`);
        if (ino !== file.ino || dev !== file.dev) return false;
        return /^lock:.* FLOCK .* WRITE /m.test(readFileSync(`/proc/${pid}/fdinfo/${fd}`, 'latin1'));
      });
    } catch {
      return false; // ended in between, or is another's
    }
  };
  const pids = readdirSync('/proc').filter((name) => /^\d+$/.test(name));
  return pids.map(Number).filter((pid) => isStopped(pid) && holds(pid));
}
