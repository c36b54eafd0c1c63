import assert from 'node:assert/strict';
import { test } from 'node:test';
import { assign, setup } from 'xstate';
import { defineMachine } from '#engine/index';
import { createExec } from '#infra/exec';
import { loadPage } from '../../cli/page.ts';
import { openStage } from '../support/dashboard.ts';
import { noBrowser, openBrowser, shows } from './rig.ts';

const skip = noBrowser ?? false;

/** Counts to a number and ends: as many steps as one wants. */
const counter = defineMachine({
  name: 'counter',
  version: 1,
  key: () => null,
  actors: {},
  machine: setup({
    types: {
      input: {} as { name: string },
      context: {} as { name: string; count: number },
      events: {} as { type: 'tick' } | { type: 'stop' },
    },
    actions: { count: assign({ count: ({ context }) => context.count + 1 }) },
  }).createMachine({
    id: 'counter',
    context: ({ input }) => ({ name: input.name, count: 0 }),
    initial: 'odd',
    states: {
      odd: { on: { tick: { target: 'even', actions: 'count' }, stop: 'stopped' } },
      even: { on: { tick: { target: 'odd', actions: 'count' }, stop: 'stopped' } },
      stopped: { type: 'final' },
    },
  }),
});

const page = () => loadPage({ exec: createExec({ path: process.env.PATH ?? '' }), say: () => {} });

test('five thousand runs are one scroll away, and few of them are in the page', { skip }, async (t) => {
  const stage = await openStage(t, [counter], { page: await page() });
  const runs = 5_000;
  await Promise.all(
    Array.from({ length: runs }, (_, n) => stage.engine.start(counter, { input: { name: `number-${n}` } })),
  );
  const browser = await openBrowser();
  t.after(() => browser.close());
  const window = await browser.page();
  await window.goto(stage.dashboard.address);
  await shows(window, '[role=status]', /^5000 runs/);
  const rows = window.locator('.all .row');
  assert.ok((await rows.count()) < 100);
  await rows.first().locator('a').focus();
  await window.keyboard.press('End');
  await window.locator(`.all .row[aria-rowindex="${runs + 1}"]`).waitFor();
  assert.ok((await rows.count()) < 100);
  await window.getByRole('searchbox').fill('number-1234');
  await shows(window, '[role=status]', /^1 runs/);
  // A live change among thousands is seen.
  const [{ id } = { id: '' }] = stage.engine.runs({ limit: 1 });
  await window.getByRole('searchbox').fill('');
  await stage.engine.send(id, { type: 'stop' });
  await window.getByRole('button', { name: /^done/ }).click();
  await shows(window, '[role=status]', /^1 runs/);
});

test('a history of three thousand steps is gone through without drawing them all', { skip }, async (t) => {
  const stage = await openStage(t, [counter], { page: await page() });
  const { id } = await stage.engine.start(counter, { input: { name: 'long' } });
  const ticks = 3_000;
  for (let n = 0; n < ticks; n++) await stage.engine.send(id, { type: 'tick' });
  await stage.engine.send(id, { type: 'stop' });
  await stage.engine.wait(id);
  const browser = await openBrowser();
  t.after(() => browser.close());
  const window = await browser.page();
  await window.goto(stage.dashboard.address);
  await window.getByRole('link', { name: 'long' }).click();
  await shows(window, '.travel output', /step 3002 of 3002/);
  assert.ok((await window.locator('.step').count()) < 60);
  await window.getByRole('slider', { name: 'Step of the history' }).fill('1500');
  await shows(window, '.moment h2', /^Step 1500:/);
  await shows(window, '.change', /count.*1498.*1499/s);
  await window.getByRole('searchbox', { name: 'Search events' }).fill('stop');
  await shows(window, '.events .dim', /^1 of 3002/);
  assert.ok((await window.locator('.bar').count()) < 1000, 'bars narrower than a pixel are drawn as one');
});
