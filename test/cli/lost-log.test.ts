import assert from 'node:assert/strict';
import { closeSync, openSync, rmSync, statSync, truncateSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { openScene, smallFamily } from './scene.ts';
import * as shapes from './shapes.ts';

/**
 * A process was killed, and what it had committed is in the log of the database only. Then the log is gone or
 * damaged: the database is older than what is there. That is noticed, nothing is taken for a leftover, and
 * the same pull ends well.
 */
const losses: Readonly<Record<string, (log: string) => void>> = {
  gone: (log) => rmSync(log),
  'damaged from its start on': (log) => overwrite(log, 0),
  'damaged in the middle': (log) => overwrite(log, Math.floor(statSync(log).size / 2)),
  'damaged in its last frame': (log) => overwrite(log, statSync(log).size - 100),
  whole: () => {},
  'cut in the middle': (log) => truncateSync(log, Math.floor(statSync(log).size / 2)),
};

function overwrite(path: string, from: number): void {
  const file = openSync(path, 'r+');
  writeSync(file, Buffer.alloc(statSync(path).size - from, 0xa5), 0, undefined, from);
  closeSync(file);
}

for (const [how, lose] of Object.entries(losses))
  test(`a log that is ${how}`, async () => {
    const scene = await openScene();
    try {
      await scene.putLayers('small', smallFamily);
      await scene.json(['gc']); // the database itself is there
      const killed = await scene.flyd(scene.pullArgs('small'), {
        FLYD_FAULT: 'effect:activation.mount:after:kill',
      });
      assert.equal(killed.signal, 'SIGKILL');
      const log = join(scene.stateDir, 'flyd.db-wal');
      assert.ok(statSync(log).size > 50_000);
      lose(log);
      rmSync(join(scene.stateDir, 'flyd.db-shm'));

      const { code, stderr } = await scene.flyd(['resume', '--all']);
      assert.equal(code, 0, stderr);
      if (how === 'whole') assert.doesNotMatch(stderr, /older copy/);
      else if (how.includes('middle') || how.includes('last'))
        assert.match(stderr, /lost its newest commits/);
      else assert.match(stderr, /older copy.*\n(.*\n)*.*kept vol-/);
      assert.equal(shapes.pull.parse(await scene.json(scene.pullArgs('small'))).status, 'done');
      for (const { id } of await scene.json<{ id: string }[]>(['db', 'kept']))
        await scene.json(['db', 'forget', id]);
      await scene.json(['gc']);
      const verdict = await scene.json<{ violations: unknown[] }>(['doctor', '--verify']);
      assert.deepEqual(verdict.violations, []);
    } finally {
      await scene.close();
    }
  });
