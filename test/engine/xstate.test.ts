import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { actions } from './xstate/actions.ts';
import { actors } from './xstate/actors.ts';
import { states } from './xstate/states.ts';
import { transitions } from './xstate/transitions.ts';

// docs/engine-xstate.md says what becomes of each feature of XState; each row of it is proven here.

const page = readFileSync(new URL('../../docs/engine-xstate.md', import.meta.url), 'utf8');
const rows = [...page.matchAll(/^\| (?<name>[^|]+) \| (?<verdict>durable|different|refused) \| /gm)].map(
  ({ groups }) => ({ name: groups?.name ?? '', verdict: groups?.verdict ?? '' }),
);
const features = [...states, ...transitions, ...actions, ...actors];

test('each row of docs/engine-xstate.md has a proof, and each proof a row', () => {
  assert.ok(rows.length > 30, 'the page has its table');
  const proven = features.map(({ name, verdict }) => ({ name, verdict }));
  const byName = (left: { name: string }, right: { name: string }): number =>
    left.name < right.name ? -1 : 1;
  assert.deepEqual(proven.sort(byName), rows.sort(byName));
});

for (const { name, verdict, prove } of features) test(`${verdict}: ${name}`, async (t) => prove(t));
