import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readdirSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { whyNot } from '../support/needs.ts';
import { openScene, type Scene, smallFamily } from './scene.ts';

interface Document {
  ok: boolean;
  violations: { invariant: string; subject: string; fix: string | null }[];
  leftovers: { invariant: string; subject: string }[];
}

const verify = (scene: Scene, code: number): Promise<Document> => scene.json(['doctor', '--verify'], code);

async function withPulled(work: (scene: Scene, activation: string) => Promise<void>): Promise<void> {
  const scene = await openScene();
  try {
    await scene.putLayers('small', smallFamily);
    const { activation } = await scene.json<{ activation: { id: string } }>(scene.pullArgs('small'));
    await work(scene, activation.id);
  } finally {
    await scene.close();
  }
}

test('doctor --verify holds where nothing was done, after a pull, and after a removal', async () => {
  await withPulled(async (scene, activation) => {
    const sound = await verify(scene, 0);
    assert.deepEqual([sound.ok, sound.violations, sound.leftovers], [true, [], []]);
    await scene.json(['deactivate', activation]);
    await scene.json(['rm', 'small']);
    assert.deepEqual((await verify(scene, 0)).leftovers, []);
  });
});

test('doctor --verify tells a cut blob, a lost volume and strangers apart, each with what mends it', async () => {
  await withPulled(async (scene, activation) => {
    const blobs = join(scene.stateDir, 'blobs/sha256');
    const [first = '', second = ''] = readdirSync(blobs);
    truncateSync(join(blobs, first), 1);
    rmSync(join(blobs, second));
    const volumes = join(scene.stateDir, 'volumes/copy');
    const base = readdirSync(volumes).find((name) => name.startsWith('vol-')) ?? '';
    rmSync(join(volumes, base), { recursive: true });
    execFileSync('mkdir', [join(volumes, 'vol-00000000000000aa')]);
    writeFileSync(join(scene.stateDir, 'partial/stray'), 'x');
    const { violations, leftovers } = await verify(scene, 1);
    const found = violations.map(({ invariant, subject }) => `${invariant} ${subject}`).sort();
    assert.deepEqual(
      found,
      [`blob-has-file sha256:${first}`, `blob-has-file sha256:${second}`, `volume-exists ${base}`].sort(),
    );
    assert.ok(violations.every(({ fix }) => fix !== null));
    const harmless = leftovers.map(({ invariant, subject }) => `${invariant} ${subject}`).sort();
    assert.deepEqual(harmless, ['partial-needed stray', 'world-known vol-00000000000000aa']);
    assert.ok(activation.startsWith('act-'));
  });
});

test('doctor --verify sees a mount that is gone, and one too many', {
  skip: whyNot(['root', 'mount']) ?? false,
}, async () => {
  await withPulled(async (scene, activation) => {
    const point = join(scene.mountRoot, activation);
    execFileSync('mount', ['--bind', point, point]);
    const twice = await verify(scene, 1);
    assert.deepEqual(
      twice.violations.map(({ invariant, subject }) => `${invariant} ${subject}`),
      [`activation-mounted ${activation}`],
    );
    execFileSync('umount', [point]);
    await verify(scene, 0);
    execFileSync('umount', [point]);
    const gone = await verify(scene, 1);
    assert.deepEqual(
      gone.violations.map(({ invariant, fix }) => `${invariant}: ${fix}`),
      ['activation-mounted: flyd resume'],
    );
  });
});
