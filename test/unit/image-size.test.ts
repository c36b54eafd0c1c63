import assert from 'node:assert/strict';
import { test } from 'node:test';
import { begin, type MachineEvent, move, persist } from '#engine/statechart';
import type { Json } from '#engine/types';
import { imageMachine } from '#machines/image';
import { blob, chain, layer, source } from '../support/image-store.ts';

// An image with more layers than overlay could ever stack, each with a volume of its own.
const count = 127;

const done = (actorId: string, output: object): MachineEvent =>
  ({ type: `xstate.done.actor.${actorId}`, actorId, output }) as MachineEvent;

test('what a run of an image stores grows with its layers, not with their square', () => {
  const layers = Array.from({ length: count }, (_, n) => layer(n));
  const input = { driver: 'overlay', source, family: 'f', layers, manifest: null };
  let { snapshot } = begin(imageMachine, input as unknown as Json);
  let largest = 0;
  const step = (event: MachineEvent): void => {
    ({ snapshot } = move(imageMachine, snapshot, event));
    largest = Math.max(largest, JSON.stringify(persist(imageMachine, snapshot)).length);
  };
  step(done('image.reserve', { id: 'img-1', granularity: 'layer' }));
  for (let n = 0; n < count; n++)
    step(
      done(`blob.${n}`, {
        ...blob(n),
        key: `images/f/${n}.tar`,
        etag: `etag-${n}`,
        reused: false,
        fetched: 1,
      }),
    );
  for (let n = 0; n < count; n++)
    step(
      done(`volume.${n}`, {
        id: `vol-${n}`,
        chain: chain(n),
        reused: false,
        entries: 1,
        bytes: 1,
        warnings: [],
      }),
    );
  assert.ok(
    largest < 4_000 * count,
    `${largest} bytes for ${count} layers: ${Math.round(largest / count)} each`,
  );
});
