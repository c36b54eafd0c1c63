import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import test, { type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { familyIn } from '../crash/family.ts';
import { leftovers, type PullDocument, rows } from '../crash/judge.ts';
import { documentOf, labFolder, openSandbox, runPull } from '../crash/sandbox.ts';
import { whyNot } from '../support/needs.ts';
import { diffRootfs, type Rootfs, readRootfs } from '../support/rootfs.ts';

/**
 * Two real Debian families that share their first two layers, judged by another implementation: what
 * `umoci unpack` makes of the same layers. FLYD_TEST_IMAGE names a folder that scripts/make-debian-image
 * made (the full families, for instance); without it, a small one is made here.
 */
const needs = ['root', 'overlay', 'erofs', 'mmdebstrap', 'umoci', 'setcap', 'getfattr', 'mount'];
const script = fileURLToPath(new URL('../../scripts/make-debian-image', import.meta.url));

function run(command: string, ...args: string[]): void {
  const { status, stderr, error } = spawnSync(command, args, { encoding: 'utf8' });
  assert.equal(status, 0, `${command} ${args.join(' ')}: ${error?.message ?? stderr}`);
}

function images(lab: string): string {
  const given = process.env.FLYD_TEST_IMAGE;
  if (given !== undefined) return given;
  const out = join(lab, 'debian');
  mkdirSync(out);
  run(script, '--small', out);
  return out;
}

/** No deviation of umoci 0.4.7 is known for these layers, so none is let through. */
function umociUnpack(lab: string, debian: string, family: string): Rootfs {
  const bundle = join(lab, `umoci-${family}`);
  run('umoci', 'unpack', '--image', `${join(debian, 'oci')}:${family}`, bundle);
  return readRootfs(join(bundle, 'rootfs'));
}

async function pullBoth(
  t: TestContext,
  lab: string,
  debian: string,
  driver: string,
  wanted: Map<string, Rootfs>,
) {
  const sandbox = await openSandbox(lab, familyIn(join(debian, 's3'), 'images', 'golang'), driver);
  try {
    for (const [name, reference] of wanted) {
      const family = familyIn(join(debian, 's3'), 'images', name);
      const pulled = documentOf<PullDocument>(await runPull({ ...sandbox, family }));
      const differences = diffRootfs(reference, readRootfs(pulled.activation.rootfs));
      assert.equal(
        differences.length,
        0,
        `${name}: ${differences.length}\n${differences.slice(0, 40).join('\n')}`,
      );
      t.diagnostic(`${driver}: ${name} equals umoci's tree in ${reference.size} entries`);
    }
    // Their two common layers are one blob each; a driver with a volume for each layer shares those too.
    assert.equal(rows(sandbox, 'SELECT digest FROM blobs').length, 6);
    assert.equal(rows(sandbox, 'SELECT id FROM volumes').length, driver === 'copy' ? 2 : 6);
    assert.deepEqual(leftovers(sandbox), []);
  } finally {
    await sandbox.close();
  }
}

test('a pulled Debian image is, entry by entry, what umoci makes of the same layers', async (t) => {
  const missing = whyNot(needs);
  if (missing !== null) return t.skip(missing);
  const lab = labFolder(t);
  const debian = images(lab);
  const wanted = new Map(['golang', 'python'].map((name) => [name, umociUnpack(lab, debian, name)]));
  for (const [name, rootfs] of wanted) t.diagnostic(`${name}: ${census(rootfs)}`);
  for (const driver of ['overlay', 'erofs', 'copy'])
    await t.test(`with the ${driver} driver`, (t) => pullBoth(t, lab, debian, driver, wanted));
});

/** That the image has what makes images hard: else equality says little. */
function census(rootfs: Rootfs): string {
  const lines = [...rootfs.values()];
  const kinds: Record<string, RegExp> = {
    'hard links': / same-file-as=/,
    'setuid files': /^file [4-7]/,
    devices: /^(char|block) /,
    capabilities: / security\.capability=/,
    symlinks: /^link /,
    fifos: /^fifo /,
    'parts of a second': /mtime=\d+[1-9]\d{0,8}\b(?<!000000000)/,
  };
  return Object.entries(kinds)
    .map(([what, pattern]) => {
      const count = lines.filter((line) => pattern.test(line)).length;
      assert.notEqual(count, 0, `the image has no ${what}`);
      return `${count} ${what}`;
    })
    .join(', ');
}
