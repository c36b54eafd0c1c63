import { Command } from 'commander';
import { type CommonFlags, withCommon, withWork } from './options.ts';
import type { Act, Session } from './session.ts';

const help = `
Looks only: nothing is made or mended. Exit code 1 when something is broken that pulls need.

Examples:
  flyd doctor
  flyd doctor --driver devmapper --pool vg0-thin     would this pool do?
  flyd doctor --json`;

export function doctorCommand(act: Act): Command {
  const command = new Command('doctor').description(
    'what this machine can do, what is missing, and the command that mends it',
  );
  withCommon(withWork(command));
  return command
    .addHelpText('after', help)
    .action(
      act(async (session: Session, _: CommonFlags) => (await import('./doctor-work.ts')).examine(session)),
    );
}
