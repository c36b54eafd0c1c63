import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type BrowserContext, chromium, type Page } from 'playwright-core';
import { openScene, type Running, type Scene } from '../cli/scene.ts';
import { whyNot } from '../support/needs.ts';

/** Why there is no browser here and how to get one, or null. */
export const noBrowser = whyNot(['chromium']);

/** Pages are looked at by people: what takes so long is broken, on any machine. */
export const patienceMs = 45_000;

const flags = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  // A file is opened, too: it must not be let off anything for that.
  '--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1',
];

export interface Browser {
  /** Every address that any page asked for. */
  readonly asked: string[];
  /** What pages wrote as errors to their console. */
  readonly complaints: string[];
  page(width?: number, height?: number): Promise<Page>;
  close(): Promise<void>;
}

/** Debian's Chromium with a profile of its own, as the tests' user. */
export async function openBrowser(): Promise<Browser> {
  const profile = mkdtempSync(join(tmpdir(), 'flyd-chromium-'));
  const context: BrowserContext = await chromium.launchPersistentContext(profile, {
    executablePath: '/usr/bin/chromium',
    headless: true,
    args: flags,
    viewport: { width: 1280, height: 800 },
  });
  context.setDefaultTimeout(patienceMs);
  const asked: string[] = [];
  const complaints: string[] = [];
  context.on('request', (request) => asked.push(request.url()));
  return {
    asked,
    complaints,
    async page(width = 1280, height = 800) {
      const page = await context.newPage();
      await page.setViewportSize({ width, height });
      page.on('console', (message) => message.type() === 'error' && complaints.push(message.text()));
      page.on('pageerror', (error) => complaints.push(String(error)));
      return page;
    },
    async close() {
      await context.close();
      rmSync(profile, { recursive: true, force: true });
    },
  };
}

export interface Served {
  scene: Scene;
  address: string;
  origin: string;
  port: number;
  token: string;
  /** Ends the server, and starts it again on the same port. */
  restart(): Promise<void>;
  stop(): Promise<void>;
}

/** The real `flyd inspect` over a scene. */
export async function serve(scene: Scene): Promise<Served> {
  let running: Running | null = null;
  const start = async (port: number): Promise<Pick<Served, 'address' | 'origin' | 'port' | 'token'>> => {
    const started = scene.run(['inspect', '--port', String(port), '--json']);
    running = started;
    let text = '';
    return new Promise((give, fail) => {
      started.child.stdout?.on('data', (part) => {
        text += part;
        if (text.trimEnd().endsWith('}')) give(JSON.parse(text));
      });
      void started.ended.then(({ stderr }) => fail(new Error(stderr)));
    });
  };
  const stop = async (): Promise<void> => {
    running?.child.kill('SIGTERM');
    await running?.ended;
  };
  const first = await start(0);
  const restart = async (): Promise<void> => {
    await stop();
    await start(first.port);
  };
  return { scene, ...first, stop, restart };
}

/** A scene with the dashboard and a browser, taken down whatever happens. */
export async function withDashboard(
  work: (served: Served, browser: Browser) => Promise<void>,
): Promise<void> {
  const scene = await openScene();
  let browser: Browser | null = null;
  try {
    const served = await serve(scene);
    browser = await openBrowser();
    await work(served, browser);
    for (const address of browser.asked)
      assert.ok(address.startsWith(served.origin) || /^(data|about|blob|file):/.test(address), address);
    const own = browser.complaints.filter((text) => !/net::ERR_(CONNECTION|INCOMPLETE|EMPTY)/.test(text));
    assert.deepEqual(own, [], 'errors on the console');
  } finally {
    await browser?.close();
    await scene.close();
  }
}

/** The text of the page's main part settles on what `pattern` says. */
export const shows = (page: Page, selector: string, pattern: RegExp): Promise<void> =>
  page.locator(selector).filter({ hasText: pattern }).first().waitFor();

/** Goes to another page of the dashboard as a link does. */
export async function goTo(page: Page, path: string): Promise<void> {
  await page.goto(new URL(path, page.url()).href);
}

const axe = readFileSync(
  createRequire(fileURLToPath(import.meta.url)).resolve('axe-core/axe.min.js'),
  'utf8',
);

/** What axe-core finds wrong for people with disabilities (WCAG 2.2 A and AA, and its good practices). */
export async function accessibilityFaults(page: Page): Promise<string[]> {
  // Evaluated by the debugger, which the page's policy does not keep out.
  await page.evaluate(axe);
  return page.evaluate(async () => {
    const { axe: run } = globalThis as unknown as {
      axe: {
        run(): Promise<{ violations: { id: string; nodes: { html: string; failureSummary: string }[] }[] }>;
      };
    };
    const { violations } = await run.run();
    return violations.flatMap(({ id, nodes }) =>
      nodes.slice(0, 3).map(({ html, failureSummary }) => `${id}: ${html.slice(0, 160)} ${failureSummary}`),
    );
  });
}

/** How much wider the page is than the window. */
export const overflow = (page: Page): Promise<number> =>
  page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);

/** The README's pictures, which are kept where `FLYD_TEST_SCREENSHOTS` says: docs/images, to make them anew. */
export async function screenshot(page: Page, name: 'runs' | 'run' | 'host'): Promise<void> {
  const folder = process.env.FLYD_TEST_SCREENSHOTS;
  if (folder !== undefined) await page.screenshot({ path: join(folder, `${name}.png`) });
}
