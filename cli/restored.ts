import { readdirSync } from 'node:fs';
import { fromErrorRecord, unrecoverable } from '#core/errors';
import type { ImageStore } from '#db/images/index';
import type { Engine } from '#engine/api';
import type { RepairReport } from '#machines/repair';
import type { Machines } from './machines.ts';

export interface RestoredParts {
  engine: Engine;
  machines: Machines;
  images: ImageStore;
  /** The folder of the owners' locks. */
  owners: string;
  isAlive: (token: string) => boolean;
}

/**
 * Before anything moves in a database that was restored from a backup: what is gone is forgotten, what is
 * unknown is kept. Fails with `database_restored` while other processes are at work, or with the first
 * thing that could not be settled.
 */
export async function settleRestored({
  engine,
  machines,
  images,
  owners,
  isAlive,
}: RestoredParts): Promise<void> {
  const others = readdirSync(owners).filter(
    (name) => !name.startsWith('.') && name !== engine.token && isAlive(name),
  );
  if (others.length > 0)
    throw unrecoverable('database_restored', 'the database was restored while other processes of flyd run', {
      op: 'database.open',
      hint: 'stop them all, then try again',
    });
  const { id } = await engine.start(machines.repair, { input: {} });
  const view = await engine.wait(id, { until: 'settled' });
  const report = view.output as unknown as RepairReport | null;
  if (images.restored.takenAt() === null) {
    process.stderr.write(
      `flyd: this database was restored from a backup; ${report?.done.length ?? 0} things were settled\n`,
    );
    for (const line of report?.done ?? []) process.stderr.write(`  ${line}\n`);
    return;
  }
  const [first] = report?.failed ?? [];
  throw unrecoverable('database_restored', 'the restored database does not fit what is there', {
    op: 'database.open',
    hint: 'mend the cause, then try again: nothing else moves before',
    cause: first === undefined ? undefined : fromErrorRecord(first.error),
    subject: first === undefined ? undefined : `${first.what}: ${first.error.message}`,
  });
}
