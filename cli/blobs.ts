import { Command } from 'commander';
import { withCommon } from './options.ts';
import type { Act, Session } from './session.ts';

export function blobsCommand(act: Act): Command {
  const command = new Command('blobs').description('layer objects that are downloaded, whole and verified');
  return withCommon(command).action(
    act(async (session: Session) => (await import('./blobs-look.ts')).showBlobs(session)),
  );
}
