import { Command } from 'commander';
import { type CommonFlags, withCommon, withWork } from './options.ts';
import type { Act, Session } from './session.ts';

const help = `
Removes blobs that no image needs, volumes without an image, leftovers of crashes and temp files.
Images, activations and what a live run relies on stay.`;

export function gcCommand(act: Act): Command {
  const command = new Command('gc').description('remove what nothing needs any more');
  withCommon(withWork(command));
  return command
    .addHelpText('after', help)
    .action(act(async (session: Session, _: CommonFlags) => (await import('./gc-work.ts')).collect(session)));
}
