import { readdirSync } from 'node:fs';
import { fromErrorRecord, unrecoverable } from '#core/errors';
import type { ImageStore } from '#db/images/index';
import type { Engine } from '#engine/api';
import { readGeneration, writeGeneration } from '#infra/generation';
import type { StatePaths } from '#infra/state-dir';
import type { RepairReport } from '#machines/repair';
import type { Machines } from './machines.ts';

export interface RestoredParts {
  engine: Engine;
  machines: Machines;
  images: ImageStore;
  paths: Pick<StatePaths, 'owners' | 'generation'>;
  isAlive: (token: string) => boolean;
  now: () => number;
}

/**
 * Notices a database that is older than what is there, restored by flyd, put back by hand, or without the end
 * of its log, and settles that; then raises the generation. Fails as `settleRestored` does.
 */
export async function noticeRestored(parts: RestoredParts): Promise<void> {
  const { restored } = parts.images;
  const read = () => readGeneration(parts.paths.generation) ?? { number: 0, commit: 0 };
  const isBehind = (): boolean => {
    const noted = read(); // before the database's, which others raise first
    return restored.generation() < noted.number || restored.newestCommit() < noted.commit;
  };
  // Twice: a number that is just being written may be read as no one ever wrote it.
  if (isBehind() && isBehind() && restored.takenAt() === null) restored.mark(parts.now());
  if (restored.takenAt() !== null) await settleRestored(parts);
  const number = restored.advance(read().number);
  await writeGeneration(parts.paths.generation, { number, commit: restored.newestCommit() });
}

/**
 * Before anything moves in a database that was restored from a backup: what is gone is forgotten, what is
 * unknown is kept. Fails with `database_restored` while other processes are at work, or with the first
 * thing that could not be settled.
 */
async function settleRestored({ engine, machines, images, paths, isAlive }: RestoredParts): Promise<void> {
  const others = readdirSync(paths.owners).filter(
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
      `flyd: this database was restored from an older copy, or has lost its newest commits; ${report?.done.length ?? 0} things were settled\n`,
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
