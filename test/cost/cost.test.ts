import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import test, { type TestContext } from 'node:test';
import { type Family, makeFamily } from '../crash/family.ts';
import { documentOf, labFolder, openSandbox, runFlyd, runPull, type Sandbox } from '../crash/sandbox.ts';
import { whyNot } from '../support/needs.ts';
import { callsPerEntry, modules, perActivation, perPull } from './budgets.ts';
import { type Cost, costOf, observed } from './measure.ts';

// No figure here is a time: on a slow and busy machine they are the same.

const needs = {
  copy: ['strace'],
  overlay: ['strace', 'root', 'overlay'],
  erofs: ['strace', 'root', 'overlay', 'erofs'],
} as const;
const drivers = ['copy', 'overlay', 'erofs'] as const;

/** Fails when more was counted than is allowed; says both always, so that a budget that is too wide is seen. */
function within(t: TestContext, what: string, counted: number, budget: number, detail = ''): void {
  const found = Math.round(counted * 100) / 100;
  t.diagnostic(`${what}: ${found} of ${budget}`);
  assert.ok(
    counted <= budget,
    `${what}: ${found}, and ${budget} are allowed (test/cost/budgets.ts)${detail === '' ? '' : `\n${detail}`}`,
  );
}

const table = ({ byName }: Cost): string =>
  Object.entries(byName)
    .sort(([, a], [, b]) => b - a)
    .map(([name, calls]) => `${calls} ${name}`)
    .join(', ');

function familyOf(lab: string, files: number, bytes = 400_000): Family {
  const folder = join(lab, `family-${files}`);
  mkdirSync(folder);
  return makeFamily(folder, { files, bytes });
}

async function using<T>(sandbox: Promise<Sandbox>, work: (sandbox: Sandbox) => Promise<T>): Promise<T> {
  const opened = await sandbox;
  try {
    return await work(opened);
  } finally {
    await opened.close();
  }
}

const pullOf = ({ family, pullArgs }: Sandbox): string[] => ['pull', family.name, ...pullArgs];
/** The least: what shows a cost for each entry is not lost beside what a pull costs once. */
const few = 100;
const more = 1_000;

for (const driver of drivers)
  test(`${driver}: what a pull and an entry of it cost`, async (t) => {
    const why = whyNot(needs[driver]);
    if (why !== null) return t.skip(why);
    const lab = labFolder(t);
    const [small, large] = await Promise.all(
      [few, few + more].map((files) =>
        using(openSandbox(lab, familyOf(lab, files), driver), (sandbox) => costOf(sandbox, pullOf(sandbox))),
      ),
    );
    assert.ok(small !== undefined && large !== undefined);
    within(
      t,
      `${driver}: calls for an entry more`,
      (large.calls - small.calls) / more,
      callsPerEntry[driver],
      `with ${few} files: ${table(small)}\nwith ${few + more}: ${table(large)}`,
    );
    within(t, `${driver}: commits of a pull`, small.commits, perPull.commits[driver]);
    within(t, `${driver}: syncs of a pull`, small.syncs, perPull.syncs[driver], table(small));
    within(t, `${driver}: syncs of an entry more`, large.syncs - small.syncs, perPull.syncsForMore);
  });

for (const driver of drivers)
  test(`${driver}: what a pull moves, and what an activation costs`, async (t) => {
    const why = whyNot(needs[driver]);
    if (why !== null) return t.skip(why);
    const lab = labFolder(t);
    await using(openSandbox(lab, familyOf(lab, 40, 8_000_000), driver), async (sandbox) => {
      const { bytesWritten } = await observed(sandbox, pullOf(sandbox));
      const { layers } = sandbox.family;
      const stored = layers.reduce((sum, { size }) => sum + size, 0);
      const sent = sandbox.answered.reduce((sum, { bytes }) => sum + bytes, 0);
      within(t, `${driver}: bytes sent for each byte of a layer`, sent / stored, perPull.sent);
      within(
        t,
        `${driver}: bytes written for each byte of a layer`,
        bytesWritten / stored,
        perPull.written[driver],
      );

      const { name } = sandbox.family;
      const up = await costOf(sandbox, ['activate', name, '--name', 'cost']);
      const down = await costOf(sandbox, ['deactivate', 'cost']);
      within(
        t,
        `${driver}: commits of an activation and its end`,
        up.commits + down.commits,
        perActivation.commits,
      );
      within(
        t,
        `${driver}: syncs of an activation and its end`,
        up.syncs + down.syncs,
        perActivation.syncs[driver],
        `${table(up)}\n${table(down)}`,
      );
    });
  });

test('the whole image again costs no byte and no unpacking', async (t) => {
  const lab = labFolder(t);
  await using(openSandbox(lab, familyOf(lab, 40), 'copy'), async (sandbox) => {
    documentOf(await runPull(sandbox));
    sandbox.answered.length = 0;
    documentOf(await runPull(sandbox));
    const gets = sandbox.answered.filter(({ method, key }) => method === 'GET' && key !== '');
    assert.deepEqual(gets, []);
  });
});

for (const command of ['--help', 'images'] as const)
  test(`flyd ${command} loads no more than it needs`, async (t) => {
    const lab = labFolder(t);
    await using(openSandbox(lab, familyOf(lab, 1), 'copy'), async (sandbox) => {
      // So that there is a database to open.
      documentOf(await runFlyd(sandbox, ['images', '--json']));
      const { loaded } = await observed(sandbox, [command]);
      const packages = [
        ...new Set(loaded.flatMap((url) => /.*node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(url)?.[1] ?? [])),
      ].sort();
      within(t, `modules of flyd ${command}`, loaded.length, modules[command].count, loaded.join('\n'));
      assert.deepEqual(packages, modules[command].packages);
    });
  });

test('an activation loads no client of the network: that of Node alone takes 30 ms', async (t) => {
  const lab = labFolder(t);
  await using(openSandbox(lab, familyOf(lab, 1), 'copy'), async (sandbox) => {
    const pulled = await observed(sandbox, pullOf(sandbox));
    assert.ok(pulled.own.includes('node:http') && pulled.loaded.some((url) => /client-s3/.test(url)));
    const { own, loaded } = await observed(sandbox, ['activate', sandbox.family.name]);
    assert.deepEqual(
      [...own, ...loaded].filter((url) => /^node:https?$|@aws-sdk|@smithy/.test(url)),
      [],
    );
  });
});
