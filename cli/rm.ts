import { Command } from 'commander';
import type { SweepReport } from '#machines/sweep';
import { type CommonFlags, withCommon, withWork } from './options.ts';
import type { Act, Session } from './session.ts';

const help = `
Removes the image and what it alone needed: its base, its volumes, its blobs. What crashes have left behind
is for flyd gc. Refused while activations live; --force takes those down first, but never one that a process
holds.

Examples:
  flyd rm golang
  flyd rm golang --force`;

export function rmCommand(act: Act): Command {
  const command = new Command('rm')
    .description('remove an image and what only it needed')
    .argument('<image>', 'its id, the start of it, or its family')
    .option('--force', 'take its activations down first, unless a process holds one');
  withCommon(withWork(command));
  return command.addHelpText('after', help).action(
    act(async (session: Session, wanted: string, flags: CommonFlags & { force?: true }) => {
      const { openWorkbench } = await import('./compose.ts');
      const { imageNotFound } = await import('./not-found.ts');
      const { seeThrough } = await import('./resume-work.ts');
      const { sweptText } = await import('./gc-work.ts');
      const bench = await openWorkbench(session, { freesRoom: true });
      try {
        const image = bench.images.images.search(wanted);
        if (image === null) throw imageNotFound(wanted);
        const input = { image: image.id, force: flags.force === true };
        const { id } = await bench.engine.start(bench.machines.remove, { input });
        return await seeThrough(session, bench, id, { noWait: true }, ({ output }) => {
          const { swept } = output as unknown as { swept: SweepReport };
          session.out.say(`${image.family} (${image.id}) is gone; ${sweptText(swept)}`);
        });
      } finally {
        await bench.close();
      }
    }),
  );
}
