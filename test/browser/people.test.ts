import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Page } from 'playwright-core';
import { smallFamily } from '../cli/scene.ts';
import {
  accessibilityFaults,
  noBrowser,
  overflow,
  type Served,
  screenshot,
  shows,
  withDashboard,
} from './rig.ts';

const skip = noBrowser ?? false;

/** A host with something of everything: two images that share layers, a failure, a run under way. */
async function furnish({ scene }: Served): Promise<() => Promise<void>> {
  await scene.putLayers('golang', [
    ...smallFamily,
    { name: '2.tar.gz', entries: [{ type: 'file', path: 'go', content: 'go\n'.repeat(100_000) }] },
    { name: '3.tar.gz', entries: [{ type: 'file', path: 'src', content: 'package main\n' }] },
  ]);
  await scene.putLayers('hello', smallFamily);
  await scene.putLayers('broken', smallFamily);
  scene.put('broken/1.tar.zst', 'this is no archive');
  await scene.putLayers('python', smallFamily);
  for (const family of ['golang', 'hello', 'broken']) await scene.flyd(scene.pullArgs(family));
  scene.hold('python/1');
  const pull = scene.run(scene.pullArgs('python'));
  return async () => {
    scene.release();
    await pull.ended;
  };
}

/** Which pages the README shows, and in which colours. */
const pictures: Readonly<Record<string, 'light' | 'dark'>> = { runs: 'light', run: 'dark', host: 'light' };

const focused = (page: Page): Promise<string | null> =>
  page.evaluate(() => document.activeElement?.textContent ?? null);

test('everything is reached by keyboard alone', { skip }, () =>
  withDashboard(async (served, browser) => {
    const finish = await furnish(served);
    const page = await browser.page();
    await page.goto(served.address);
    await shows(page, '.row', /python/);
    await page.keyboard.press('/');
    await page.keyboard.type('golang');
    await shows(page, '[role=status]', /^\d+ runs/);
    await page.waitForURL(/q=golang/);
    await shows(page, '.row', /pull.*golang/s);
    for (let tabs = 0; (await focused(page)) !== 'golang' && tabs < 40; tabs++)
      await page.keyboard.press('Tab');
    assert.equal(await focused(page), 'golang');
    await page.keyboard.press('End');
    await page.keyboard.press('Home');
    await page.keyboard.press('ArrowDown');
    await page.waitForFunction(() => document.activeElement?.closest('[data-index="1"]') !== null);
    await page.keyboard.press('Enter');
    await page.waitForURL(/\/runs\/[0-9A-Z]{26}/);
    await shows(page, 'h1', /golang/);
    const slider = page.getByRole('slider', { name: 'Step of the history' });
    await slider.focus();
    await page.keyboard.press('Home');
    await shows(page, '.moment h2', /^Step 1:/);
    await page.getByRole('listbox', { name: 'Steps' }).focus();
    await page.keyboard.press('ArrowDown');
    await shows(page, '.moment h2', /^Step 2:/);
    // A question takes the focus, gives it back, and Escape says no.
    await page.getByRole('button', { name: 'Fork from here …' }).focus();
    await page.keyboard.press('Enter');
    await page.getByRole('dialog').waitFor();
    await page.keyboard.press('Escape');
    await page.getByRole('dialog').waitFor({ state: 'detached' });
    await finish();
  }),
);

test('every page is legible, light and dark, wide and narrow, and axe finds nothing', { skip }, () =>
  withDashboard(async (served, browser) => {
    const finish = await furnish(served);
    const page = await browser.page();
    await page.goto(served.address);
    await shows(page, '.row', /image.*python.*building/s);
    const image = await page
      .locator('.row', { hasText: /image\s*python/ })
      .locator('a')
      .getAttribute('href');
    for (const width of [1280, 400])
      for (const colorScheme of ['light', 'dark'] as const) {
        await page.setViewportSize({ width, height: 800 });
        await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' });
        for (const [name, path, sign] of [
          ['runs', '/', '.row:not(.head)'],
          ['run', image ?? '', '.state.active'],
          ['host', '/host', '.layer'],
          ['audit', '/audit', '.empty'],
        ] as const) {
          await page.goto(served.origin + path);
          await page.locator(sign).first().waitFor();
          if (name === 'run') await page.locator('.moment h2').waitFor();
          const where = `${name}, ${width} pixels, ${colorScheme}`;
          assert.ok((await overflow(page)) <= 0, `${where}: wider than the window`);
          assert.deepEqual(await accessibilityFaults(page), [], where);
          if (width === 1280 && pictures[name] === colorScheme) await screenshot(page, name as 'run');
        }
      }
    await page.setViewportSize({ width: 1280, height: 800 });
    await page.goto(served.origin + image);
    await page.getByRole('button', { name: 'Cancel …' }).click();
    await page.getByRole('dialog').waitFor();
    assert.deepEqual(await accessibilityFaults(page), [], 'a dialog');
    await finish();
  }),
);
