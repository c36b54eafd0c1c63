import { existsSync, openSync } from 'node:fs';
import { chmod, copyFile, open, rename, rm } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { unrecoverable } from '#core/errors';
import { engineSet } from '#db/engine/index';
import { backUp, createImageStore, imageSet } from '#db/images/index';
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
export async function restoreFrom({ settings, out }: Session, file: string): Promise<number> {
  const source = resolve(file);
  checkBackup(source);
  (await openStateDir(settings.stateDir)).close();
  const { root, db, log } = statePaths(settings.stateDir);
  const lock = openSync(join(root, 'lock'), 'a');
  if (!flock(lock, 'exclusive', true))
    throw unrecoverable('state_dir_locked', 'flyd is at work in this state directory', {
      op: 'db restore',
      subject: root,
      hint: 'stop every flyd process first',
    });
  const temp = `${db}.restoring`;
  await copyFile(source, temp);
  await chmod(temp, 0o600);
  await syncFile(temp);
  const old = join(log, `flyd.db.${new Date().toISOString().replaceAll(':', '')}`);
  // The log files first: one that belongs to another database must never be found beside it.
  for (const suffix of ['-wal', '-shm', ''])
    if (existsSync(`${db}${suffix}`)) await rename(`${db}${suffix}`, `${old}${suffix}`);
  await rename(temp, db);
  await syncDir(root);
  out.document({ restored: source, replaced: old });
  out.say(`restored; the database that was here is ${old}`);
  out.say('next: flyd resume, which compares it with what is there before anything moves');
  return exitCodes.done;
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

/** `flyd db forget`. */
export async function forgetKept(session: Session, id: string): Promise<number> {
  return openReading(session, (db) => {
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
