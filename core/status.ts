/** The one set of statuses a run can have. The last three are terminal. */
export const runStatuses = [
  'running',
  'waiting',
  'pending',
  'parked',
  'done',
  'failed',
  'cancelled',
] as const;
export type RunStatus = (typeof runStatuses)[number];

const terminal: readonly RunStatus[] = ['done', 'failed', 'cancelled'];

/** Whether a run of this status will never move again. */
export const isTerminal = (status: RunStatus): boolean => terminal.includes(status);
