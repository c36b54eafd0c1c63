import { constants } from 'node:os';
import { bind, bindNumber, check } from './libc.ts';

const flockCall = bind('flock', 'int', ['int', 'int']);
const pidfdOpenCall = bindNumber('pidfd_open', ['long', 'long']);
const pidfdSendSignalCall = bindNumber('pidfd_send_signal', ['long', 'long', 'ptr', 'long']);
const prctlCall = bind('prctl', 'int', ['int', 'long', 'long', 'long', 'long']);
const geteuidCall = bind('geteuid', 'int', []);
const getppidCall = bind('getppid', 'int', []);

const mallocTrimCall = bind('malloc_trim', 'int', ['long']);

const LOCK_SH = 1;
const LOCK_EX = 2;
const LOCK_NB = 4;
const LOCK_UN = 8;
const EAGAIN = -11;

/**
 * flock(2). With `nonblocking` false if somebody else holds it; without, it blocks this thread until it
 * is free. The lock goes with the last fd of this open file: also when the process is killed.
 */
export function flock(fd: number, kind: 'shared' | 'exclusive', nonblocking: boolean): boolean {
  const result = flockCall(fd, (kind === 'shared' ? LOCK_SH : LOCK_EX) | (nonblocking ? LOCK_NB : 0));
  if (result === EAGAIN) return false;
  check(result, 'flock');
  return true;
}

/** Gives a lock of `flock` back. */
export const unlock = (fd: number): void => void check(flockCall(fd, LOCK_UN), 'flock');

/** pidfd_open(2): an fd that means this process and no later one of the same number. ESRCH when it is gone. */
export const pidfdOpen = (pid: number): number => check(pidfdOpenCall(pid, 0), 'pidfd_open', String(pid));

/** pidfd_send_signal(2). ESRCH when the process has ended and was waited for. */
export const pidfdSendSignal = (pidfd: number, signal: NodeJS.Signals): void =>
  void check(pidfdSendSignalCall(pidfd, constants.signals[signal], null, 0), 'pidfd_send_signal');

const PR_SET_PDEATHSIG = 1;

/**
 * Asks for a signal when the parent dies. It watches the thread of the parent that made this process,
 * so call it in the child's main thread, then compare `getppid` with the expected parent: it may have
 * died before.
 */
export const setParentDeathSignal = (signal: NodeJS.Signals): void =>
  void check(prctlCall(PR_SET_PDEATHSIG, constants.signals[signal], 0, 0, 0), 'prctl');

export const geteuid = (): number => geteuidCall();
export const getppid = (): number => getppidCall();

/** malloc_trim(3): gives the kernel back the pages that malloc holds and nobody uses, of all arenas. */
export const trimMemory = (): void => void mallocTrimCall(0);
