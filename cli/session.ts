import type { Command } from 'commander';
import { type Resolved, resolveSettings } from '#infra/config';
import { type CommonFlags, flagsOf } from './options.ts';
import { createOutput, type Output } from './output.ts';

/** What every command has: its settings, and where it writes. */
export interface Session extends Resolved {
  out: Output;
  /** Flags that a suggested command needs to find this state directory again; empty by default. */
  stateFlag: string;
  isRoot: boolean;
}

/** The work of a command: its exit code. `args` are the command's arguments, then its flags. */
export type Work<Args extends unknown[]> = (session: Session, ...args: Args) => Promise<number>;

/** Makes the action of a command from its work: opens the session first, keeps the exit code. */
export type Act = <Args extends unknown[]>(
  work: Work<Args>,
) => (...args: [...Args, Command]) => Promise<void>;

export async function openSession(given: CommonFlags & Readonly<Record<string, unknown>>): Promise<Session> {
  const uid = process.geteuid?.() ?? -1;
  const resolved = await resolveSettings({ ...flagsOf(given), uid });
  const { settings, surroundings } = resolved;
  return {
    ...resolved,
    out: createOutput({ json: given.json === true, color: surroundings.color }),
    stateFlag: [
      typeof given.stateDir === 'string' ? ` --state-dir ${settings.stateDir}` : '',
      typeof given.mountRoot === 'string' ? ` --mount-root ${settings.mountRoot}` : '',
    ].join(''),
    isRoot: uid === 0,
  };
}
