import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { AnyStateMachine } from 'xstate';
import { imageFrom1, pullFrom1 } from '#cli/migrations';
import { begin, type MachineEvent, move, persist, revive } from '#engine/statechart';
import type { Json } from '#engine/types';
import { imageMachine } from '#machines/image';
import { pullMachine } from '#machines/pull';
import { layer, source } from '../support/image-store.ts';

type Fields = Record<string, Json>;

/** The snapshot of a run as version 1 stored it: without what version 2 has added to its context. */
function storedBy1(machine: AnyStateMachine, input: object, events: MachineEvent[], added: string[]): Json {
  let { snapshot } = begin(machine, input as Json);
  for (const event of events) ({ snapshot } = move(machine, snapshot, event));
  const stored = persist(machine, snapshot) as Fields;
  const context = { ...(stored.context as Fields) };
  for (const name of added) delete context[name];
  if (typeof context.resolved === 'object' && context.resolved !== null) {
    const { manifest: _, ...resolved } = context.resolved as Fields;
    context.resolved = resolved;
  }
  return { ...stored, context };
}

const layers = [layer(1)];
const pull = { source, family: 'go', driver: 'copy', lockFile: null, activation: null, choice: null };
const resolved = { layers, pinned: false, manifest: null };
const done = (actor: string, output: Json): MachineEvent => ({
  type: `xstate.done.actor.${actor}`,
  output,
  actorId: actor,
});

test('a pull that version 1 stored goes on, whatever it was doing', () => {
  const steps = [done('family.resolve', resolved as unknown as Json), done('image.verify', null)];
  for (const events of [[], steps]) {
    const snapshot = pullFrom1(storedBy1(pullMachine, pull, events, ['choice']));
    const revived = revive(pullMachine, snapshot, []);
    const { choice, resolved: found } = revived.context as { choice: null; resolved: typeof resolved | null };
    assert.equal(choice, null);
    assert.deepEqual(found, events.length === 0 ? null : resolved);
  }
});

test('an image that version 1 stored goes on, and is checked against no config', () => {
  const input = { driver: 'copy', source, family: 'go', layers, manifest: null };
  const reserved = done('image.reserve', { id: 'img-1', granularity: 'image' });
  for (const events of [[], [reserved]]) {
    const snapshot = imageFrom1(storedBy1(imageMachine, input, events, ['manifest']));
    const revived = revive(imageMachine, snapshot, []);
    assert.equal((revived.context as { manifest: null }).manifest, null);
  }
});
