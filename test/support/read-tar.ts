import assert from 'node:assert/strict';
import { FlydError } from '#core/errors';
import { defaultLimits, type Limits } from '#core/limits';
import { Report } from '#infra/layer/report';
import { BlockReader, sourceOf } from '#infra/layer/source';
import { type Entry, TarReader } from '#infra/layer/tar';
import { type TarEntry, tar } from './tar-builder.ts';

/** An entry with its data. */
export interface Read extends Entry {
  data: string;
}

/** Reads an archive to its end, its bytes arriving in pieces of `step`. */
export function read(archive: Buffer, step: number, limits: Partial<Limits> = {}) {
  const report = new Report();
  const reader = new TarReader(
    new BlockReader(sourceOf(archive, step)),
    { ...defaultLimits, ...limits },
    report,
  );
  const entries: Read[] = [];
  for (let entry = reader.next(); entry !== null; entry = reader.next()) {
    const pieces: Buffer[] = [];
    for (let piece = reader.body(1000); piece.length > 0; piece = reader.body(1000))
      pieces.push(Buffer.from(piece));
    entries.push({ ...entry, data: Buffer.concat(pieces).toString('latin1') });
  }
  return { entries, warnings: report.warnings.map(({ code }) => code) };
}

const steps = [1, 511, 513, 1 << 20];

/** All entries of an archive, which must be the same however its bytes arrive. */
export function reads(...parts: (TarEntry | Buffer)[]): Read[] {
  const archive = tar(...parts);
  const [first, ...others] = steps.map((step) => read(archive, step).entries);
  for (const other of others) assert.deepEqual(other, first);
  return first ?? [];
}

/** The one entry of an archive. */
export function only(...parts: (TarEntry | Buffer)[]): Read {
  const entries = reads(...parts);
  assert.equal(entries.length, 1);
  return entries[0] as Read;
}

/** Asserts that reading fails with this code, however the bytes arrive. */
export function fails(archive: Buffer, code: string, limits: Partial<Limits> = {}): void {
  for (const step of steps)
    assert.throws(
      () => read(archive, step, limits),
      (error: unknown) => {
        assert.ok(error instanceof FlydError, String(error));
        assert.deepEqual([error.code, error.kind], [code, 'unrecoverable'], error.message);
        return true;
      },
    );
}

export const nameOf = (entry: Entry): string => entry.path.toString('latin1');
