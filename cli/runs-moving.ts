import { Command, InvalidArgumentError } from 'commander';
import { type CommonFlags, withCommon, withWork } from './options.ts';
import type { Act, Session } from './session.ts';

interface ForkFlags extends CommonFlags {
  wait: boolean;
  at: number;
  key?: string;
}

interface WaitFlags extends CommonFlags {
  wait: boolean;
  tag?: string[];
}

interface SendFlags extends CommonFlags {
  data?: Record<string, unknown>;
  dedupe?: string;
}

/** `flyd runs fork`, `wait` and `send`. `idHelp` says what a run is named by. */
export function movingCommands(act: Act, idHelp: string): Command[] {
  const fork = new Command('fork')
    .description('start a copy of a run as it was after a step of its history, and see it through')
    .argument('<run>', idHelp)
    .requiredOption('--at <seq>', 'the step (`flyd runs events`)', step)
    .option('--key <key>', 'a key of its own, where the live run has the same')
    .option('--no-wait', noWaitHelp);
  const wait = new Command('wait')
    .description('until a run has ended, or is parked; carries it on if nobody else does')
    .argument('<run>', idHelp)
    .option('--tag <tag>', 'until a state of it has this tag; can be repeated: any of them', collect)
    .option('--no-wait', noWaitHelp);
  const send = new Command('send')
    .description('give a run an event')
    .argument('<run>', idHelp)
    .argument('<type>', 'the name of the event, as the machine has it')
    .option('--data <json>', 'what else is in the event: a JSON object', object)
    .option('--dedupe <key>', 'give it once, however often this is repeated');
  return [
    withCommon(withWork(fork)).action(
      act(async (session: Session, run: string, { wait: waits, at, key }: ForkFlags) => {
        const { forkRun } = await import('./runs-move.ts');
        return forkRun(session, run, { noWait: !waits, at, ...(key === undefined ? {} : { key }) });
      }),
    ),
    withCommon(withWork(wait)).action(
      act(async (session: Session, run: string, { wait: waits, tag = [] }: WaitFlags) => {
        const { waitForRun } = await import('./runs-move.ts');
        return waitForRun(session, run, { noWait: !waits, tags: tag });
      }),
    ),
    withCommon(withWork(send)).action(
      act(async (session: Session, run: string, type: string, { data = {}, dedupe }: SendFlags) => {
        const { sendToRun } = await import('./runs-move.ts');
        return sendToRun(session, run, { event: { ...data, type }, dedupe });
      }),
    ),
  ];
}

const noWaitHelp = 'do not wait for layers that are not in the bucket yet: exit 3';

/** The number of a step of a run's history, as it is written on the command line. */
export function step(text: string): number {
  if (!/^[1-9]\d{0,9}$/.test(text)) throw new InvalidArgumentError('write the number of a step: 1, 2, ...');
  return Number(text);
}

const collect = (text: string, before: string[] = []): string[] => [...before, text];

function object(text: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === 'object' && value !== null && !Array.isArray(value))
      return value as Record<string, unknown>;
  } catch {
    // Said below.
  }
  throw new InvalidArgumentError('write a JSON object: \'{"size": 3}\'');
}
