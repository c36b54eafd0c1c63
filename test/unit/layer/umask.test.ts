import assert from 'node:assert/strict';
import fs from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { LayerStack } from '../../support/layer-stack.ts';
import { dir, file, tar } from '../../support/tar-builder.ts';

const modes = [0o644, 0o600, 0o755, 0o777, 0o000, 0o4755, 0o2711, 0o1666];

for (const umask of [0o000, 0o022, 0o077, 0o777])
  test(`files have the mode of their entry under the umask ${umask.toString(8)}`, (t) => {
    const stack = new LayerStack();
    const before = process.umask(umask);
    t.after(() => {
      process.umask(before);
      stack.remove();
    });
    const entries = modes.map((mode) => file(`d/${mode}`, 'x', { mode }));
    const { rootfs } = stack.flat([tar(dir('d', { mode: 0o750 }), ...entries)]);
    for (const mode of modes) {
      const shown = fs.lstatSync(join(rootfs, 'd', String(mode))).mode & 0o7777;
      // Without its owner, a set-uid program would run as whoever unpacked it.
      assert.equal(shown, process.getuid?.() === 0 ? mode : mode & ~0o6000, mode.toString(8));
    }
  });
