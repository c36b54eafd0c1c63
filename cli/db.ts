import { Command } from 'commander';
import { unrecoverable } from '#core/errors';
import { type CommonFlags, withCommon } from './options.ts';
import type { Act, Session } from './session.ts';

const help = `
The backup is one file, consistent, taken while other commands run. Blobs and volumes are not in it: it
says what they are. Restore it with all of flyd stopped; the next command then compares it with what is
there before anything moves: what is gone is forgotten, what was made after the backup is kept until
\`flyd db forget\`. The same happens to a copy that was put back without flyd, if any run has moved since
it was made.

Where the database is lost and there is no backup, \`flyd db new\` begins with an empty one. Nothing that is
there is deleted: the next command unmounts all activations, and keeps them and all volumes until
\`flyd db forget\`; while a process holds one of them, it says which, and nothing else moves. Their files are
below volumes/ in the state directory. Images are to be pulled again.

Examples:
  flyd db backup /backup/flyd-$(date +%F).db
  flyd db restore /backup/flyd-2026-01-31.db
  flyd db new                                 the database is lost, and there is no backup
  flyd db kept                                what a restored database did not know`;

/** `flyd db`. */
export function dbCommand(act: Act): Command {
  const db = new Command('db').description('back up the database, restore it');
  db.addHelpText('after', help);
  const backup = new Command('backup')
    .description('write a consistent copy to a new file, also while flyd runs')
    .argument('<file>', 'where nothing is yet');
  db.addCommand(
    withCommon(backup).action(
      act(async (session: Session, file: string, _: CommonFlags) =>
        (await import('./db-work.ts')).backUpTo(session, file),
      ),
    ),
  );
  const restore = new Command('restore')
    .description('put a backup in the place of the database; the old one is kept in log/')
    .argument('<file>', 'made by `flyd db backup`');
  db.addCommand(
    withCommon(restore).action(
      act(async (session: Session, file: string, _: CommonFlags) =>
        (await import('./db-work.ts')).restoreFrom(session, file),
      ),
    ),
  );
  const anew = new Command('new').description('begin with an empty database where it is gone or damaged');
  db.addCommand(
    withCommon(anew).action(
      act(async (session: Session, _: CommonFlags) => (await import('./db-work.ts')).beginAnew(session)),
    ),
  );
  const kept = new Command('kept').description('what is there, and a restored database did not know');
  db.addCommand(
    withCommon(kept).action(
      act(async (session: Session, _: CommonFlags) => (await import('./db-work.ts')).listKept(session)),
    ),
  );
  const forget = new Command('forget')
    .description('let the next `flyd gc` remove what was kept')
    .argument('[id]', 'of a volume or an activation that is kept')
    .option('--all', 'all that is kept');
  db.addCommand(
    withCommon(forget).action(
      act(async (session: Session, id: string | undefined, { all }: CommonFlags & { all?: true }) =>
        (await import('./db-work.ts')).forgetKept(session, oneOrAll(id, all === true)),
      ),
    ),
  );
  return db;
}

/** Null stands for all: never by leaving something out. */
function oneOrAll(id: string | undefined, all: boolean): string | null {
  if ((id !== undefined) !== all) return id ?? null;
  throw unrecoverable('usage', 'either an id or --all must be given', {
    op: 'db forget',
    hint: 'flyd db kept shows what there is',
  });
}
