import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, realpathSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { whyNot } from '../support/needs.ts';
import * as shapes from './shapes.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
const folder = mkdtempSync(join(realpathSync(tmpdir()), 'flyd-demo-'));
const demo = ['bin/run.js', 'scripts/demo.ts'];

interface Place {
  /** Working directory, where results.json comes to be. */
  cwd: string;
  run(args: string[]): { status: number | null; stdout: string; stderr: string };
}

after(() => {
  for (const place of [mine, nobodys]) if (existsSync(place.cwd)) place.run(['--clean']);
  rmSync(folder, { recursive: true, force: true });
});

const mine: Place = {
  cwd: join(folder, 'mine'),
  run: (args) =>
    spawnSync(
      process.execPath,
      [...demo.map((path) => join(root, path)), '--dir', join(mine.cwd, 'demo'), ...args],
      {
        cwd: mine.cwd,
        encoding: 'utf8',
      },
    ),
};

/** The same as nobody, who sees the checkout at a place that anybody may go to. */
const nobodys: Place = {
  cwd: join(folder, 'nobodys'),
  run: (args) => {
    const checkout = join(folder, 'checkout');
    // The new namespace has copies of what the tests beside this one have mounted: they are let go at once.
    const script = `grep -o '${tmpdir()}/flyd-[^ ]*' /proc/self/mounts | xargs -r umount --lazy --quiet || true
      mount --bind "$1" "$2" && cd "$3" && shift 3 &&
      exec setpriv --reuid=65534 --regid=65534 --clear-groups "$@"`;
    const node = process.execPath.replace(root, `${checkout}/`);
    const command = [
      node,
      ...demo.map((path) => join(checkout, path)),
      '--dir',
      join(nobodys.cwd, 'demo'),
      ...args,
    ];
    return spawnSync(
      'unshare',
      ['--mount', 'sh', '-ec', script, 'sh', root, checkout, nobodys.cwd, ...command],
      {
        encoding: 'utf8',
      },
    );
  },
};

function showsEverything({ cwd, run }: Place): void {
  const first = run([]);
  assert.equal(first.status, 0, first.stdout + first.stderr);
  assert.match(first.stdout, /\| Hello from 'hello': Node v24/);
  assert.match(first.stdout, /\/etc\/motd is gone/);
  assert.match(first.stdout, /has only: fresh$/m);
  assert.match(first.stdout, /has 2 names/);
  assert.match(first.stdout, /'counter' has run 2 times in this snapshot/);
  assert.match(first.stdout, /What to try next:/);
  assert.doesNotMatch(first.stdout, /WRONG/);
  const document = shapes.pull.parse(JSON.parse(readFileSync(join(cwd, 'results.json'), 'utf8')));
  assert.equal(document.status, 'done');
  assert.ok(document.bytes.fetched > 1_000_000);

  const second = run([]);
  assert.equal(second.status, 0, second.stdout + second.stderr);
  const again = shapes.pull.parse(JSON.parse(readFileSync(join(cwd, 'results.json'), 'utf8')));
  assert.equal(again.bytes.fetched, 0);
  assert.equal(again.base?.reused, true);
  assert.match(second.stdout, /'counter' has run 1 time in this snapshot/);

  assert.equal(run(['--clean']).status, 0);
  assert.equal(existsSync(join(cwd, 'demo')), false);
}

test('the demo runs a program in what it pulled, shows the reuse the second time, and cleans up', () => {
  mkdirSync(mine.cwd);
  showsEverything(mine);
});

test('the same works for a user without any right', (t) => {
  const reason = whyNot(['root', 'setpriv', 'unshare', 'mount']);
  if (reason !== null) return t.skip(reason);
  chmodSync(folder, 0o755);
  mkdirSync(join(folder, 'checkout'));
  mkdirSync(nobodys.cwd);
  chmodSync(nobodys.cwd, 0o1777);
  showsEverything(nobodys);
});
