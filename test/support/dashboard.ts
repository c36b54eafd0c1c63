import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { createDashboardStore, dashboardSet } from '#db/dashboard/index';
import { engineSet } from '#db/engine/index';
import { createImageStore, imageSet } from '#db/images/index';
import { openDatabase } from '#db/open';
import type { Engine } from '#engine/api';
import { type Definition, openEngine } from '#engine/index';
import { createWatch } from '#engine/watch';
import type { DashboardParts } from '#services/dashboard/parts';
import { type Dashboard, startDashboard } from '#services/dashboard/server';
import { tempFolder } from './engine.ts';

export const token = 'a-token-of-forty-three-characters-for-tests';

export interface Stage {
  /** Another connection, as another process has it: this one moves the runs. */
  engine: Engine;
  dashboard: Dashboard;
  parts: DashboardParts;
  /** Ends the server and starts it again on the same port. */
  restart(): Promise<void>;
  /** With the token, unless other headers are given. */
  fetch(path: string, init?: RequestInit): Promise<Response>;
  json<T>(path: string): Promise<T>;
  post(path: string, body: unknown): Promise<Response>;
}

/** The real server over a real database, and an engine that moves runs in it. */
export async function openStage(
  t: TestContext,
  machines: Definition[],
  over: Partial<DashboardParts> = {},
): Promise<Stage> {
  const folder = tempFolder(t);
  const path = join(folder, 'flyd.db');
  const sets = [engineSet, imageSet, dashboardSet];
  const moving = openDatabase(path, sets);
  const looking = openDatabase(path, sets);
  const engine = openEngine({
    db: moving,
    machines,
    retry: { recoverable: { attemptsMax: 2, pauseMs: 20, pauseMsMax: 20 } },
  });
  const onlooker = { hold: () => ({ release() {} }), isHeld: () => true };
  const parts: DashboardParts = {
    engine: openEngine({ db: looking, machines: [], owners: onlooker }),
    watch: createWatch(looking),
    store: createDashboardStore(looking),
    images: createImageStore(looking),
    progress: () => [],
    isAlive: () => true,
    space: async () => [],
    act: async () => engine,
    page: { html: '<!doctype html><title>flyd</title>', js: '/* page */', css: '' },
    token,
    actor: 'tester',
    about: { version: '0', stateDir: folder, hostname: 'here' },
    now: () => Date.now(),
    log: { info() {}, warn() {} },
    ...over,
  };
  const stage: Stage = {
    engine,
    dashboard: await startDashboard(parts, 0),
    parts,
    async restart() {
      const { port } = stage.dashboard;
      await stage.dashboard.close();
      stage.dashboard = await startDashboard(parts, port);
    },
    fetch: (to, init = {}) =>
      fetch(stage.dashboard.origin + to, { headers: { authorization: `Bearer ${token}` }, ...init }),
    json: async <T>(to: string) => (await stage.fetch(to)).json() as Promise<T>,
    post: (to, body) =>
      stage.fetch(to, {
        method: 'POST',
        headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
        body: JSON.stringify(body),
      }),
  };
  t.after(async () => {
    await stage.dashboard.close();
    await engine.close();
    looking.close();
    moving.close();
  });
  return stage;
}

export interface StreamMessage {
  id: string | null;
  event: string;
  data: unknown;
}

/** Reads server-sent events as a browser does, until `enough` says so of what has come. */
export async function readStream(
  response: Response,
  enough: (messages: StreamMessage[]) => boolean,
): Promise<StreamMessage[]> {
  const messages: StreamMessage[] = [];
  let text = '';
  const reader = (response.body as ReadableStream<Uint8Array>)
    .pipeThrough(new TextDecoderStream())
    .getReader();
  try {
    while (!enough(messages)) {
      const { done, value } = await reader.read();
      if (done) break;
      text += value;
      const blocks = text.split('\n\n');
      text = blocks.pop() ?? '';
      for (const block of blocks) {
        const field = (name: string): string | null =>
          block
            .split('\n')
            .find((line) => line.startsWith(`${name}: `))
            ?.slice(name.length + 2) ?? null;
        const event = field('event');
        if (event !== null)
          messages.push({ id: field('id'), event, data: JSON.parse(field('data') ?? 'null') });
      }
    }
  } finally {
    await reader.cancel().catch(() => undefined);
  }
  return messages;
}
