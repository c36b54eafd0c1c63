import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import type { Page } from 'playwright-core';
import { smallFamily } from '../cli/scene.ts';
import { noBrowser, type Served, shows, withDashboard } from './rig.ts';

const skip = noBrowser ?? false;

interface Moment {
  after: { context: unknown; value: string };
  inFlight: { id: string }[];
}

async function api<T>({ origin, token }: Served, path: string): Promise<T> {
  const answer = await fetch(origin + path, { headers: { authorization: `Bearer ${token}` } });
  return (await answer.json()) as T;
}

const runOf = async (served: Served, machine: string): Promise<string> =>
  (await api<{ runs: { id: string }[] }>(served, `/api/runs?machine=${machine}`)).runs[0]?.id ?? '';

async function contextShown(page: Page): Promise<unknown> {
  const pre = page.locator('[data-context]');
  if ((await pre.count()) === 0) await page.getByText('Whole context').click();
  return JSON.parse((await pre.textContent()) ?? '');
}

test('time travel shows machine, context and effects in flight as they were at each step', { skip }, () =>
  withDashboard(async (served, browser) => {
    const { scene, address } = served;
    await scene.putLayers('hello', smallFamily);
    assert.equal((await scene.flyd(scene.pullArgs('hello'))).code, 0);
    const run = await runOf(served, 'image');
    const page = await browser.page();
    await page.goto(address);
    await page.goto(`${served.origin}/runs/${run}`);
    const slider = page.getByRole('slider', { name: 'Step of the history' });
    const steps = Number(await slider.getAttribute('max'));
    assert.ok(steps > 4);
    for (const step of [1, 2, steps - 1, steps]) {
      await slider.fill(String(step));
      await shows(page, '.moment h2', new RegExp(`^Step ${step}:`));
      const { after, inFlight } = await api<Moment>(served, `/api/runs/${run}/at/${step}`);
      assert.deepEqual(await contextShown(page), after.context, `context at step ${step}`);
      await page.locator(`.state.active[data-state$=".${after.value}"]`).waitFor();
      if (step === steps) continue;
      const shown = await page.locator('[data-in-flight] code').allInnerTexts();
      assert.deepEqual(
        shown,
        inFlight.map(({ id }) => id),
        `in flight at step ${step}`,
      );
    }
    await page.getByRole('button', { name: 'First step' }).click();
    await shows(page, '.moment h2', /^Step 1:/);
    assert.equal(new URL(page.url()).searchParams.get('at'), '1');
    await page.reload();
    await shows(page, '.travel output', new RegExp(`step 1 of ${steps}`));
  }),
);

test('a failure is red, with its cause and the way out', { skip }, () =>
  withDashboard(async (served, browser) => {
    const { scene, address } = served;
    await scene.putLayers('broken', smallFamily);
    scene.put('broken/1.tar.zst', 'this is no archive');
    assert.equal((await scene.flyd(scene.pullArgs('broken'))).code, 1);
    const page = await browser.page();
    await page.goto(address);
    await page.goto(`${served.origin}/runs/${await runOf(served, 'image')}`);
    await shows(page, '.trouble', /layer_corrupt/);
    await page.locator('.arrow.failed').first().waitFor({ state: 'attached' });
    await page.getByRole('combobox', { name: 'Events shown' }).selectOption('failed');
    const failures = await page.getByRole('option').filter({ hasText: 'failed' }).count();
    assert.ok(failures > 0);
    await shows(page, '.events .dim', new RegExp(`^${failures} of`));
    await page.getByRole('searchbox', { name: 'Search events' }).fill('nothing like this');
    await shows(page, '.events .dim', /^0 of/);
  }),
);

test('an exported run is a page of its own: it asks for nothing and travels in time', { skip }, () =>
  withDashboard(async ({ scene }, browser) => {
    await scene.putLayers('hello', smallFamily);
    assert.equal((await scene.flyd(scene.pullArgs('hello'))).code, 0);
    const [pull] = await scene.json<{ id: string }[]>(['runs', '--machine', 'pull']);
    const file = join(scene.folder, 'run.html');
    await scene.flyd(['runs', 'export', pull?.id ?? '', '--out', file]);
    const page = await browser.page();
    await page.goto(`file://${file}`);
    await shows(page, 'h1', /pull hello/);
    await page.locator('.state.active.type-final').waitFor();
    assert.equal(await page.getByRole('button', { name: 'Cancel …' }).count(), 0);
    await page.getByRole('slider', { name: 'Step of the history' }).fill('1');
    await shows(page, '.moment h2', /^Step 1:/);
    await page.locator('.children a').first().click();
    await shows(page, '.crumbs', /pull hello/);
    assert.deepEqual(
      browser.asked.filter((address) => !/^(file|data|about):/.test(address)),
      [],
    );
  }),
);
