import { Command } from 'commander';
import type { ActivationResult } from '#core/image';
import { type ActivationFlags, activationOf } from './activation-options.ts';
import { type CommonFlags, withActivation, withCommon, withWork } from './options.ts';
import type { Act, Session } from './session.ts';

const help = `
Examples:
  flyd activate golang --name build-1             another read-write snapshot of its base
  flyd activate golang --read-only
  flyd activate golang --size 20G                 grow its file system (devmapper)
  flyd activate golang --attach device --json     a block device for a microVM (devmapper)`;

export function activateCommand(act: Act): Command {
  const command = new Command('activate')
    .description('make another snapshot of an image that is there already')
    .argument('<image>', 'its id, the start of it, or its family');
  withCommon(withWork(withActivation(command)));
  return command.addHelpText('after', help).action(
    act(async (session: Session, wanted: string, flags: CommonFlags & ActivationFlags) => {
      const options = activationOf(flags);
      const { openWorkbench } = await import('./compose.ts');
      const { imageNotFound } = await import('./not-found.ts');
      const { seeThrough } = await import('./resume-work.ts');
      const { sayActivation } = await import('./summary.ts');
      const bench = await openWorkbench(session);
      try {
        const image = bench.images.images.search(wanted);
        if (image === null) throw imageNotFound(wanted);
        const input = { image: image.id, options };
        const { id } = await bench.engine.start(bench.machines.activate, { input });
        return await seeThrough(session, bench, id, { noWait: true }, ({ output }) => {
          session.out.say(`${image.family}: activated`);
          sayActivation(output as unknown as ActivationResult, session.out, session);
        });
      } finally {
        await bench.close();
      }
    }),
  );
}
