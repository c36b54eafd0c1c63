import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { defaultLimits } from '#core/limits';
import { applyToImage } from '#infra/erofs/apply';
import { DataArea } from '#infra/erofs/data-area';
import { blockBytes } from '#infra/erofs/format';
import { type ImageNode, makeImageNode } from '#infra/erofs/node';
import { finishPart, makePart } from '#infra/erofs/part';
import { ErofsImage, type Inode } from '#infra/erofs/read';
import { finishImage } from '#infra/erofs/write';
import { BlockReader, sourceOf } from '#infra/layer/source';
import { dir, file, hardlink, symlink, tar, whiteout } from '../support/tar-builder.ts';

const has = (command: string): boolean =>
  spawnSync('sh', ['-c', `command -v ${command}`], { stdio: 'ignore' }).status === 0;
const skipTools = has('fsck.erofs') ? false : 'fsck.erofs is missing: apt-get install erofs-utils';
const skipRoot = process.getuid?.() === 0 ? false : 'mounting needs root';

const attributes = { mode: 0o755, uid: 0, gid: 0, mtime: { sec: 1_700_000_000, nsec: 123_456_789 } };
const bodyOf = (bytes: Buffer) => {
  let at = 0;
  return (max: number): Buffer => {
    const piece = bytes.subarray(at, at + Math.min(max, 7000));
    at += piece.length;
    return piece;
  };
};
/** Revision 2, cap_net_raw permitted (linux/capability.h, struct vfs_cap_data). */
const capability = Buffer.from('0100000200200000000000000000000000000000', 'hex');
const xattr = (name: string, value: string) => ({ name: Buffer.from(name), value: Buffer.from(value) });

/** A tree with everything that the format has a case for. */
function everything(area: DataArea): { root: ImageNode; files: Map<string, Buffer> } {
  const files = new Map<string, Buffer>();
  const file = (path: string, bytes: Buffer, more: Partial<ImageNode> = {}): ImageNode => {
    files.set(path, bytes);
    const data = area.file(bytes.length, bodyOf(bytes));
    return makeImageNode({ type: 'file', ...attributes, mode: 0o644, data, ...more });
  };
  const children = new Map<string, ImageNode>();
  for (const size of [0, 1, 4095, 4096, 4097, 3_000_000])
    children.set(`f${size}`, file(`f${size}`, Buffer.alloc(size, `${size}.`)));
  const linked = file('link-a', Buffer.from('two names'), {
    links: 2,
    mode: 0o4755,
    uid: 2 ** 31 + 5,
    gid: 70_000,
  });
  children.set('link-a', linked).set('link-b', linked);
  files.set('link-b', Buffer.from('two names'));
  const holes = [
    { offset: 0, length: 10 },
    { offset: 8000, length: 500 },
    { offset: 1_000_000, length: 70_000 },
  ];
  const sparse = Buffer.alloc(2_000_000);
  for (const { offset, length } of holes) sparse.fill('s', offset, offset + length);
  const stored = Buffer.concat(holes.map(({ offset, length }) => sparse.subarray(offset, offset + length)));
  files.set('sparse', sparse);
  children.set(
    'sparse',
    makeImageNode({
      type: 'file',
      ...attributes,
      data: area.sparseFile(sparse.length, holes, bodyOf(stored)),
    }),
  );
  const terabytes = area.sparseFile(2 ** 43, [{ offset: 2 ** 42, length: 3 }], bodyOf(Buffer.from('far')));
  children.set('terabytes', makeImageNode({ type: 'file', ...attributes, data: terabytes }));
  children.set(
    'link',
    makeImageNode({ type: 'symlink', ...attributes, mode: 0o777, target: Buffer.from('f4096') }),
  );
  children.set(
    'long',
    makeImageNode({ type: 'symlink', ...attributes, mode: 0o777, target: Buffer.alloc(4000, 'x/') }),
  );
  children.set('fifo', makeImageNode({ type: 'fifo', ...attributes }));
  children.set('null', makeImageNode({ type: 'char', ...attributes, mode: 0o666, major: 1, minor: 3 }));
  children.set('disk', makeImageNode({ type: 'block', ...attributes, major: 0xabc, minor: 0xfedcb }));
  children.set('gone', makeImageNode({ type: 'char', ...attributes, mode: 0 }));
  children.set('old', file('old', Buffer.from('old'), { mtime: { sec: -5, nsec: 500_000_000 } }));
  children.set('future', file('future', Buffer.from('new'), { mtime: { sec: 2 ** 33, nsec: 1 } }));
  const named = [
    xattr('user.a', '1'),
    xattr('trusted.overlay.opaque', 'y'),
    { name: Buffer.from('security.capability'), value: capability },
    xattr('user.big', 'v'.repeat(5000)),
  ];
  children.set('xattrs', makeImageNode({ type: 'dir', ...attributes, mode: 0o1777, xattrs: named }));
  const many = new Map<string, ImageNode>();
  for (let index = 0; index < 3000; index++) many.set(`${'n'.repeat(index % 200)}${index}`, linked);
  linked.links += many.size;
  children.set('many', makeImageNode({ type: 'dir', ...attributes, children: many }));
  children.set('\xff\xfe bytes\n', file('bytes', Buffer.from('no UTF-8')));
  let deep = makeImageNode({ type: 'dir', ...attributes });
  for (let depth = 0; depth < 600; depth++)
    deep = makeImageNode({ type: 'dir', ...attributes, children: new Map([['d', deep]]) });
  children.set('deep', deep);
  return { root: makeImageNode({ type: 'dir', ...attributes, children }), files };
}

const mountAt = (folder: string): boolean =>
  fs.readFileSync('/proc/self/mountinfo', 'utf8').includes(` ${folder}/mnt `);

function makeImage(t: { after(fn: () => void): void }) {
  const folder = fs.mkdtempSync(join(tmpdir(), 'flyd-erofs-'));
  const path = join(folder, 'image');
  const fd = fs.openSync(path, 'wx+');
  t.after(() => {
    fs.closeSync(fd);
    if (mountAt(folder)) execFileSync('umount', [join(folder, 'mnt')]);
    fs.rmSync(folder, { recursive: true, force: true });
  });
  const area = new DataArea(fd, blockBytes);
  const made = everything(area);
  const { inodes } = finishImage(fd, area, made.root, Buffer.alloc(16, 7));
  return { folder, path, fd, inodes, ...made };
}

test('a part that is finished later is the same image, byte for byte', (t) => {
  const folder = fs.mkdtempSync(join(tmpdir(), 'flyd-erofs-'));
  t.after(() => fs.rmSync(folder, { recursive: true, force: true }));
  const blocksOf = (raw: Buffer) => new BlockReader(sourceOf(raw, 999));
  const lower = join(folder, 'lower');
  const below = tar(dir('usr/lib'), symlink('lib', 'usr/lib'), file('usr/lib/a', 'below', { mode: 0o4755 }));
  applyToImage(blocksOf(below), { form: 'image', path: lower, lowers: [] }, defaultLimits);
  // Through a link of the layer below, linked to its file, over a directory that only it names.
  const files = Array.from({ length: 1500 }, (_, n) => file(`lib/f${n}`, `${n}`.repeat(n)));
  const raw = tar(...files, hardlink('up', 'usr/lib/a'), whiteout('usr/lib/a'), {
    name: 'usr/fifo',
    type: '6',
  });
  const target = { form: 'image', path: join(folder, 'image'), lowers: [lower] } as const;
  const direct = applyToImage(blocksOf(raw), target, defaultLimits);
  const wanted = fs.readFileSync(target.path);
  fs.rmSync(target.path);
  makePart(blocksOf(raw), target.path, defaultLimits, () => {});
  assert.ok(!fs.readFileSync(target.path).equals(wanted));
  const finished = finishPart(target, defaultLimits);
  assert.ok(fs.readFileSync(target.path).equals(wanted));
  assert.deepEqual([finished.entries, finished.bytes], [direct.entries, direct.bytes]);
  assert.deepEqual(finished.report.warnings, direct.report.warnings);
  // What is no part any more is said to be damaged, and can be tried again from the blob.
  assert.throws(() => finishPart(target, defaultLimits), { code: 'volume_damaged', kind: 'recoverable' });
});

test('fsck.erofs accepts an image of everything', { skip: skipTools }, (t) => {
  const { path, inodes } = makeImage(t);
  // Without extracting: it would write out eight terabytes.
  const { status, stdout, stderr } = spawnSync('fsck.erofs', ['-d9', path], { encoding: 'utf8' });
  assert.equal(status, 0, `${stdout}${stderr}`);
  const dumped = execFileSync('dump.erofs', [path], { encoding: 'utf8' });
  assert.match(dumped, new RegExp(`inode count:\\s+${inodes}`));
});

test('the kernel shows what was written', { skip: skipRoot }, (t) => {
  const { folder, path, files, root } = makeImage(t);
  const at = join(folder, 'mnt');
  fs.mkdirSync(at);
  execFileSync('mount', ['-t', 'erofs', '-o', 'ro,loop', path, at]);
  for (const [name, bytes] of files) {
    const real = name === 'bytes' ? Buffer.from(`${at}/\xff\xfe bytes\n`, 'latin1') : `${at}/${name}`;
    assert.ok(fs.readFileSync(real).equals(bytes), name);
  }
  const many = fs.readdirSync(`${at}/many`);
  assert.equal(many.length, 3000);
  assert.deepEqual(new Set(many), new Set(root.children.get('many')?.children.keys()));
  for (const name of many) assert.equal(fs.lstatSync(`${at}/many/${name}`).nlink, 3002);
  const stat = (name: string) => fs.lstatSync(`${at}/${name}`, { bigint: true });
  assert.equal(stat('link-a').mode & 0o7777n, 0o4755n);
  assert.deepEqual([stat('link-a').uid, stat('link-a').gid], [2n ** 31n + 5n, 70_000n]);
  assert.equal(stat('f1').mtimeNs, 1_700_000_000_123_456_789n);
  assert.equal(stat('old').mtimeNs, -4_500_000_000n);
  assert.equal(stat('future').mtimeNs, 2n ** 33n * 1_000_000_000n + 1n);
  assert.equal(fs.readlinkSync(`${at}/long`).length, 4000);
  assert.equal(fs.readlinkSync(`${at}/link`), 'f4096');
  const devices = execFileSync('stat', ['-c', '%F %Hr:%Lr', 'null', 'disk', 'gone', 'fifo'], {
    cwd: at,
    encoding: 'utf8',
  });
  assert.deepEqual(devices.trim().split('\n'), [
    'character special file 1:3',
    'block special file 2748:1043915',
    'character special file 0:0',
    'fifo 0:0',
  ]);
  const xattrs = execFileSync('getfattr', ['-d', '-m', '-', '--absolute-names', 'xattrs'], {
    cwd: at,
    encoding: 'utf8',
  });
  for (const line of [
    `security.capability=0s${capability.toString('base64')}`,
    'trusted.overlay.opaque="y"',
    'user.a="1"',
    `user.big="${'v'.repeat(5000)}"`,
  ])
    assert.ok(xattrs.includes(line), line);
  assert.equal(stat('terabytes').size, 2n ** 43n);
  const far = Buffer.alloc(3);
  const fd = fs.openSync(`${at}/terabytes`, 'r');
  fs.readSync(fd, far, 0, 3, 2 ** 42);
  fs.closeSync(fd);
  assert.equal(far.toString(), 'far');
  assert.ok(fs.statSync(path).blocks * 512 < 16 * 1024 * 1024, 'holes cost nothing on the disk either');
  assert.ok(fs.existsSync(`${at}/deep${'/d'.repeat(600)}`));
});

test('the reader gives back what was written', (t) => {
  const { fd, files, root } = makeImage(t);
  const image = new ErofsImage(fd);
  const compare = (inode: Inode, node: ImageNode): void => {
    const { mode, uid, gid, mtime } = node;
    assert.deepEqual(
      { mode: inode.mode & 0o7777, uid: inode.uid, gid: inode.gid, mtime: inode.mtime },
      { mode, uid, gid, mtime },
    );
    assert.deepEqual(inode.xattrs, node.xattrs);
    assert.deepEqual([inode.major, inode.minor], [node.major, node.minor]);
    if (node.type !== 'dir') assert.equal(inode.links, node.links);
    else {
      const entries = image.entries(inode).map(({ name }) => name.toString('latin1'));
      assert.deepEqual(new Set(entries), new Set(node.children.keys()));
    }
  };
  compare(image.root, root);
  for (const [name, node] of root.children) {
    const found = image.lookup(image.root, Buffer.from(name, 'latin1'));
    assert.ok(found, name);
    compare(found, node);
    if (node.type === 'symlink') assert.ok(image.content(found).equals(node.target));
    for (const [below, child] of node.children) {
      const inode = image.lookup(found, Buffer.from(below, 'latin1'));
      assert.ok(inode, below);
      compare(inode, child);
    }
  }
  assert.equal(image.lookup(image.root, Buffer.from('absent')), null);
  for (const [name, bytes] of files) {
    const found = image.lookup(
      image.root,
      name === 'bytes' ? Buffer.from('\xff\xfe bytes\n', 'latin1') : Buffer.from(name),
    );
    const whole = Buffer.alloc(bytes.length);
    for (const { offset, length, at } of found === null ? [] : image.extents(found))
      fs.readSync(fd, whole, offset, length, at);
    assert.ok(whole.equals(bytes), name);
  }
});
