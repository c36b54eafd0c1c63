import { constants } from 'node:os';
import type { ErrorRecord } from '#core/errors';
import type { RunStatus } from '#core/status';

/** The exit codes of `flyd`. Scripts rely on them: README, "Exit codes". */
export const exitCodes = {
  done: 0,
  failed: 1,
  usage: 2,
  pending: 3,
  cancelled: 4,
} as const;

/** How a command ends when its run came to this status. */
export function exitOfStatus(status: RunStatus): number {
  switch (status) {
    case 'done':
      return exitCodes.done;
    case 'pending':
      return exitCodes.pending;
    case 'cancelled':
      return exitCodes.cancelled;
    default:
      return exitCodes.failed;
  }
}

/** What the person typed is at fault, not the world. */
const usageCodes: readonly string[] = ['usage', 'source_missing', 'source_invalid', 'source_insecure'];

/** How a command ends when it threw this. */
export function exitOfError({ kind, code }: ErrorRecord): number {
  if (usageCodes.includes(code)) return exitCodes.usage;
  if (kind === 'pending') return exitCodes.pending;
  if (code === 'cancelled') return exitCodes.cancelled;
  return exitCodes.failed;
}

/** 130 for SIGINT, 143 for SIGTERM: what a shell gives for a command that the signal ended. */
export const exitOfSignal = (signal: NodeJS.Signals): number => 128 + constants.signals[signal];
