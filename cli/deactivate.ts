import { Command } from 'commander';
import { type CommonFlags, withCommon, withWork } from './options.ts';
import type { Act, Session } from './session.ts';

const help = `
The snapshot is unmounted and removed, with everything that was written to it. One that a process
holds is refused, and the process named; nothing is ever unmounted from under a process.

Examples:
  flyd deactivate act-0123456789abcdef
  flyd deactivate build-1`;

export function deactivateCommand(act: Act): Command {
  const command = new Command('deactivate')
    .description('unmount a snapshot and remove it')
    .argument('<activation>', 'its id, the start of it, or its name');
  withCommon(withWork(command));
  return command.addHelpText('after', help).action(
    act(async (session: Session, wanted: string, _flags: CommonFlags) => {
      const { openWorkbench } = await import('./compose.ts');
      const { activationNotFound } = await import('./not-found.ts');
      const { seeThrough } = await import('./resume-work.ts');
      const bench = await openWorkbench(session, { freesRoom: true });
      try {
        const activation = bench.images.activations.search(wanted);
        if (activation === null) throw activationNotFound(wanted);
        const input = { id: activation.id, force: false };
        const { id } = await bench.engine.start(bench.machines.deactivate, { input });
        return await seeThrough(session, bench, id, { noWait: true }, () =>
          session.out.say(`${activation.id} is gone`),
        );
      } finally {
        await bench.close();
      }
    }),
  );
}
