import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { engineSet } from '#db/engine/index';
import { openDatabase } from '#db/open';
import { type Definition, type Engine, type EngineOptions, openEngine } from '#engine/index';

/** A folder that goes with the test. */
export function tempFolder(t: TestContext, prefix = 'flyd-test-'): string {
  const folder = mkdtempSync(join(tmpdir(), prefix));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** An engine on a database in `folder`, closed after the test. Open two on one folder to have two owners. */
export function engineIn(
  t: TestContext,
  folder: string,
  machines: readonly Definition[],
  options: Partial<EngineOptions> = {},
): Engine {
  const db = openDatabase(join(folder, 'engine.db'), [engineSet]);
  const engine = openEngine({
    db,
    machines,
    retry: {
      recoverable: { attemptsMax: 3, pauseMs: 5, pauseMsMax: 20 },
      pending: { pauseMs: 5, pauseMsMax: 20 },
    },
    ...options,
  });
  t.after(async () => {
    await engine.close();
    db.close();
  });
  return engine;
}
