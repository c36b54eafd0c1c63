import { existsSync, openSync } from 'node:fs';
import { chmod, copyFile, open, rename, rm } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { FlydError, unrecoverable } from '#core/errors';
import { engineSet } from '#db/engine/index';
import { backUp, createImageStore, imageSet, markBackup } from '#db/images/index';
import { openDatabase } from '#db/open';
import { fileError, renameDurably, syncDir } from '#infra/durable';
import { openStateDir, statePaths } from '#infra/state-dir';
import { flock } from '#infra/sys';
import { openStateDatabase } from './database.ts';
import { exitCodes } from './exit.ts';
import { bytesText, timeText } from './output.ts';
import { openReading } from './reading.ts';
import type { Session } from './session.ts';

const sets = [engineSet, imageSet];

/** `flyd db backup`: a copy that is whole or not there. */
export async function backUpTo({ settings, out }: Session, file: string): Promise<number> {
  const target = resolve(file);
  if (existsSync(target))
    throw unrecoverable('usage', `${target} is there already`, {
      op: 'db backup',
      subject: target,
      hint: 'give another file',
    });
  const state = await openStateDir(settings.stateDir);
  const temp = join(dirname(target), `.${basename(target)}.${process.pid}.tmp`);
  try {
    const db = openStateDatabase(state.paths, settings);
    try {
      backUp(db, temp, Date.now());
    } finally {
      db.close();
    }
    await chmod(temp, 0o600);
    const bytes = await syncFile(temp);
    await renameDurably(temp, target);
    out.document({ file: target, bytes });
    out.say(`${target}  ${bytesText(bytes)}`);
    return exitCodes.done;
  } catch (error) {
    throw fileError(error, 'write', target);
  } finally {
    state.close();
    await rm(temp, { force: true });
  }
}

async function syncFile(path: string): Promise<number> {
  const file = await open(path, 'r+');
  try {
    await file.sync();
    return (await file.stat()).size;
  } finally {
    await file.close();
  }
}

/** `flyd db restore`: with nobody else in the state directory. */
export async function restoreFrom(session: Session, file: string): Promise<number> {
  const source = resolve(file);
  checkBackup(source);
  const replaced = await replaceDatabase(session, 'db restore', (temp) => copyFile(source, temp));
  session.out.document({ restored: source, replaced });
  session.out.say(
    `restored; ${replaced === null ? 'there was none' : `the database that was here is ${replaced}`}`,
  );
  session.out.say('next: flyd resume, which compares it with what is there before anything moves');
  return exitCodes.done;
}

/** `flyd db new`: only where nothing can be read any more. */
export async function beginAnew(session: Session): Promise<number> {
  refuseReadable(session);
  const replaced = await replaceDatabase(session, 'db new', async (temp) => markBackup(temp, Date.now()));
  session.out.document({ replaced });
  session.out.say(
    `the database is empty now${replaced === null ? '' : `; the one that was here is ${replaced}`}`,
  );
  session.out.say('next: flyd resume, which keeps what is there, and says what; then pull the images again');
  return exitCodes.done;
}

const lost: readonly string[] = ['database_missing', 'database_corrupt'];

function refuseReadable({ settings }: Session): void {
  const paths = statePaths(settings.stateDir);
  try {
    openStateDatabase(paths, settings, { readonly: true }).close();
  } catch (error) {
    if (error instanceof FlydError && lost.includes(error.code)) return;
    throw error;
  }
  throw unrecoverable('usage', 'the database is there, and can be read', {
    op: 'db new',
    subject: paths.db,
    hint: 'to go back to a backup: flyd db restore FILE; to remove everything of flyd: scripts/cleanup --purge',
  });
}

/** Puts what `make` makes in the place of the database. Gives where that is kept now; null if there was none. */
async function replaceDatabase(
  { settings }: Session,
  op: string,
  make: (temp: string) => Promise<void>,
): Promise<string | null> {
  (await openStateDir(settings.stateDir)).close();
  const { root, db, log } = statePaths(settings.stateDir);
  const lock = openSync(join(root, 'lock'), 'a');
  if (!flock(lock, 'exclusive', true))
    throw unrecoverable('state_dir_locked', 'flyd is at work in this state directory', {
      op,
      subject: root,
      hint: 'stop every flyd process first',
    });
  const temp = `${db}.restoring`;
  await rm(temp, { force: true });
  await make(temp);
  await chmod(temp, 0o600);
  await syncFile(temp);
  const old = join(log, `flyd.db.${new Date().toISOString().replaceAll(':', '')}`);
  // The log files first: one that belongs to another database must never be found beside it.
  const there = ['-wal', '-shm', ''].filter((suffix) => existsSync(`${db}${suffix}`));
  for (const suffix of there) await rename(`${db}${suffix}`, `${old}${suffix}`);
  await rename(temp, db);
  await syncDir(root);
  return there.includes('') ? old : null;
}

/** Refuses what is damaged, newer than this build, or not a backup: with the codes of opening a database. */
function checkBackup(path: string): void {
  if (!existsSync(path))
    throw unrecoverable('usage', `there is no ${path}`, { op: 'db restore', subject: path });
  const db = openDatabase(path, sets, { readonly: true });
  try {
    if (createImageStore(db).restored.takenAt() === null)
      throw unrecoverable('database_foreign', `${path} is no backup: it has no mark`, {
        op: 'db restore',
        subject: path,
        hint: 'make backups with flyd db backup',
      });
  } finally {
    db.close();
  }
}

/** `flyd db kept`. */
export async function listKept(session: Session): Promise<number> {
  return openReading(session, (db) => {
    const kept = createImageStore(db).restored.kept();
    session.out.document(kept.map(({ id, since }) => ({ id, since: timeText(since) })));
    if (kept.length === 0) session.out.say('nothing is kept');
    for (const { id, since } of kept) session.out.say(`${id}  since ${timeText(since)}`);
    return exitCodes.done;
  });
}

/** `flyd db forget`; null: all that is kept. */
export async function forgetKept(session: Session, id: string | null): Promise<number> {
  return openReading(session, (db) => {
    if (id === null) {
      const { restored } = createImageStore(db);
      const ids = restored.kept().map((kept) => kept.id);
      for (const each of ids) restored.release(each);
      session.out.document({ ids });
      session.out.say(`${ids.length} things go with the next flyd gc`);
      return exitCodes.done;
    }
    if (!createImageStore(db).restored.release(id))
      throw unrecoverable('usage', `${id} is not kept`, {
        op: 'db forget',
        subject: id,
        hint: 'flyd db kept',
      });
    session.out.document({ id });
    session.out.say(`${id} goes with the next flyd gc`);
    return exitCodes.done;
  });
}
