import { toErrorRecord, unrecoverable } from '#core/errors';
import type { RunRow } from '#db/engine/index';
import type { HostOptions } from './host-options.ts';
import { type LiveRun, liveRun } from './run.ts';
import { revive } from './statechart.ts';

/**
 * The stored run, ready to be moved. A run whose snapshot does not fit is parked, and nothing else of it
 * changes: null. Undefined when this build does not have its machine.
 */
export function loadRun(
  row: RunRow,
  { reads, commits, registry, changed }: Pick<HostOptions, 'reads' | 'commits' | 'registry' | 'changed'>,
): LiveRun | null | undefined {
  try {
    return fitRun(row, { reads, registry });
  } catch (thrown) {
    commits.parkRow(row.id, JSON.stringify(toErrorRecord(thrown)));
    changed([row.id]);
    return null;
  }
}

/**
 * The stored run as this build would carry it on, migrated if need be; nothing is written. Undefined when
 * the build does not have its machine; throws `snapshot_refused` or `machine_unknown` where it does not fit.
 */
export function fitRun(
  row: RunRow,
  { reads, registry }: Pick<HostOptions, 'reads' | 'registry'>,
): LiveRun | undefined {
  const known = registry.find(row.machine);
  if (known === undefined) return undefined;
  const { id } = row;
  const stored = { row, effects: reads.effects(id), timers: reads.timers(id), links: reads.links(id) };
  let run: LiveRun;
  try {
    run = liveRun(stored, known.definition, known.hash);
  } catch (cause) {
    throw unrecoverable('snapshot_refused', 'what is stored of the run is not JSON', {
      subject: row.uid,
      hint: 'its row was changed by something else than flyd: restore a backup, or cancel the run',
      cause,
    });
  }
  if (row.version !== run.definition.version) migrate(run, row.version);
  if (run.seq > 0) {
    const events = [...run.timers.values()].map(({ event }) => event);
    run.snapshot = revive(run.definition.machine, run.json, events);
  }
  return run;
}

function migrate(run: LiveRun, version: number): void {
  const migration = run.definition.migrate[version];
  if (migration === undefined)
    throw unrecoverable(
      'machine_unknown',
      `the run was made by version ${version} of '${run.definition.name}'; this build has ${run.definition.version}`,
      { subject: run.uid, hint: 'register a migration, or resume with the version that started it' },
    );
  if (run.seq === 0) return;
  run.json = migration(structuredClone(run.json));
  run.rebased = true;
}
