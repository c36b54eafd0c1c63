import { Command, InvalidArgumentError } from 'commander';
import { type CommonFlags, withCommon, withWork } from './options.ts';
import type { Act, Session } from './session.ts';

interface InspectFlags extends CommonFlags {
  port: number;
}

const help = `
Shows every run live, its statechart, its history step by step, and the images and mounts of this host.
It listens on 127.0.0.1 only; the address that it prints holds the token, without which nobody sees
anything. From another machine: ssh -L 7717:127.0.0.1:7717 this-host, then open the same address.

The buttons (cancel, retry, resume, send) move runs in this process when nobody else does: leave it
running until they are done. Stopping it leaves every run resumable.

The inspector of Stately attaches to ws://127.0.0.1:7717/inspect/runs/<run>?token=<token>.

Examples:
  flyd inspect                  prints the address to open
  flyd inspect --port 0 --json  a free port; prints {"address", "origin", "port", "token"}`;

export function inspectCommand(act: Act): Command {
  const inspect = new Command('inspect')
    .description('watch runs and the host in a browser, and go back in time')
    .option('--port <n>', '0 picks a free one', port, 7717);
  withCommon(withWork(inspect));
  return inspect.addHelpText('after', help).action(
    act(async (session: Session, flags: InspectFlags) => {
      const { serveInspector } = await import('./inspect-work.ts');
      return serveInspector(session, flags.port);
    }),
  );
}

function port(text: string): number {
  const number = Number(text);
  if (!/^\d+$/.test(text) || number > 65_535) throw new InvalidArgumentError('write a number up to 65535');
  return number;
}
