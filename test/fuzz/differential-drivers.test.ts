import assert from 'node:assert/strict';
import test from 'node:test';
import { defaultLimits } from '#core/limits';
import { type Applied, applyLayer } from '#infra/layer/apply';
import { BlockReader, sourceOf } from '#infra/layer/source';
import { isErrno, lsetxattr } from '#infra/sys';
import type { DriverName, VolumeSpec } from '#infra/volumes/driver';
import { hasDeviceMapper, newSubject, type Subject } from '../contract/volumes/subject.ts';
import { compareSeed, flatStack, type Stack } from '../support/differential.ts';
import { LayerStack } from '../support/layer-stack.ts';
import { whyNot } from '../support/needs.ts';
import { tar } from '../support/tar-builder.ts';
import { diffTrees, type Entry, listTree } from '../support/tree.ts';
import { findUmoci } from '../support/umoci.ts';

/**
 * The random stacks of the differential suite through drivers with a file system of their own: a volume a
 * layer, snapshots between them, an activation. Its tree is that of the flat form, which is umoci's.
 */
const rounds = Number(process.env.FLYD_TEST_ROUNDS ?? 12);
const first = Number(process.env.FLYD_TEST_SEED ?? 1);
const only = process.env.FLYD_TEST_DRIVER;

async function treeOf(subject: Subject, stack: Stack): Promise<Map<string, Entry>> {
  let parent: VolumeSpec | null = null;
  for (const entries of stack) {
    const layer = new BlockReader(sourceOf(tar(...entries), 700));
    parent = await subject.sealed(parent, ({ root }) => void apply(layer, root));
  }
  assert.ok(parent !== null);
  const activation = await subject.activation(parent);
  await subject.driver.snapshot(activation);
  const { rootfs } = await subject.driver.mount(activation);
  const tree = listTree(rootfs ?? '');
  await subject.driver.discard(activation);
  for (let volume: VolumeSpec | null = parent; volume !== null; volume = volume.parent)
    await subject.driver.remove(volume);
  return tree;
}

const apply = (layer: BlockReader, root: string): Applied =>
  applyLayer(layer, { rootfs: `${root}/rootfs`, form: 'flat', lowers: [], privileged: true }, defaultLimits);

function flatTree(stack: Stack): Map<string, Entry> {
  const place = new LayerStack();
  try {
    return listTree(place.flat(stack.map((entries) => tar(...entries))).rootfs);
  } finally {
    place.remove();
  }
}

/** A tmpfs takes them from Linux 6.6 on; the flat form is made there, the volumes are not. */
function tmpTakesUserXattrs(): boolean {
  const place = new LayerStack();
  try {
    lsetxattr(place.folder('probe'), 'user.x', Buffer.alloc(1));
    return true;
  } catch (error) {
    if (!isErrno(error, 'EOPNOTSUPP')) throw error;
    return false;
  } finally {
    place.remove();
  }
}

const needs: Readonly<Partial<Record<DriverName, string[]>>> = {
  btrfs: ['root', 'btrfs', 'mkfs.btrfs'],
  devmapper: ['root', 'dmsetup'],
};

for (const name of ['btrfs', 'devmapper'] as const) {
  // Where the kernel has no device-mapper, test/vm/volumes.test.ts runs this in a guest that has.
  if ((name === 'devmapper' && !hasDeviceMapper) || (only !== undefined && only !== name)) continue;

  test(`${rounds} random stacks of layers are the same by the ${name} driver`, {
    skip: whyNot(needs[name] ?? []) ?? false,
  }, async (t) => {
    const umoci = findUmoci();
    const ignore = tmpTakesUserXattrs() ? [] : (['xattrs'] as const);
    const subject = await newSubject(t, name);
    for (let seed = first; seed < first + rounds; seed++) {
      const stack = umoci === null ? flatStack(seed) : compareSeed(seed, umoci).stack;
      if (stack.length === 0) continue;
      const differences = diffTrees(await treeOf(subject, stack), flatTree(stack), { ignore });
      assert.deepEqual(differences, [], `seed ${seed}`);
    }
  });
}
