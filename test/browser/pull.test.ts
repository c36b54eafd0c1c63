import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Page } from 'playwright-core';
import { smallFamily } from '../cli/scene.ts';
import { noBrowser, shows, withDashboard } from './rig.ts';

const skip = noBrowser ?? false;

/** Where each state is drawn. */
const places = (page: Page): Promise<Record<string, string>> =>
  page.evaluate(() =>
    Object.fromEntries(
      [...document.querySelectorAll<HTMLElement>('[data-state]')].map((state) => [
        state.dataset.state ?? '',
        state.closest<HTMLElement>('.react-flow__node')?.style.transform ?? '',
      ]),
    ),
  );
const active = (page: Page): Promise<string[]> =>
  page.locator('.state.active:not(.root)').evaluateAll((all) => all.map((each) => each.dataset.state ?? ''));

test('a pull is watched from its start to its end; its states light up and never move', { skip }, () =>
  withDashboard(async ({ scene, address }, browser) => {
    const page = await browser.page();
    await page.goto(address);
    await shows(page, '.empty', /No runs yet/);
    assert.equal(new URL(page.url()).hash, '', 'the token is out of the address');
    await scene.putLayers('hello', smallFamily);
    scene.hold('hello/1');
    const pull = scene.run(scene.pullArgs('hello'));
    await shows(page, '.row', /image.*hello.*building/s);
    await page.getByRole('link', { name: 'hello', exact: true }).first().click();
    await shows(page, '.now-state', /building|imaging/);
    await page.locator('[data-state]').first().waitFor();
    const before = await places(page);
    assert.ok(Object.keys(before).length > 4);
    assert.match((await active(page)).join(), /building|imaging/);
    scene.release();
    assert.equal((await pull.ended).code, 0);
    await shows(page, '.run-head .status', /done/);
    await page.locator('.state.active.type-final').waitFor();
    assert.deepEqual(await places(page), before);
    await page.locator('.arrow.visited').nth(1).waitFor({ state: 'attached' });
    // Children both ways: down to a layer, and back up.
    await page.goBack();
    await page.getByRole('link', { name: 'hello', exact: true }).first().click();
    await page.locator('.children a').first().click();
    await shows(page, 'h1', /^(blob|volume|image|activate)/);
    await page.locator('.crumbs a').nth(1).click();
    await shows(page, 'h1', /^(image|pull)/);
  }),
);

test('a run whose process was killed is shown as such, and is resumed by a button', { skip }, () =>
  withDashboard(async ({ scene, address }, browser) => {
    await scene.putLayers('hello', smallFamily);
    scene.hold('hello/1');
    const pull = scene.run(scene.pullArgs('hello'));
    const page = await browser.page();
    await page.goto(`${address.replace('/#', '/?machine=pull#')}`);
    await shows(page, '.row', /pull.*hello/s);
    await page.getByRole('link', { name: 'hello' }).click();
    await shows(page, '.facts', /its process lives/);
    pull.child.kill('SIGKILL');
    await pull.ended;
    await shows(page, '.run-head .status', /orphaned/);
    scene.release();
    await page.getByRole('button', { name: 'Resume …' }).click();
    await page
      .getByRole('dialog')
      .getByRole('button', { name: /^Resume pull/ })
      .click();
    await shows(page, '.run-head .status', /done/);
    await shows(page, '.now-state', /activated/);
  }),
);

test('a page goes on after the server was started again, without a reload', { skip }, () =>
  withDashboard(async ({ scene, address, restart }, browser) => {
    await scene.putLayers('hello', smallFamily);
    const page = await browser.page();
    await page.goto(address);
    await shows(page, '.live', /● live/);
    await page.evaluate(() => {
      document.body.dataset.same = 'page';
    });
    await restart();
    assert.equal((await scene.flyd(scene.pullArgs('hello'))).code, 0);
    await shows(page, '.row', /done.*pull.*hello.*activated/s);
    assert.equal(await page.evaluate(() => document.body.dataset.same), 'page');
  }),
);

test('a run is cancelled by a button, after a question, and the audit log says so', { skip }, () =>
  withDashboard(async ({ scene, address, origin }, browser) => {
    await scene.putLayers('hello', smallFamily);
    scene.hold('hello/1');
    const pull = scene.run(scene.pullArgs('hello'));
    const page = await browser.page();
    await page.goto(`${address.replace('/#', '/?machine=pull#')}`);
    await page.getByRole('link', { name: 'hello' }).click();
    await page.getByRole('button', { name: 'Cancel …' }).click();
    const dialog = page.getByRole('dialog');
    await dialog.getByLabel(/Reason/).fill('wrong image');
    await dialog.getByRole('button', { name: /^Cancel pull/ }).click();
    await shows(page, '.run-head .status', /cancelled/);
    assert.equal((await pull.ended).code, 4);
    await page.goto(`${origin}/audit`);
    await shows(page, 'tbody tr', /cancel.*wrong image.*ok/s);
  }),
);
