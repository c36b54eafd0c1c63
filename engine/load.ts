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
  const known = registry.find(row.machine);
  if (known === undefined) return undefined;
  const { id } = row;
  const stored = { row, effects: reads.effects(id), timers: reads.timers(id), links: reads.links(id) };
  const run = liveRun(stored, known.definition, known.hash);
  try {
    if (row.version !== run.definition.version) migrate(run, row.version);
    if (run.seq > 0)
      run.snapshot = revive(
        run.definition.machine,
        run.json,
        [...run.timers.values()].map(({ event }) => event),
      );
    return run;
  } catch (thrown) {
    commits.parkRow(id, JSON.stringify(toErrorRecord(thrown)));
    changed([id]);
    return null;
  }
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
