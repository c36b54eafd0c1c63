import { readdirSync, readFileSync } from 'node:fs';

/** Linux counts CPU time in hundredths of a second, whatever the kernel's own tick (proc(5), USER_HZ). */
const msPerTick = 10;

/** CPU time of a process and all below it, those included that have ended; milliseconds, user and system. */
export function cpuMsOf(root: number): number {
  const parents = new Map<number, number>();
  const ticks = new Map<number, { own: number; waitedFor: number }>();
  for (const name of readdirSync('/proc')) {
    const pid = Number(name);
    if (!Number.isInteger(pid)) continue;
    const fields = statOf(pid);
    if (fields === null) continue;
    // From the third field on: state, ppid, ..., utime (14th), stime, cutime, cstime.
    const at = (field: number): number => Number(fields[field - 3]);
    parents.set(pid, at(4));
    ticks.set(pid, { own: at(14) + at(15), waitedFor: at(16) + at(17) });
  }
  let sum = 0;
  for (const [pid, { own, waitedFor }] of ticks) if (isBelow(pid)) sum += own + waitedFor;
  return sum * msPerTick;

  function isBelow(pid: number): boolean {
    for (let at: number | undefined = pid; at !== undefined && at !== 0; at = parents.get(at))
      if (at === root) return true;
    return false;
  }
}

/** The fields after the name, which may hold spaces; null when the process is gone. */
function statOf(pid: number): string[] | null {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return text.slice(text.lastIndexOf(')') + 2).split(' ');
  } catch {
    return null;
  }
}
