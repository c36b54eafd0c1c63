import assert from 'node:assert/strict';
import fs from 'node:fs';
import { describe, it } from 'node:test';
import { removeEntry } from '#infra/layer/remove';
import * as sys from '#infra/sys';
import { isRoot, LayerStack } from '../support/layer-stack.ts';
import { dir, file, gnuLong, hardlink, opaque, tar } from '../support/tar-builder.ts';

const part = 'd'.repeat(200);
const depth = 60;
const deep = Array.from({ length: depth }, () => part).join('/');

/** Opens the deepest directory part by part: no path of the kernel is long enough for it. */
function openDeep(rootfs: string): number {
  let fd = sys.openat(sys.AT_FDCWD, rootfs, sys.O_RDONLY | sys.O_DIRECTORY | sys.O_CLOEXEC);
  for (let i = 0; i < depth; i++) {
    const next = sys.openat(fd, part, sys.O_RDONLY | sys.O_DIRECTORY | sys.O_NOFOLLOW | sys.O_CLOEXEC);
    sys.close(fd);
    fd = next;
  }
  return fd;
}

function namesAndMode(rootfs: string) {
  const fd = openDeep(rootfs);
  try {
    const names = sys.readdirAt(fd).map((entry) => entry.name.toString());
    return { names: names.sort(), mode: sys.fstat(fd).mode & 0o7777, mtime: sys.fstat(fd).mtimeSec };
  } finally {
    sys.close(fd);
  }
}

function removeDeep(rootfs: string): void {
  const fd = sys.openat(sys.AT_FDCWD, rootfs, sys.O_RDONLY | sys.O_DIRECTORY | sys.O_CLOEXEC);
  try {
    for (const { name } of sys.readdirAt(fd)) removeEntry(fd, name, isRoot);
  } finally {
    sys.close(fd);
  }
}

/** Rule 57: paths of 12,000 bytes, three times PATH_MAX; rule 58: no recursion, few fds. */
describe('very deep trees', () => {
  const at = (name: string) => gnuLong('L', `${deep}/${name}`);
  const low = tar(at(''), dir('x', { mode: 0o711, mtime: 5 }), at('a'), file('x'), at('b'), file('x'));
  const top = tar(
    at('c'),
    file('x'),
    at('.wh.a'),
    file('x'),
    at('e'),
    gnuLong('K', `${deep}/b`),
    hardlink('x', ''),
  );

  it('are filled, changed and removed in flat form', () => {
    const stack = new LayerStack();
    const { rootfs } = stack.flat([low, top]);
    assert.deepEqual(namesAndMode(rootfs), { names: ['b', 'c', 'e'], mode: 0o711, mtime: 5n });
    removeDeep(rootfs);
    assert.deepEqual(fs.readdirSync(rootfs), []);
    stack.remove();
  });

  it('are filled, changed and removed in the form of overlay', () => {
    const stack = new LayerStack();
    const { lowers } = stack.overlay([low, top]);
    const [upper, lower] = lowers;
    assert.ok(upper !== undefined && lower !== undefined);
    assert.deepEqual(namesAndMode(upper), { names: ['a', 'b', 'c', 'e'], mode: 0o711, mtime: 5n });
    for (const rootfs of lowers) removeDeep(rootfs);
    stack.remove();
  });

  it('go in one blow, by a file, a whiteout or an opaque mark', () => {
    const stack = new LayerStack();
    for (const second of [
      tar(gnuLong('L', part), file('x')),
      tar(gnuLong('L', `.wh.${part}`), file('x')),
      tar(opaque('')),
    ]) {
      const { rootfs } = stack.flat([low, second]);
      assert.ok(fs.readdirSync(rootfs).every((name) => fs.statSync(`${rootfs}/${name}`).isFile()));
    }
    stack.remove();
  });

  it('a directory of many levels is finished with few fds', () => {
    const stack = new LayerStack();
    const narrow = Array.from({ length: 1000 }, () => 'n').join('/');
    const { rootfs } = stack.flat([tar(gnuLong('L', `${narrow}/leaf`), file('x'))]);
    assert.ok(fs.existsSync(`${rootfs}/${narrow}/leaf`));
    removeDeep(rootfs);
    stack.remove();
  });
});
