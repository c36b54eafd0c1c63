import { Command } from 'commander';
import { withCommon, withSource, withWork } from './options.ts';
import { table } from './output.ts';
import type { Act, Session } from './session.ts';

const help = `
A setting is given by its flag, else by its variable, else in the JSON file of --config (or
FLYD_CONFIG) under its name, else it has its default. AWS_* is read for credentials only.`;

export function settingsCommand(act: Act): Command {
  const command = new Command('settings').description(
    'every setting: its name, its variable, what it is now',
  );
  withCommon(withWork(withSource(command)));
  return command.addHelpText('after', help).action(
    act(async ({ out, settings }: Session) => {
      out.document(settings);
      const rows = Object.entries(settings).map(([name, value]) => [
        name,
        variableOf(name),
        valueText(value),
      ]);
      for (const line of table(['NAME', 'VARIABLE', 'NOW'], rows)) out.say(line);
      return 0;
    }),
  );
}

const variableOf = (name: string): string =>
  `FLYD_${name.replace(/[A-Z]/g, (letter) => `_${letter}`).toUpperCase()}`;

const valueText = (value: unknown): string =>
  value === null
    ? '-'
    : typeof value === 'object'
      ? Object.entries(value)
          .map(([key, number]) => `${key}=${number}`)
          .join(',')
      : String(value);
