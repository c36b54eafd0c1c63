import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import type { Progress } from '#core/effect';
import { aborted } from '#core/errors';
import type { DiffId } from '#core/ids';
import { defaultLimits, type Limits } from '#core/limits';
import { type UnpackOptions, unpackLayer } from '#infra/layer/unpack';
import * as sys from '#infra/sys';
import { isRoot } from '../../support/layer-stack.ts';
import { dir, file, symlink, tar } from '../../support/tar-builder.ts';
import { diffTrees, listTree } from '../../support/tree.ts';

const raw = tar(
  dir('d', { mode: 0o711 }),
  ...Array.from({ length: 300 }, (_, i) => file(`d/f${i}`, `content ${i}`.repeat(i * 3))),
  file('large', Buffer.alloc(5_000_001, 'abc').toString()),
  symlink('l', 'd/f1'),
);
const diffId = `sha256:${createHash('sha256').update(raw).digest('hex')}` as DiffId;

describe('unpackLayer', () => {
  let base = '';
  let count = 0;
  before(() => {
    base = fs.mkdtempSync(path.join(os.tmpdir(), 'flyd-unpack-'));
  });
  after(() => fs.rmSync(base, { recursive: true, force: true }));

  const blobOf = (bytes: Buffer): string => {
    const at = path.join(base, `blob-${count++}`);
    fs.writeFileSync(at, bytes);
    return at;
  };
  const folder = (): string => {
    const at = path.join(base, `rootfs-${count++}`);
    fs.mkdirSync(at);
    return at;
  };
  const optionsOf = (blobPath: string, more: Partial<Omit<UnpackOptions, 'target'>> = {}) => ({
    blobPath,
    expected: {},
    target: { rootfs: folder(), form: 'flat' as const, lowers: [], privileged: isRoot },
    limits: defaultLimits,
    signal: new AbortController().signal,
    ...more,
  });
  const openFds = () => fs.readdirSync('/proc/self/fd').length;

  it('unpacks plain, gzip and zstd to the same tree, and counts', async () => {
    const trees = [];
    for (const [bytes, compression] of [
      [raw, 'none'],
      [gzipSync(raw), 'gzip'],
      [zstdCompressSync(raw), 'zstd'],
    ] as const) {
      const options = optionsOf(blobOf(bytes), { expected: { rawSize: raw.length, diffId } });
      const result = await unpackLayer(options);
      assert.deepEqual(
        [result.compression, result.entries, result.rawBytes, result.warnings],
        [compression, 303, raw.length, []],
      );
      assert.deepEqual(result.skipped, { owners: 0, devices: 0, setuid: 0, xattrs: 0 });
      trees.push(listTree(options.target.rootfs));
    }
    const [plain, ...others] = trees;
    assert.ok(plain !== undefined);
    assert.equal(plain.get('./large')?.size, 5_000_001);
    assert.equal(plain.get('./d')?.mode, 0o711);
    for (const other of others) assert.deepEqual(diffTrees(plain, other), []);
  });

  it('takes an empty blob as an empty layer', async () => {
    assert.equal((await unpackLayer(optionsOf(blobOf(Buffer.alloc(0))))).entries, 0);
  });

  it('tells progress in raw bytes, up to the end', async () => {
    const seen: Progress[] = [];
    await unpackLayer(
      optionsOf(blobOf(gzipSync(raw)), {
        expected: { rawSize: raw.length },
        onProgress: (progress) => seen.push(progress),
      }),
    );
    const last = seen.at(-1);
    assert.deepEqual([last?.done, last?.total, last?.unit], [raw.length, raw.length, 'unpacked']);
  });

  it('refuses a layer with another diffID or another size than was fetched', async () => {
    const blob = blobOf(gzipSync(raw));
    const wrong = `sha256:${'0'.repeat(64)}` as DiffId;
    const failing = (expected: UnpackOptions['expected']) => unpackLayer(optionsOf(blob, { expected }));
    await assert.rejects(failing({ diffId: wrong }), { code: 'digest_mismatch', kind: 'unrecoverable' });
    await assert.rejects(failing({ rawSize: raw.length - 1 }), { code: 'size_mismatch' });
    await assert.rejects(failing({ rawSize: raw.length + 1 }), { code: 'size_mismatch' });
  });

  it('errors come from the thread that found them', async () => {
    const gz = gzipSync(raw);
    const failing = (bytes: Buffer, limits: Partial<Limits> = {}) =>
      unpackLayer(optionsOf(blobOf(bytes), { limits: { ...defaultLimits, ...limits } }));
    await assert.rejects(failing(gz.subarray(0, gz.length - 20)), { code: 'layer_corrupt' });
    await assert.rejects(failing(Buffer.from('no tar at all'.repeat(100))), { code: 'layer_corrupt' });
    await assert.rejects(failing(gzipSync(tar(file('../.wh.')))), {
      code: 'layer_hostile',
      subject: '../.wh.',
      op: 'volume.unpack',
    });
    await assert.rejects(failing(gz, { layerEntriesMax: 100 }), {
      code: 'limit_exceeded',
      subject: 'd/f99',
    });
    await assert.rejects(unpackLayer(optionsOf(path.join(base, 'nothing'))), { message: /ENOENT/ });
    const nowhere = optionsOf(blobOf(raw));
    fs.rmdirSync(nowhere.target.rootfs);
    await assert.rejects(unpackLayer(nowhere), { code: 'system_call' });
  });

  it('stops at an abort, with its reason, and touches nothing afterwards', async () => {
    const many = Buffer.concat(Array.from({ length: 60 }, () => raw.subarray(0, raw.length - 1024)));
    for (const delay of [0, 20, 150]) {
      const controller = new AbortController();
      const options = optionsOf(blobOf(gzipSync(many, { level: 1 })), { signal: controller.signal });
      const reason = aborted('cancelled', 'enough');
      const started = Promise.withResolvers<void>();
      const running = unpackLayer({ ...options, onProgress: () => started.resolve() });
      if (delay > 0) await Promise.race([started.promise, sleep(delay * 5), running.catch(() => {})]);
      controller.abort(reason);
      await assert.rejects(running, (error) => error === reason);
      const left = [...listTree(options.target.rootfs).keys()];
      await sleep(100);
      assert.deepEqual([...listTree(options.target.rootfs).keys()], left);
    }
  });

  it('does not begin when it is already aborted', async () => {
    const options = optionsOf(blobOf(raw), { signal: AbortSignal.abort(aborted('cancelled', 'no')) });
    await assert.rejects(unpackLayer(options), { code: 'cancelled' });
    assert.deepEqual(fs.readdirSync(options.target.rootfs), []);
  });

  it('leaks no fd, whatever happens', async () => {
    const blob = blobOf(gzipSync(raw));
    await unpackLayer(optionsOf(blob));
    const fds = openFds();
    for (let i = 0; i < 3; i++) {
      await unpackLayer(optionsOf(blob));
      await assert.rejects(unpackLayer(optionsOf(blobOf(raw.subarray(0, 5000)))));
    }
    assert.equal(openFds(), fds);
  });

  it('refuses to put a second layer into one volume of an overlay', async () => {
    const options = optionsOf(blobOf(raw));
    const target = { ...options.target, form: 'overlay' as const };
    await unpackLayer({ ...options, target });
    await assert.rejects(unpackLayer({ ...options, target }), { code: 'driver_failed' });
  });

  it('several layers at once, each in its own threads', async () => {
    const blob = blobOf(gzipSync(raw));
    const all = await Promise.all(Array.from({ length: 4 }, () => unpackLayer(optionsOf(blob))));
    assert.ok(all.every(({ entries }) => entries === 303));
  });

  it('says it plainly when the volume is full', {
    skip: isRoot ? false : 'needs root: run the tests with sudo',
  }, async () => {
    const at = folder();
    sys.mount('none', at, 'tmpfs', 0, 'size=4m');
    try {
      const rootfs = path.join(at, 'rootfs');
      fs.mkdirSync(rootfs);
      const target = { rootfs, form: 'flat' as const, lowers: [], privileged: true };
      await assert.rejects(unpackLayer({ ...optionsOf(blobOf(raw)), target }), {
        code: 'no_space',
        kind: 'recoverable',
        subject: 'large',
      });
    } finally {
      sys.umount2(at, sys.MNT_DETACH);
    }
  });

  it('a user who is not root gets what can be had, and counts of what cannot', async (t) => {
    const layer = tar(
      dir('d', { mode: 0o555, uid: 7 }),
      file('d/f', 'x', { uid: 5, mode: 0o4755 }),
      file('mine', 'x', {
        uid: 65_534,
        gid: 65_534,
        pax: {
          'SCHILY.xattr.security.capability': Buffer.from(`01000002${'00'.repeat(16)}`, 'hex'),
          'SCHILY.xattr.user.a': 'b',
        },
      }),
      { name: 'null', type: '3', major: 1, minor: 3, uid: 65_534, gid: 65_534 },
      { name: 'p', type: '6', uid: 65_534, gid: 65_534 },
      dir('.', { uid: 65_534, gid: 65_534 }),
    );
    const work = folder();
    const blob = blobOf(gzipSync(layer));
    const rootfs = path.join(work, 'rootfs');
    fs.mkdirSync(rootfs);
    const program = fileURLToPath(new URL('../../support/unpack-as.ts', import.meta.url));
    const uid = isRoot ? { uid: 65_534, gid: 65_534 } : {};
    if (isRoot) {
      fs.chownSync(rootfs, 65_534, 65_534);
      fs.chmodSync(base, 0o755);
    }
    let out = '';
    try {
      out = (await promisify(execFile)(process.execPath, [program, blob, rootfs], { ...uid, cwd: '/' }))
        .stdout;
    } catch (error) {
      if (!/EACCES|ERR_MODULE_NOT_FOUND/.test(String(error))) throw error;
      return t.skip('needs a checkout that other users can read: chmod its parent folders o+x');
    }
    const { skipped } = JSON.parse(out);
    const tree = listTree(rootfs);
    if (isRoot) assert.deepEqual(skipped, { owners: 2, devices: 1, setuid: 1, xattrs: 1 });
    assert.deepEqual([tree.get('./d')?.mode, tree.get('./d/f')?.mode], [0o555, 0o755]);
    assert.deepEqual([tree.get('./null'), tree.get('./p')?.type], [undefined, 'fifo']);
    assert.deepEqual(tree.get('./mine')?.xattrs, { 'user.a': '62' });
    if (isRoot) assert.equal(tree.get('./d/f')?.uid, 65_534);
  });
});
