import { Command } from 'commander';
import { type CommonFlags, withCommon, withWork } from './options.ts';
import type { Act, Session } from './session.ts';

interface ResumeFlags extends CommonFlags {
  all?: true;
  wait: boolean;
}

const help = `
Takes over runs whose process is gone, and sees them through. Then brings back what a reboot took: loop
devices, the thin pool, mappings and mounts of every activation; ephemeral ones are removed. What such a run was asked to do is
stored with it: only a changed state directory must be given again.

Examples:
  flyd resume                    every run that nobody carries on, and every mount: also at each boot
  flyd resume 01JD...            this one; it is joined if another process carries it on
  flyd resume --all --no-wait    what can go on now; exit 3 if a layer is still missing`;

export function resumeCommand(act: Act): Command {
  const command = new Command('resume')
    .description('go on with runs that a crash, a reboot or a signal interrupted')
    .argument('[run]', 'its id, or the start of it')
    .option('--all', 'every run that nobody carries on (the same as no run)')
    .option('--no-wait', 'do not wait for layers that are not in the bucket yet: exit 3');
  withCommon(withWork(command));
  return command.addHelpText('after', help).action(
    act(async (session: Session, run: string | undefined, flags: ResumeFlags) => {
      const { resume } = await import('./resume-work.ts');
      return resume(session, flags.all === true ? undefined : run, { noWait: !flags.wait });
    }),
  );
}
