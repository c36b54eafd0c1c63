import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fromTransition } from 'xstate';
import { getShortestPaths } from 'xstate/graph';
import type { Definition, Json } from '#engine/index';
import {
  accepts,
  begin,
  type MachineEvent,
  type Moved,
  move,
  persist,
  revive,
  stand,
} from '#engine/statechart';
import type { RecordedHistory } from '#engine/testing/index';
import { machinesToLookAt } from '../../cli/machines-look.ts';

// Every machine is walked through by xstate/graph (createTestModel refuses machines that invoke): from each
// state that can be reached, every child may come back with what it gave in a recorded run, or with an
// error, and a cancel may come wherever it is heard.

const folder = join(import.meta.dirname, '../histories');
const histories = readdirSync(folder).flatMap((name) =>
  readFileSync(join(folder, name), 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as RecordedHistory),
);

/**
 * What makes something that a run must not leave behind when it fails, and what takes it back. `since` it has
 * begun, or since it is done: what it leaves when it is broken off is then a row that the next sweep drops.
 */
const takenBack: Record<string, { by: string; since: 'begun' | 'done' }> = {
  'volume.create': { by: 'volume.discard', since: 'begun' },
  'image.reserve': { by: 'image.release', since: 'done' },
  'activation.snapshot': { by: 'activation.remove', since: 'begun' },
};
const undoing = new Set(Object.values(takenBack).map(({ by }) => by));

/** More of one kind lead nowhere else, and multiply. */
const answersMax = 2;

/** How a run stands: its snapshot, and the children that have not come back yet, as the engine knows them. */
interface Stand {
  snapshot: Json;
  live: Record<string, string>;
  /** Effects that have begun, and those among them that came to a good end. */
  begun: string[];
  done: string[];
  timers: string[];
}

const errors = ['no_space', 'object_changed'].map((code) => ({ kind: 'unrecoverable', code, message: code }));

/** What each actor of the machine gave in recorded runs, each answer once. */
function answersOf(machine: string): Map<string, Set<string>> {
  const answers = new Map<string, Set<string>>();
  for (const { commits } of histories.filter((history) => history.machine === machine)) {
    const sources = new Map<string, string>();
    for (const { event, effects } of commits) {
      const child = /^xstate\.done\.actor\.(.*)$/.exec(event.type)?.[1];
      const src = child === undefined ? undefined : sources.get(child);
      if (src !== undefined)
        answers.set(src, (answers.get(src) ?? new Set()).add(JSON.stringify(event.output ?? null)));
      for (const effect of effects) {
        const [name = '', id = name] = effect.split('#');
        sources.set(id, name);
      }
    }
  }
  return answers;
}

function stepped(
  definition: Definition,
  before: Stand | null,
  event: MachineEvent | null,
  moved: Moved,
): Stand {
  const live = { ...before?.live };
  const next = {
    begun: [...(before?.begun ?? [])],
    done: [...(before?.done ?? [])],
    timers: before?.timers ?? [],
  };
  const back = /^xstate\.(done|error)\.actor\.(.*)$/.exec(event?.type ?? '');
  const src = live[back?.[2] ?? ''];
  if (back !== null && src !== undefined) {
    delete live[back[2] ?? ''];
    if (back[1] === 'done') next.done = [...new Set([...next.done, src])].sort();
  }
  for (const command of moved.commands) {
    if (command.type === 'spawn') {
      live[command.child] = command.src;
      next.begun = [...new Set([...next.begun, command.src])].sort();
    } else if (command.type === 'stop') delete live[command.child];
    else if (command.type === 'schedule') next.timers = [...next.timers, command.event.type];
  }
  return { ...next, live, snapshot: persist(definition.machine, moved.snapshot) };
}

/** All that may happen next. */
function eventsAt(
  definition: Definition,
  { snapshot, live, timers }: Stand,
  answers: Map<string, Set<string>>,
): MachineEvent[] {
  const current = revive(definition.machine, snapshot, []);
  if (stand(current).outcome !== 'active') return [];
  const cancel = { type: 'flyd.cancel', reason: 'explored' };
  return [
    ...(accepts(current, cancel) ? [cancel] : []),
    ...timers.map((type) => ({ type })),
    ...Object.entries(live).flatMap(([child, src]) => [
      ...[...(answers.get(src) ?? [])].slice(0, answersMax).map((output) => ({
        type: `xstate.done.actor.${child}`,
        actorId: child,
        output: JSON.parse(output) as Json,
      })),
      ...(undoing.has(src) ? [] : errors).map((error) => ({
        type: `xstate.error.actor.${child}`,
        actorId: child,
        error,
      })),
    ]),
  ];
}

/** Every state that can be reached from this input, by the shortest path to it. */
function explore(definition: Definition, input: Json) {
  const answers = answersOf(definition.name);
  const { machine } = definition;
  const logic = fromTransition(
    (before: Stand, event: MachineEvent): Stand =>
      stepped(definition, before, event, move(machine, revive(machine, before.snapshot, []), event)),
    () => stepped(definition, null, null, begin(machine, input)),
  );
  return getShortestPaths(logic, {
    events: (snapshot) => eventsAt(definition, snapshot.context, answers) as never,
    serializeState: (snapshot) => JSON.stringify(snapshot.context),
    limit: 100_000,
  });
}

for (const definition of machinesToLookAt()) {
  const inputs = new Set(
    histories.filter(({ machine }) => machine === definition.name).map(({ input }) => JSON.stringify(input)),
  );
  // `restore` runs after a reboot only, and was not recorded.
  if (inputs.size === 0) continue;
  test(`wherever ${definition.name} comes, it goes on or ends, and takes back what it made`, (t) => {
    const ends = new Set<string>();
    let count = 0;
    for (const input of [...inputs].slice(0, 3))
      for (const { state, steps } of explore(definition, JSON.parse(input) as Json)) {
        const { snapshot, live, begun, done, timers } = state.context;
        const { outcome, state: name } = stand(revive(definition.machine, snapshot, []));
        const way = steps.map(({ event }) => event.type).join(', ');
        count += 1;
        if (outcome === 'active') {
          const heard = Object.keys(live).length + timers.length;
          assert.ok(heard > 0, `${name} waits for nothing that will come; by ${way}`);
          continue;
        }
        ends.add(name);
        if (outcome === 'done') continue;
        for (const [made, { by, since }] of Object.entries(takenBack))
          if ((since === 'begun' ? begun : done).includes(made))
            assert.ok(done.includes(by), `${name} leaves what ${made} made; by ${way}`);
      }
    t.diagnostic(`${count} states; ends: ${[...ends].sort().join(', ')}`);
    assert.ok(ends.size > 0, 'no end was reached');
  });
}
