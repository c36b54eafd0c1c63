import { activateCommand } from '#cli/activate';
import { deactivateCommand } from '#cli/deactivate';
import { gcCommand } from '#cli/gc';
import { pullCommand } from '#cli/pull';
import { resumeCommand } from '#cli/resume';
import { rmCommand } from '#cli/rm';
import { type Act, openSession } from '#cli/session';

const commands = {
  activate: activateCommand,
  deactivate: deactivateCommand,
  gc: gcCommand,
  pull: pullCommand,
  resume: resumeCommand,
  rm: rmCommand,
};

export type CommandName = keyof typeof commands;

export interface Answer {
  code: number;
  /** What the command would have written to standard output. */
  document: unknown;
}

/**
 * Runs a command of flyd in this process: in an emulated guest a process takes seconds to load, and there
 * are hundreds to run. `report` is called at the very moment at which the command says what came of it.
 */
export async function flyd(
  name: CommandName,
  args: readonly string[],
  report: (document: unknown) => void = () => {},
): Promise<Answer> {
  const answer: Answer = { code: -1, document: null };
  const act: Act =
    (work) =>
    async (...all) => {
      const flags = all.at(-1) as { opts(): Record<string, unknown> };
      const session = await openSession(flags.opts());
      const out = {
        ...session.out,
        note: () => {},
        document(document: unknown) {
          answer.document = document;
          report(document);
        },
      };
      answer.code = await work({ ...session, out }, ...(all.slice(0, -1) as never));
    };
  await commands[name](act).parseAsync([...args, '--json'], { from: 'user' });
  return answer;
}
