import { toErrorRecord, unrecoverable } from '#core/errors';
import type { RunRow } from '#db/engine/index';
import type { Definition } from './definition.ts';
import type { HostOptions } from './host-options.ts';
import { type LiveRun, liveRun } from './run.ts';
import { hasReferences, RunSecrets } from './secrets.ts';
import { type MachineEvent, revive } from './statechart.ts';
import type { Json, System } from './types.ts';

/**
 * The stored run, ready to be moved. A run whose snapshot does not fit is parked, and nothing else of it
 * changes: null. Undefined when this build does not have its machine.
 */
export function loadRun(
  row: RunRow,
  parts: Pick<HostOptions, 'reads' | 'commits' | 'registry' | 'system' | 'changed'>,
): LiveRun | null | undefined {
  try {
    return fitRun(row, parts);
  } catch (thrown) {
    const { commits, changed } = parts;
    commits.parkRow(row.id, JSON.stringify(toErrorRecord(thrown)));
    changed([row.id]);
    return null;
  }
}

/** Without a `system`: to look at it, and not to move it. */
export type FitParts = Pick<HostOptions, 'reads' | 'registry'> & { system?: Pick<System, 'newId'> };

/** A run that is only looked at gets no new secrets. */
const onlyLooks: Pick<System, 'newId'> = {
  newId() {
    throw new TypeError('a run that is only looked at needs no ids');
  },
};

/**
 * The stored run as this build would carry it on, migrated if need be; nothing is written. Undefined when
 * the build does not have its machine; throws `snapshot_refused` or `machine_unknown` where it does not fit.
 */
export function fitRun(row: RunRow, { reads, registry, system = onlyLooks }: FitParts): LiveRun | undefined {
  const known = registry.find(row.machine);
  if (known === undefined) return undefined;
  const { id } = row;
  const stored = {
    ...{ row, effects: reads.effects(id), timers: reads.timers(id), links: reads.links(id) },
    secrets: secretsOf(row, known.definition, reads, () => system.newId()),
  };
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

/** The secrets of a run: null when its machine marks none and nobody has given it one. */
export function secretsOf(
  { id, input, snapshot }: Pick<RunRow, 'id' | 'input' | 'snapshot'>,
  { secrets: paths }: Definition,
  reads: HostOptions['reads'],
  newId: () => string,
): RunSecrets | null {
  if (paths.length === 0 && !hasReferences(input) && !hasReferences(snapshot)) return null;
  return new RunSecrets(paths, reads.secrets(id), newId);
}

/** A stored event with what its references stand for: others may have given the run secrets of theirs. */
export function storedEvent(
  run: LiveRun,
  text: string,
  { reads, system }: Pick<HostOptions, 'reads' | 'system'>,
): MachineEvent {
  const event = JSON.parse(text) as MachineEvent;
  if (!hasReferences(text)) return event;
  run.secrets ??= new RunSecrets(run.definition.secrets, [], () => system.newId());
  run.secrets.add(reads.secrets(run.id));
  return run.secrets.unmask(event as Json) as MachineEvent;
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
