import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { whyNot } from '../support/needs.ts';
import { openScene, type Scene, smallFamily } from './scene.ts';

interface Mended {
  ok: boolean;
  done: string[];
  failed: { what: string; error: { code: string } }[];
  violations: { invariant: string; subject: string }[];
}
interface Examined {
  checks: { check: string; verdict: string; says: string; fix: string | null }[];
}

const skip = whyNot(['root', 'overlay', 'mount', 'losetup']) ?? false;
const fix = (scene: Scene, code = 0): Promise<Mended> => scene.json(['doctor', '--fix'], code);
const volumesOf = (scene: Scene): string[] =>
  readdirSync(join(scene.stateDir, 'volumes/overlay')).filter((name) => name.startsWith('vol-'));

async function withPulled(work: (scene: Scene) => Promise<void>): Promise<void> {
  const scene = await openScene();
  try {
    await scene.putLayers('small', smallFamily);
    await scene.json([...scene.pullArgs('small', '--no-activate'), '--driver', 'overlay']);
    await work(scene);
  } finally {
    await scene.close();
  }
}

test('a lost volume is found, forgotten with its image, and pulled again', { skip }, async () => {
  await withPulled(async (scene) => {
    const [lost = ''] = volumesOf(scene);
    rmSync(join(scene.stateDir, 'volumes/overlay', lost), { recursive: true });
    const { checks } = await scene.json<Examined>(['doctor'], 1);
    const found = checks.find(({ check }) => check === 'volume-exists');
    assert.deepEqual([found?.verdict, found?.says.includes(lost)], ['broken', true]);
    const mended = await fix(scene);
    assert.ok(
      mended.done.some((line) => line.includes(`forgot the volume ${lost}`)),
      JSON.stringify(mended),
    );
    assert.ok(mended.done.some((line) => /dropped the image small/.test(line)));
    const again = [...scene.pullArgs('small', '--no-activate'), '--driver', 'overlay'];
    const { bytes } = await scene.json<{ bytes: { fetched: number } }>(again);
    assert.equal(bytes.fetched, 0, 'the blobs were there all the time');
    await scene.json(['gc']);
    assert.equal(volumesOf(scene).length, 2);
    await scene.json(['doctor', '--verify']);
    assert.deepEqual((await fix(scene)).done, [], 'nothing is left to mend');
  });
});

test('a mount that nobody knows is unmounted, unless a process is in it; its files stay', {
  skip,
}, async () => {
  await withPulled(async (scene) => {
    const id = 'act-00000000000000ff';
    const point = join(scene.mountRoot, id);
    const folder = join(scene.folder, 'elsewhere');
    for (const path of [point, folder]) mkdirSync(path, { recursive: true });
    writeFileSync(join(folder, 'file'), 'kept');
    execFileSync('mount', ['--bind', folder, point]);
    const child = spawn('sleep', ['600'], { cwd: point, stdio: 'ignore' });
    await new Promise((started) => child.once('spawn', started));
    const refused = await fix(scene, 1);
    assert.deepEqual(
      refused.failed.map(({ what, error }) => `${what}: ${error.code}`),
      ['mounts that nobody knows: activation_busy'],
    );
    const ended = new Promise((over) => child.once('exit', over));
    child.kill('SIGKILL');
    await ended;
    const mended = await fix(scene);
    assert.equal(mended.done.length, 1, JSON.stringify(mended));
    assert.equal(existsSync(point), false);
    assert.equal(readFileSync(join(folder, 'file'), 'utf8'), 'kept');
  });
});

test('an activation that is gone is forgotten; where a whole folder is not there, nothing is', {
  skip,
}, async () => {
  await withPulled(async (scene) => {
    const { output } = await scene.json<{ output: { id: string } }>(['activate', 'small']);
    execFileSync('umount', [join(scene.mountRoot, output.id)]);
    const folder = join(scene.stateDir, 'volumes/overlay');
    execFileSync('mv', [folder, `${folder}-away`]);
    const careful = await fix(scene, 1);
    assert.deepEqual(careful.done, [], 'what merely cannot be seen is not lost');
    assert.match(JSON.stringify(careful.failed), /is a disk not mounted/);
    rmSync(folder, { recursive: true, force: true });
    execFileSync('mv', [`${folder}-away`, folder]);
    rmSync(join(folder, output.id), { recursive: true });
    const mended = await fix(scene);
    assert.deepEqual(mended.done, [`forgot ${output.id}: what was written to it is gone`]);
    await scene.json(['gc']);
    assert.deepEqual(await scene.json(['activations']), []);
  });
});

test('a loop device over a pool file that is gone is detached', { skip }, async () => {
  await withPulled(async (scene) => {
    const file = join(scene.stateDir, 'pool/data');
    writeFileSync(file, Buffer.alloc(1024 * 1024));
    const loop = execFileSync('losetup', ['--find', '--show', file], { encoding: 'utf8' }).trim();
    rmSync(file);
    const { checks } = await scene.json<Examined>(['doctor']);
    assert.ok(checks.some(({ check, says }) => check === 'loop' && says.includes(loop)));
    const { done } = await fix(scene);
    assert.ok(
      done.some((line) => line.startsWith(`detached ${loop} `)),
      JSON.stringify(done),
    );
    const listed = execFileSync('losetup', ['--list', '--noheadings', '-O', 'NAME,BACK-FILE'], {
      encoding: 'utf8',
    });
    assert.equal(listed.includes(scene.folder), false);
  });
});
