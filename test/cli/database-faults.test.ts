import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { lstatSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { after, before, test } from 'node:test';
import { whyNot } from '../support/needs.ts';
import { type DatabaseCase, databaseCases } from './database-cases.ts';
import { openScene, type Scene, smallFamily } from './scene.ts';
import * as shapes from './shapes.ts';

/**
 * Every command that opens the database, with everything that can be wrong with it: one error with the fix
 * in it, nothing changed, and when the cause is gone the work goes on.
 */
let scene: Scene;
let run: string;
let activation: string;
let database: Buffer;
const path = (): string => join(scene.stateDir, 'flyd.db');

before(async () => {
  scene = await openScene();
  await scene.putLayers('small', smallFamily);
  await scene.putLayers('other', smallFamily);
  const pulled = shapes.pull.parse(await scene.json(scene.pullArgs('small')));
  run = pulled.run;
  activation = pulled.activation?.id ?? '';
  database = readFileSync(path());
});
after(() => scene.close());

interface Command {
  args: string[];
  /** It only looks. */
  looks?: true;
  /** One that is tried with every fault. */
  sample?: true;
}

const commands = (): Command[] => [
  { args: scene.pullArgs('other'), sample: true },
  { args: ['activate', 'small'] },
  { args: ['deactivate', activation] },
  { args: ['rm', 'small', '--force'] },
  { args: ['gc'], sample: true },
  { args: ['pin', 'small'] },
  { args: ['resume'] },
  { args: ['db', 'backup', join(mkdtempSync(join(scene.folder, 'to-')), 'backup.db')], sample: true },
  { args: ['db', 'kept'], looks: true },
  { args: ['images'], looks: true },
  { args: ['blobs'], looks: true },
  { args: ['activations'], looks: true },
  { args: ['runs'], looks: true },
  { args: ['runs', 'show', run], looks: true },
  { args: ['runs', 'events', run], looks: true },
  { args: ['runs', 'watch', run], looks: true },
  { args: ['runs', 'retry', run] },
  { args: ['doctor', '--fix'] },
  { args: ['doctor', '--verify'], looks: true },
  { args: ['inspect', '--port', '0'] },
];

/** Every file of the state directory but those of living processes, by content; folders and other kinds by name. */
function everything(): string[] {
  const entries = readdirSync(scene.stateDir, { recursive: true, withFileTypes: true });
  return entries
    .map((entry) => join(entry.parentPath, entry.name))
    .filter((full) => !/\/(owners|progress|log)\/|-(wal|shm)$/.test(full))
    .map((full) => {
      const isFile = lstatSync(full).isFile();
      const content = isFile ? createHash('sha256').update(readFileSync(full)).digest('hex') : 'other';
      return `${relative(scene.stateDir, full)} ${content}`;
    })
    .sort();
}

const mounts = (): string[] =>
  readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .filter((line) => line.includes(scene.mountRoot));

async function judge({ args, looks }: Command, { code, hint, works }: DatabaseCase): Promise<void> {
  const what = args.slice(0, 2).join(' ');
  const ended = await scene.flyd([...args, '--json', '--timeout', 'databaseMs=400']);
  assert.doesNotMatch(ended.stderr, /^\s+at /m, `${what}: ${ended.stderr}`);
  if (works === 'looking' && (looks === true || args[1] === 'backup')) {
    assert.equal(ended.code, 0, `${what}: ${ended.stdout}${ended.stderr}`);
    return;
  }
  assert.equal(ended.code, 1, `${what}: ${ended.code} ${ended.signal} ${ended.stdout}${ended.stderr}`);
  const { error } = shapes.failure.parse(JSON.parse(ended.stdout));
  assert.equal(error.code, code, `${what}: ${ended.stdout}`);
  assert.match(error.hint ?? '', hint, what);
  assert.match(error.subject ?? '', new RegExp(`^${scene.stateDir}`), what);
}

async function tellsPeople({ code }: DatabaseCase): Promise<void> {
  const { stderr } = await scene.flyd(['runs', 'cancel', run, '--timeout', 'databaseMs=400']);
  const [error, hint, ...more] = stderr.trimEnd().split('\n');
  assert.match(error ?? '', new RegExp(`^flyd: .*\\[(${code}|run_not_active)\\]$`));
  assert.match(hint ?? '', /^hint: /);
  assert.deepEqual(more, []);
}

async function doctorSees({ works }: DatabaseCase): Promise<void> {
  const { stdout } = await scene.flyd(['doctor', '--json', '--timeout', 'databaseMs=400']);
  const { checks } = JSON.parse(stdout) as {
    checks: { check: string; verdict: string; fix: string | null }[];
  };
  const broken = checks.filter(({ verdict }) => verdict === 'broken');
  assert.equal(broken.length, works === 'looking' ? 0 : 1, stdout);
  for (const { check, fix } of broken) assert.ok(check === 'database' && fix !== null, stdout);
}

for (const each of databaseCases)
  test(each.title, async (t) => {
    const reason = whyNot(each.needs ?? []);
    if (reason !== null) return t.skip(reason);
    const mend = await each.spoil(path(), scene.stateDir);
    const [files, mounted] = [everything(), mounts()];
    try {
      const tried = commands().filter(({ sample }) => each.everyCommand === true || sample === true);
      await Promise.all([
        ...tried.map((command) => judge(command, each)),
        tellsPeople(each),
        doctorSees(each),
      ]);
      assert.deepEqual(everything(), files, 'nothing is changed');
      assert.deepEqual(mounts(), mounted);
    } finally {
      if (mend !== undefined) {
        mend();
        await new Promise((gone) => setTimeout(gone, 100));
      } else {
        for (const suffix of ['', '-wal', '-shm'])
          rmSync(`${path()}${suffix}`, { recursive: true, force: true });
        writeFileSync(path(), database, { mode: 0o600 });
      }
    }
    const { violations } = await scene.json<{ violations: unknown[] }>(['doctor', '--verify']);
    assert.deepEqual(violations, [], 'when the cause is gone, all is as it was');
    database = readFileSync(path());
  });
