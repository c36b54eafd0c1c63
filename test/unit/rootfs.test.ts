import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  linkSync,
  lutimesSync,
  mkdtempSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type TestContext } from 'node:test';
import { diffRootfs, readRootfs } from '../support/rootfs.ts';

/** Two folders with the same content, the second changed by `change`; the differences found. */
function differences(t: TestContext, change: (folder: string) => void): string[] {
  const make = (): string => {
    const folder = mkdtempSync(join(tmpdir(), 'flyd-rootfs-'));
    t.after(() => rmSync(folder, { recursive: true }));
    writeFileSync(join(folder, 'file'), 'content');
    writeFileSync(join(folder, 'single'), 'content');
    linkSync(join(folder, 'file'), join(folder, 'same'));
    symlinkSync('file', join(folder, 'link'));
    return folder;
  };
  const settle = (folder: string): void => {
    for (const name of ['file', 'single', 'same', '.']) utimesSync(join(folder, name), 1, 1);
    lutimesSync(join(folder, 'link'), 1, 1);
  };
  const [one, other] = [make(), make()];
  settle(one);
  settle(other);
  change(other);
  utimesSync(other, 1, 1);
  return diffRootfs(readRootfs(one), readRootfs(other)).map((line) => line.split(':')[0] ?? '');
}

test('the same is the same', (t) => {
  assert.deepEqual(
    differences(t, () => {}),
    [],
  );
});

test('each property of an entry counts', (t) => {
  const changes: Record<string, [(folder: string) => void, string[]]> = {
    mode: [(folder) => chmodSync(join(folder, 'single'), 0o4711), ['single']],
    time: [(folder) => utimesSync(join(folder, 'single'), 1, 1.5), ['single']],
    extra: [(folder) => symlinkSync('x', join(folder, 'more')), ['more']],
    missing: [(folder) => rmSync(join(folder, 'single')), ['single']],
    content: [
      (folder) => {
        writeFileSync(join(folder, 'single'), 'CONTENT');
        utimesSync(join(folder, 'single'), 1, 1);
      },
      ['single'],
    ],
    target: [
      (folder) => {
        rmSync(join(folder, 'link'));
        symlinkSync('same', join(folder, 'link'));
        lutimesSync(join(folder, 'link'), 1, 1);
      },
      ['link'],
    ],
    'hard links': [
      (folder) => {
        rmSync(join(folder, 'same'));
        writeFileSync(join(folder, 'same'), 'content');
        utimesSync(join(folder, 'same'), 1, 1);
      },
      ['same'],
    ],
    attributes: [
      (folder) => spawnSync('setfattr', ['-n', 'user.x', '-v', 'y', join(folder, 'single')]),
      ['single'],
    ],
  };
  for (const [what, [change, expected]] of Object.entries(changes))
    assert.deepEqual(differences(t, change), expected, what);
});
