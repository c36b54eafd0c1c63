import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { setup } from 'xstate';
import type { Definition } from '#engine/index';
import { type RecordedHistory, replayHistory } from '#engine/testing/index';
import { machinesToLookAt } from '../../cli/machines-look.ts';
import { recordProduct } from '../support/product-histories.ts';

// Runs that began under an earlier build must go on under this one. When a test here fails because a machine
// was changed on purpose: raise its version, register a migration, and record anew
// (node bin/run.js scripts/record-histories.ts).

const folder = join(import.meta.dirname, '../histories');
const definitions = new Map(machinesToLookAt().map((definition) => [definition.name, definition]));
const parse = (line: string): RecordedHistory => JSON.parse(line) as RecordedHistory;
const recorded = readdirSync(folder).flatMap((name) =>
  readFileSync(join(folder, name), 'utf8').trim().split('\n').map(parse),
);

function driftsOf(histories: readonly RecordedHistory[]): string[] {
  return histories.flatMap((history, at) => {
    const definition = definitions.get(history.machine);
    assert.ok(definition, `there is no machine '${history.machine}' any more: nobody would move its runs`);
    return replayHistory(definition, history).map(
      ({ seq, event, what, message }) =>
        `${history.machine} ${at}, commit ${seq} (${event}): ${what}: ${message}`,
    );
  });
}

test('runs that an earlier build recorded go on as they did', () => {
  assert.ok(recorded.length > 20);
  const machines = new Set(recorded.map(({ machine }) => machine));
  // Others run only after a reboot or a disaster.
  for (const name of ['pull', 'image', 'blob', 'volume', 'activate', 'deactivate', 'remove', 'sweep'])
    assert.ok(machines.has(name), `a run of ${name} was recorded`);
  assert.deepEqual(driftsOf(recorded), []);
});

test('runs recorded right now go on as they did, and end in every way', async () => {
  const now = [...(await recordProduct()).values()].flat().map(parse);
  assert.deepEqual(driftsOf(now), []);
  const ends = new Set(now.map(({ commits }) => commits.at(-1)?.to.split('.').at(-1)));
  for (const end of ['activated', 'pulled', 'complete', 'failed', 'cancelled', 'removed', 'swept'])
    assert.ok(ends.has(end), `a run that ends in '${end}'`);
});

// Changes of `volume` that would break, or mislead, runs that are under way: each must be seen.
const volume = definitions.get('volume') as Definition;
type Config = { [key: string]: Config } & { invoke?: object };

/** A copy of the configuration, functions included, with every name and key as `rename` has it. */
function copied(value: unknown, rename: (name: string) => string): unknown {
  if (typeof value === 'string') return rename(value);
  if (Array.isArray(value)) return value.map((item) => copied(item, rename));
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, inner]) => [rename(key), copied(inner, rename)]),
  );
}

const asItIs = (name: string): string => name;
const sealing = (config: Config): Config => config.states?.making?.states?.sealing as Config;
const changes: Record<string, [RegExp, (config: Config) => void, ((name: string) => string)?]> = {
  'none at all': [/^$/, () => {}],
  'a state was renamed': [/refused/, () => {}, (name) => name.replace('sealing', 'closing')],
  'an effect is not started any more': [/effects/, (config) => delete sealing(config).invoke],
  'a state has become a compound one': [
    /state/,
    (config) => Object.assign(sealing(config), { initial: 'a', states: { a: {} } }),
  ],
  'a step was left out': [
    /state/,
    (config) => Object.assign(config.states?.making ?? {}, { initial: 'unpacking' }),
  ],
};

for (const [why, [seen, change, rename = asItIs]] of Object.entries(changes))
  test(`a change of a machine is seen in the histories: ${why}`, () => {
    const config = copied(volume.machine.config, rename) as Config;
    change(config);
    const machine = setup(volume.machine.implementations as never).createMachine(config as never);
    const changed = { ...volume, machine: machine as never };
    const histories = recorded.filter((history) => history.machine === 'volume');
    const drifts = histories.flatMap((history) => replayHistory(changed, history));
    assert.match(drifts.map(({ what }) => what).join(' '), seen);
  });
