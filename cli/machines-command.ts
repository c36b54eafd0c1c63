import { Command } from 'commander';
import { withCommon } from './options.ts';
import type { Act, Session } from './session.ts';

const help = `
Before an upgrade, ask the NEW build whether it can carry on what the old one has begun:

  /path/to/new/flyd machines check && systemctl restart flyd

The database is only read: a copy of it is tried. A run is \`same\` (nothing changed for it), \`fits\` (its
machine changed, and it goes on), \`migrates\` (a migration makes it fit), \`refused\` (it would be parked) or
\`unknown\` (this build has no such machine). Exit code 1 when any is refused or unknown.`;

/** `flyd machines`: the statecharts of this build, and whether live runs fit into them. */
export function machinesCommand(act: Act): Command {
  const machines = new Command('machines').description('the statecharts of this build, and what fits them');
  machines.addHelpText('after', help);

  const list = new Command('list').description('name, version and definition (the same as `flyd machines`)');
  machines.addCommand(
    withCommon(list).action(
      act(async (session: Session) => (await import('./machines-look.ts')).listMachines(session)),
    ),
    { isDefault: true },
  );

  const check = new Command('check').description('whether this build can carry on every live run');
  check.addHelpText('after', help);
  machines.addCommand(
    withCommon(check).action(
      act(async (session: Session) => (await import('./machines-look.ts')).checkMachines(session)),
    ),
  );
  return machines;
}
