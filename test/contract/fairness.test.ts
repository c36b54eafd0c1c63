import assert from 'node:assert/strict';
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import Database from 'better-sqlite3';

const committer = fileURLToPath(new URL('committer.ts', import.meta.url));
/** Fewer commits than these would be shared out by chance. */
const commitsEach = 100;
const lastsMs = { min: 1_500, max: 20_000 };

/** How many rows there are. */
function commitsIn(path: string): number {
  const db = new Database(path, { readonly: true });
  try {
    return (db.prepare('SELECT count(*) AS n FROM crowd').get() as { n: number }).n;
  } finally {
    db.close();
  }
}

async function sharesOf(processes: number, path: string): Promise<number[]> {
  const children: ChildProcess[] = [];
  try {
    for (let n = 0; n < processes; n += 1) children.push(fork(committer, [path]));
    await Promise.all(children.map((child) => once(child, 'message')));
    for (const child of children) child.send('go');
    const begun = performance.now();
    await sleep(lastsMs.min);
    while (commitsIn(path) < processes * commitsEach && performance.now() - begun < lastsMs.max)
      await sleep(200);
    const told = children.map((child) => once(child, 'message'));
    for (const child of children) child.send('stop');
    return (await Promise.all(told)).map(([commits]) => Number(commits));
  } finally {
    for (const child of children) child.kill('SIGKILL');
  }
}

// SQLite's own busy handler gives one of four processes 23,703 commits and another one.
for (const processes of [2, 4, 16])
  test(`${processes} processes that commit without a pause all get their share`, async (t) => {
    const folder = mkdtempSync(join(tmpdir(), 'flyd-fair-'));
    t.after(() => rmSync(folder, { recursive: true, force: true }));
    // How the kernel shares out the processors is not SQLite's doing: the best of three counts.
    let best = 0;
    for (let round = 0; round < 3 && best < 0.5; round += 1) {
      const shares = await sharesOf(processes, join(folder, `${round}.db`));
      const mean = shares.reduce((sum, share) => sum + share, 0) / processes;
      best = Math.max(best, Math.min(...shares) / mean);
      t.diagnostic(
        `${shares.join(' ')}: the least is ${best.toFixed(2)} of the mean, ${Math.round(mean * processes)} in all`,
      );
    }
    assert.ok(best >= 0.5, `the least share is ${best.toFixed(2)} of the mean`);
  });
