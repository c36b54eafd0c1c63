import { Command, InvalidArgumentError, Option } from 'commander';
import { runStatuses } from '#core/status';
import { type CommonFlags, withCommon, withWork } from './options.ts';
import { movingCommands, step } from './runs-moving.ts';
import type { Act, Session } from './session.ts';

interface ListFlags extends CommonFlags {
  live?: true;
  status?: (typeof runStatuses)[number];
  machine?: string;
}

const help = `
Every piece of work is a run: \`pull\` and, below it, image, blob, volume and activate.

Examples:
  flyd runs                     all of them, oldest first
  flyd runs --live              what has not ended
  flyd runs watch               what is under way, live
  flyd runs wait 01JD...        until one has ended, whoever carries it on
  flyd runs show 01JD...        one, with the states it passed and how long each took
  flyd runs events 01JD...      its history, step by step
  flyd runs fork 01JD... --at 3 go on from step 3 with a copy
  flyd runs export 01JD...      the same as one HTML file, to attach to a bug report
  flyd runs cancel 01JD...      stop it, whoever carries it on; what was made is taken back
  flyd runs retry 01JD...       let a parked run try again
  flyd runs kill 01JD...        end it at once, and leave what it made
  flyd runs purge 01JD...       delete one that has ended, and its history
  flyd runs purge --ended-for 30`;

export function runsCommand(act: Act): Command {
  const runs = new Command('runs').description('what was done, and what is under way');
  runs.addHelpText('after', help);

  const list = new Command('list')
    .description('all runs, oldest first (the same as `flyd runs`)')
    .option('--live', 'only those that have not ended')
    .addOption(new Option('--status <status>', 'only these').choices(runStatuses))
    .option('--machine <name>', 'only these: pull, image, blob, volume, activate, ...');
  runs.addCommand(
    withCommon(list).action(
      act(async (session: Session, flags: ListFlags) => {
        const { listRuns } = await import('./runs-look.ts');
        return listRuns(session, flags);
      }),
    ),
    { isDefault: true },
  );

  const show = new Command('show').description('one run: input, output, children').argument('<run>', idHelp);
  runs.addCommand(
    withCommon(show).action(
      act(async (session: Session, run: string) => (await import('./runs-look.ts')).showRun(session, run)),
    ),
  );

  const events = new Command('events').description('its history, step by step').argument('<run>', idHelp);
  runs.addCommand(
    withCommon(events).action(
      act(async (session: Session, run: string) => (await import('./runs-look.ts')).showEvents(session, run)),
    ),
  );

  const watch = new Command('watch')
    .description('what is under way, live; of one run until it has ended. --json: an object a line')
    .argument('[run]', idHelp);
  runs.addCommand(
    withCommon(watch).action(
      act(async (session: Session, run: string | undefined) => {
        return (await import('./runs-watch.ts')).watchRuns(session, run);
      }),
    ),
  );

  const exported = new Command('export')
    .description('a run and those below it as one HTML file: history, statecharts, every step; no secrets')
    .argument('<run>', idHelp)
    .option('--out <file>', 'default: flyd-run-<run>.html in this folder');
  runs.addCommand(
    withCommon(exported).action(
      act(async (session: Session, run: string, flags: CommonFlags & { out?: string }) => {
        return (await import('./runs-export.ts')).exportRun(session, run, flags.out);
      }),
    ),
  );

  for (const command of movingCommands(act, idHelp)) runs.addCommand(command);

  const cancel = new Command('cancel')
    .description('stop a run for good, whoever carries it on, and take back what it made')
    .argument('<run>', idHelp)
    .option('--reason <text>', 'kept in the history');
  runs.addCommand(
    withCommon(withWork(cancel)).action(
      act(async (session: Session, run: string, flags: CommonFlags & { reason?: string }) => {
        const { cancelRun } = await import('./runs-move.ts');
        return cancelRun(session, run, flags.reason ?? 'asked for on the command line');
      }),
    ),
  );

  const kill = new Command('kill')
    .description('end a run at once, whoever carries it on, and leave what it made to `flyd gc`')
    .argument('<run>', idHelp)
    .option('--reason <text>', 'kept in the history');
  runs.addCommand(
    withCommon(withWork(kill)).action(
      act(async (session: Session, run: string, flags: CommonFlags & { reason?: string }) => {
        const { killRun } = await import('./runs-end.ts');
        return killRun(session, run, flags.reason ?? 'asked for on the command line');
      }),
    ),
  );

  const purge = new Command('purge')
    .description('delete runs that have ended, their histories, and the runs below them; images stay')
    .argument('[runs...]', idHelp)
    .addOption(new Option('--ended-for <days>', 'instead: all that ended so long ago').argParser(daysOf));
  runs.addCommand(
    withCommon(withWork(purge)).action(
      act(async (session: Session, wanted: string[], { endedFor }: CommonFlags & { endedFor?: number }) => {
        const { purgeRuns } = await import('./runs-end.ts');
        return purgeRuns(session, { runs: wanted, ...(endedFor === undefined ? {} : { endedFor }) });
      }),
    ),
  );

  const retry = new Command('retry')
    .description('let a parked, pending or failed run try again, and see it through')
    .argument('<run>', idHelp)
    .option('--from <seq>', 'set it back to this step of its history first (`flyd runs events`)', step)
    .option('--no-wait', 'do not wait for layers that are not in the bucket yet: exit 3');
  runs.addCommand(
    withCommon(withWork(retry)).action(
      act(async (session: Session, run: string, flags: CommonFlags & { wait: boolean; from?: number }) => {
        const { retryRun } = await import('./runs-move.ts');
        const { wait, from } = flags;
        return retryRun(session, run, { noWait: !wait, ...(from === undefined ? {} : { from }) });
      }),
    ),
  );
  return runs;
}

function daysOf(text: string): number {
  const days = Number(text);
  if (text.trim() === '' || !(days >= 0)) throw new InvalidArgumentError('give a number of days.');
  return days;
}

const idHelp = 'its id, or the start of it';
