import { Command, CommanderError } from 'commander';
import { type ErrorRecord, toErrorRecord } from '#core/errors';
import { activateCommand } from './activate.ts';
import { activationsCommand } from './activations.ts';
import { blobsCommand } from './blobs.ts';
import { dbCommand } from './db.ts';
import { deactivateCommand } from './deactivate.ts';
import { doctorCommand } from './doctor.ts';
import { exitCodes, exitOfError } from './exit.ts';
import { gcCommand } from './gc.ts';
import { imagesCommand } from './images.ts';
import { inspectCommand } from './inspect.ts';
import { machinesCommand } from './machines-command.ts';
import { createOutput, errorDocument, errorLines } from './output.ts';
import { pinCommand, unpinCommand } from './pin.ts';
import { pullCommand } from './pull.ts';
import { resumeCommand } from './resume.ts';
import { rmCommand } from './rm.ts';
import { runsCommand } from './runs.ts';
import { s3Command } from './s3.ts';
import { type Act, openSession } from './session.ts';
import { settingsCommand } from './settings.ts';
import { versionOf } from './version.ts';

const examples = `
Examples:
  flyd s3 serve ./buckets                          an S3 server to try things with
  flyd pull golang --source s3://images/layers     list, fetch, verify, unpack, snapshot, mount
  flyd runs                                        what was done, and what is under way
  flyd inspect                                     the same in a browser, live, back in time
  flyd resume --all                                go on after a crash or a reboot
  flyd doctor                                      what this machine can do, and what is missing

Exit codes: 0 done, 1 failed or parked, 2 usage, 3 pending, 4 cancelled, 130 and 143 interrupted.`;

/** `flyd`: command line to exit code. */
async function main(argv: readonly string[]): Promise<number> {
  let exitCode: number = exitCodes.done;
  const act: Act =
    (work) =>
    async (...args) => {
      const command = args.at(-1) as Command;
      const session = await openSession(command.opts());
      exitCode = await work(session, ...(args.slice(0, -1) as never));
    };
  const program = new Command('flyd')
    .description('Container image layers from S3 as mounted read-write snapshots, by durable runs.')
    .version(versionOf(), '-V, --version')
    .addHelpText('after', examples);
  for (const make of wantedOf(argv)) program.addCommand(make(act));
  prepare(program);
  try {
    await program.parseAsync(argv, { from: 'user' });
    return exitCode;
  } catch (error) {
    if (error instanceof CommanderError && error.exitCode === 0) return exitCodes.done; // help was asked for
    return tellError(error, argv);
  }
}

const commands: Readonly<Record<string, (act: Act) => Command>> = {
  pull: pullCommand,
  resume: resumeCommand,
  runs: runsCommand,
  images: imagesCommand,
  blobs: blobsCommand,
  activations: activationsCommand,
  activate: activateCommand,
  deactivate: deactivateCommand,
  rm: rmCommand,
  pin: pinCommand,
  unpin: unpinCommand,
  gc: gcCommand,
  inspect: inspectCommand,
  db: dbCommand,
  doctor: doctorCommand,
  machines: machinesCommand,
  settings: settingsCommand,
  s3: s3Command,
};

/** The command that is named first, or all where none is: to make them all takes longer than many a command. */
function wantedOf([first = '']: readonly string[]): ((act: Act) => Command)[] {
  const named = Object.hasOwn(commands, first) ? commands[first] : undefined;
  return named === undefined ? Object.values(commands) : [named];
}

/** Faults of the command line come back as errors, to be told like all others. */
function prepare(command: Command): void {
  command.exitOverride().configureOutput({ outputError: () => {} });
  for (const child of command.commands) prepare(child);
}

function tellError(error: unknown, argv: readonly string[]): number {
  const record = error instanceof CommanderError ? usageRecord(error) : toErrorRecord(error);
  const out = createOutput({ json: argv.includes('--json'), color: false });
  if (out.json) out.document({ error: errorDocument(record) });
  else for (const line of errorLines(record)) out.note(line);
  if (record.code === 'unclassified' && error instanceof Error) out.note(error.stack ?? '');
  return exitOfError(record);
}

const usageRecord = (error: CommanderError): ErrorRecord => ({
  kind: 'unrecoverable',
  code: 'usage',
  op: 'command line',
  message:
    error.code === 'commander.help'
      ? 'a command is missing'
      : error.message.replace(/^error: /, '').replaceAll('\n', ' '),
  hint: 'flyd --help, or flyd <command> --help',
});

const argv = process.argv.slice(2);
// The engine throws where nobody catches it what it cannot go on with: told as any error, and the runs stay resumable.
process.on('uncaughtException', (error) => process.exit(tellError(error, argv)));
process.exit(await main(argv));
