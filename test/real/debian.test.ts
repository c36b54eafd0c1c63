import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import test, { type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { familyIn } from '../crash/family.ts';
import { leftovers, type PullDocument, rows } from '../crash/judge.ts';
import { documentOf, labFolder, openSandbox, runFlyd, runPull } from '../crash/sandbox.ts';
import { whyNot } from '../support/needs.ts';
import { diffRootfs, type Rootfs, readRootfs } from '../support/rootfs.ts';
import { startRealRegistry } from './registry.ts';

/**
 * Three real Debian families, two of which share their first two layers, judged by another implementation:
 * what `umoci unpack` makes of the same layers. Pulled from a bucket, and from a registry to which skopeo
 * has copied them. FLYD_TEST_IMAGE names a folder that scripts/make-debian-image made (the full families, for
 * instance); without it, a small one is made here.
 */
const commands = ['mmdebstrap', 'umoci', 'skopeo', 'docker-registry', 'setcap', 'getfattr', 'mount'];
const needs = ['root', 'overlay', 'erofs', ...commands];
const families = ['golang', 'python', 'distroless'];
/** What makes images hard is in these: else equality says little. */
const hard: readonly string[] = ['golang', 'python'];
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
    // The two common layers are one blob each; a driver with a volume for each layer shares those too.
    assert.equal(rows(sandbox, 'SELECT digest FROM blobs').length, 8);
    assert.equal(rows(sandbox, 'SELECT id FROM volumes').length, driver === 'copy' ? 3 : 8);
    assert.deepEqual(leftovers(sandbox), []);
  } finally {
    await sandbox.close();
  }
}

/** Each image by way of skopeo and docker-registry; the second time with Docker's types, which gzip the same bytes. */
async function pullFromRegistry(
  t: TestContext,
  lab: string,
  debian: string,
  wanted: Map<string, Rootfs>,
): Promise<void> {
  const registry = await startRealRegistry(lab);
  const sandbox = await openSandbox(lab, familyIn(join(debian, 's3'), 'images', 'golang'), 'copy');
  const pull = async (name: string) => {
    const args = ['pull', `${registry.host}/${name}`, '--driver', 'copy', '--mount-root', sandbox.mountRoot];
    return documentOf<PullDocument>(await runFlyd(sandbox, [...args, '--json']));
  };
  try {
    for (const [name, reference] of wanted) {
      for (const format of ['oci', 'v2s2'] as const)
        registry.push(join(debian, 'oci'), name, `debian/${name}:${format}`, format);
      const pulled = await pull(`debian/${name}:oci`);
      assert.deepEqual(diffRootfs(reference, readRootfs(pulled.activation.rootfs)).slice(0, 40), [], name);
      const docker = await pull(`debian/${name}:v2s2`);
      assert.equal(docker.image.chain, pulled.image.chain);
      assert.equal(docker.base.reused, true);
      t.diagnostic(`${name}: from the registry as umoci has it, in both formats`);
    }
    assert.deepEqual(leftovers(sandbox), []);
  } finally {
    await sandbox.close();
    await registry.close();
  }
}

test('a pulled Debian image is, entry by entry, what umoci makes of the same layers', async (t) => {
  const missing = whyNot(needs);
  if (missing !== null) return t.skip(missing);
  const lab = labFolder(t);
  const debian = images(lab);
  const wanted = new Map(families.map((name) => [name, umociUnpack(lab, debian, name)]));
  for (const [name, rootfs] of wanted) if (hard.includes(name)) t.diagnostic(`${name}: ${census(rootfs)}`);
  for (const driver of ['overlay', 'erofs', 'copy'])
    await t.test(`with the ${driver} driver`, (t) => pullBoth(t, lab, debian, driver, wanted));
  await t.test('by way of a registry', (t) => pullFromRegistry(t, lab, debian, wanted));
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
