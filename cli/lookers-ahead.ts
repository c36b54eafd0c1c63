import type { Session } from './session.ts';

/**
 * For commands that look at all blobs: where there are many, threads start while the command itself is loaded
 * and opens what it needs. They are given something to look at only when the state directory has been checked.
 * `others`: threads for what else the command does in one.
 */
export async function lookersAhead(
  { settings }: Session,
  what: 'names' | 'sizes',
  others = 0,
): Promise<void> {
  const { blobFolderOf, startLookers } = await import('#infra/blob/lookers');
  startLookers(blobFolderOf(settings.stateDir), what, others);
}
