import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { makeUnreadable } from '../support/bad-disk.ts';
import { whyNot } from '../support/needs.ts';
import { openScene, type Scene, smallFamily } from './scene.ts';
import * as shapes from './shapes.ts';

/** A disk from which a part of a file cannot be read any more: one error that says so, and afterwards the work goes on. */
const skip = whyNot(['root', 'mount', 'losetup', 'filefrag']) ?? false;

async function withScene(work: (scene: Scene) => Promise<void>): Promise<void> {
  const scene = await openScene();
  try {
    await work(scene);
  } finally {
    await scene.close();
  }
}

async function isClean(scene: Scene): Promise<void> {
  const { violations } = await scene.json<{ violations: unknown[] }>(['doctor', '--verify']);
  assert.deepEqual(violations, []);
}

test('a layer that cannot be read while it is unpacked', { skip }, () =>
  withScene(async (scene) => {
    const content = randomBytes(1_500_000).toString('base64');
    await scene.putLayers('big', [{ name: '0.tar.gz', entries: [{ type: 'file', path: 'big', content }] }]);
    const pull = scene.run(scene.pullArgs('big', '--json', '--retries', '2'), {
      FLYD_FAULT: 'effect:volume.unpack:before:stop',
    });
    const status = `/proc/${pull.child.pid}/status`;
    while (!/^State:\s+T/m.test(readFileSync(status, 'utf8')))
      await new Promise((give) => setTimeout(give, 10));
    const folder = join(scene.stateDir, 'blobs/sha256');
    const [blob = ''] = readdirSync(folder).map((name) => join(folder, name));
    assert.ok(statSync(blob).size > 1_000_000);
    const mend = makeUnreadable(blob, join(scene.folder, 'bad'));
    try {
      pull.child.kill('SIGCONT');
      const { code, stdout, stderr } = await pull.ended;
      assert.equal(code, 1, stdout + stderr);
      const { error } = JSON.parse(stdout) as shapes.Pull;
      assert.match(error?.message ?? '', /EIO/, stdout);
      assert.ok(error?.subject && error.hint, stdout);
      assert.doesNotMatch(stderr, /^\s+at /m);
      await isClean(scene);
    } finally {
      mend();
    }
    assert.equal(shapes.pull.parse(await scene.json(scene.pullArgs('big'))).status, 'done');
    await isClean(scene);
  }),
);

test('a database that cannot be read', { skip }, () =>
  withScene(async (scene) => {
    await scene.putLayers('small', smallFamily);
    await scene.json(scene.pullArgs('small', '--no-activate'));
    const mend = makeUnreadable(join(scene.stateDir, 'flyd.db'), join(scene.folder, 'bad'));
    try {
      for (const args of [
        ['runs'],
        ['gc'],
        ['activate', 'small'],
        ['db', 'backup', join(scene.folder, 'b.db')],
      ]) {
        const { error } = shapes.failure.parse(await scene.json(args, 1));
        assert.deepEqual([error.code, error.kind], ['database_failed', 'recoverable'], error.message);
        assert.match(error.hint ?? '', /dmesg/);
      }
    } finally {
      mend();
    }
    await scene.json(['activate', 'small']);
    await isClean(scene);
  }),
);
