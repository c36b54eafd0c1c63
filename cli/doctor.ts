import { Command } from 'commander';
import { lookersAhead } from './lookers-ahead.ts';
import { type CommonFlags, withCommon, withWork } from './options.ts';
import type { Act, Session } from './session.ts';

const help = `
Looks only, unless --fix is given. Exit code 1 when something is broken that pulls need.

--verify compares the database with what is there, thing by thing, by a list of invariants that hold at
every moment, also while other commands are at work. Exit code 1 when one is broken; what the next
\`flyd gc\` removes is told as a leftover.

--fix mends what can be mended without losing data: detaches stale loop devices, makes the pool as large as
its devices are by now (a pool of loop files: as --pool-size and --pool-meta-size say, if that is more), checks the metadata of a
pool that the kernel made read-only and maps it anew, checks file systems of activations that met errors, unmounts and unmaps what the database does not know
(what is in it stays), lets the database forget what is gone, and mounts again what should be mounted.

Examples:
  flyd doctor --fix
  flyd doctor --fix --pool-size 40G                  a larger pool of loop files
  flyd doctor
  flyd doctor --driver devmapper --pool vg0-thin     would this pool do?
  flyd doctor --verify --json                        does everything agree?
  flyd doctor --json`;

export function doctorCommand(act: Act): Command {
  const command = new Command('doctor').description(
    'what this machine can do, what is missing, and the command that mends it',
  );
  command.option('--fix', 'mend what can be mended without losing data');
  command.option('--verify', 'compare the database with the world, and nothing else');
  withCommon(withWork(command));
  return command.addHelpText('after', help).action(
    act(async (session: Session, flags: CommonFlags & { verify?: true; fix?: true }) => {
      const examines = flags.fix !== true && flags.verify !== true;
      // One more reads the database from end to end.
      await lookersAhead(session, 'sizes', examines ? 1 : 0);
      if (flags.fix === true) return (await import('./doctor-fix.ts')).mend(session);
      if (flags.verify === true) return (await import('./verify-work.ts')).verify(session);
      return (await import('./doctor-work.ts')).examine(session);
    }),
  );
}
