import { activateCommand } from '#cli/activate';
import { deactivateCommand } from '#cli/deactivate';
import { doctorCommand } from '#cli/doctor';
import { exitOfError } from '#cli/exit';
import { gcCommand } from '#cli/gc';
import { errorDocument, errorLines } from '#cli/output';
import { pullCommand } from '#cli/pull';
import { resumeCommand } from '#cli/resume';
import { rmCommand } from '#cli/rm';
import { type Act, openSession } from '#cli/session';
import { FlydError, toErrorRecord } from '#core/errors';

const commands = {
  activate: activateCommand,
  deactivate: deactivateCommand,
  doctor: doctorCommand,
  gc: gcCommand,
  pull: pullCommand,
  resume: resumeCommand,
  rm: rmCommand,
};

export type CommandName = keyof typeof commands;

export interface Answer {
  code: number;
  /** What the command would have written to standard output under `--json`. */
  document: unknown;
  /** The lines for people, of standard output and standard error. */
  lines: string[];
}

/**
 * Runs a command of flyd in this process: in an emulated guest a process takes seconds to load, and there
 * are hundreds to run. `report` is called at the very moment at which the command says what came of it. Gives
 * both what a script and what a person would have been told, and the exit code; throws what is no FlydError.
 */
export async function flyd(
  name: CommandName,
  args: readonly string[],
  report: (document: unknown) => void = () => {},
): Promise<Answer> {
  const answer: Answer = { code: -1, document: null, lines: [] };
  const tell = (line = ''): void => void answer.lines.push(line);
  const act: Act =
    (work) =>
    async (...all) => {
      const flags = all.at(-1) as { opts(): Record<string, unknown> };
      const session = await openSession(flags.opts());
      const out = {
        ...session.out,
        say: tell,
        note: tell,
        document(document: unknown) {
          answer.document = document;
          report(document);
        },
      };
      answer.code = await work({ ...session, out }, ...(all.slice(0, -1) as never));
    };
  try {
    await commands[name](act).parseAsync([...args, '--json'], { from: 'user' });
  } catch (error) {
    if (!(error instanceof FlydError)) throw error;
    const record = toErrorRecord(error);
    answer.code = exitOfError(record);
    answer.document = { error: errorDocument(record) };
    answer.lines.push(...errorLines(record));
  }
  return answer;
}
