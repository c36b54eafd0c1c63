import type { Session } from './session.ts';

/**
 * For commands that look at all blobs: where there are many, threads start while the command itself is loaded
 * and opens what it needs. They are given something to look at only when the state directory has been checked.
 */
export async function lookersAhead({ settings }: Session, what: 'names' | 'sizes'): Promise<void> {
  const { blobFolderOf, startLookers } = await import('#infra/blob/lookers');
  startLookers(blobFolderOf(settings.stateDir), what);
}
