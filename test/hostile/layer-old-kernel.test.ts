import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import test from 'node:test';
import { fileURLToPath } from 'node:url';
import { whyNot } from '../support/needs.ts';
import { file, tar } from '../support/tar-builder.ts';

/**
 * Before Linux 5.6 there is no openat2, and old sandboxes forbid it: strace plays both. Without it the
 * promise of open-below.ts cannot be kept, so nothing is unpacked.
 */
const program = fileURLToPath(new URL('../support/unpack-as.ts', import.meta.url));

for (const errno of ['ENOSYS', 'EPERM'])
  test(`without openat2 (${errno}) a layer is refused before anything is written`, (t) => {
    const missing = whyNot(['strace']);
    if (missing !== null) return t.skip(missing);
    const base = fs.mkdtempSync(path.join(os.tmpdir(), 'flyd-old-'));
    const [blob, rootfs] = [path.join(base, 'blob'), path.join(base, 'rootfs')];
    fs.writeFileSync(blob, tar(file('a')));
    fs.mkdirSync(rootfs);
    try {
      const inject = [
        '-f',
        '-qq',
        '-o',
        '/dev/null',
        '-e',
        'trace=openat2',
        '-e',
        `inject=openat2:error=${errno}`,
      ];
      const args = [process.execPath, program, blob, rootfs];
      const { status, stderr } = spawnSync('strace', [...inject, ...args], { encoding: 'utf8' });
      assert.notEqual(status, 0);
      assert.match(stderr, /openat2 is missing: layers cannot be unpacked safely/);
      assert.match(stderr, /driver_unavailable/);
      assert.match(stderr, /seccomp/);
      assert.deepEqual(fs.readdirSync(rootfs), []);
    } finally {
      fs.rmSync(base, { recursive: true });
    }
  });
