import assert from 'node:assert/strict';
import { type SpawnSyncReturns, spawnSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';

// What a user gets: the packed package, installed by npm, run by whatever Node the machine has.

const root = fileURLToPath(new URL('../..', import.meta.url));
const scratch = mkdtempSync(join(realpathSync(tmpdir()), 'flyd-package-'));
const prefix = join(scratch, 'global');
const project = join(scratch, 'project');
const home = join(scratch, 'home');
const flyd = join(prefix, 'bin', 'flyd');
let tarball = '';
const own = '@flyd/flyd';
const quoted = `'${own}/engine'`;

/** A machine's own PATH: without what npm puts in front of it, which holds the pinned Node. */
const machinePath = (process.env.PATH ?? '')
  .split(delimiter)
  .filter((folder) => !folder.includes('node_modules'))
  .join(delimiter);
const environment = { PATH: machinePath, HOME: home };

type Outcome = SpawnSyncReturns<string>;

const run = (command: string, args: string[], cwd: string, extra: Record<string, string> = {}): Outcome =>
  spawnSync(command, args, { cwd, encoding: 'utf8', env: { ...environment, ...extra } });

function succeed(outcome: Outcome): string {
  assert.equal(outcome.status, 0, `${outcome.error?.message ?? ''}\n${outcome.stdout}\n${outcome.stderr}`);
  return outcome.stdout;
}

/** npm as the machine has it: its cache, registry, proxy and certificates. */
function npm(args: string[], cwd: string): string {
  const { NODE_TEST_CONTEXT: _, ...machine } = process.env;
  const env = { ...machine, PATH: machinePath };
  const all = [...args, '--no-audit', '--no-fund', '--prefer-offline'];
  return succeed(spawnSync('npm', all, { cwd, encoding: 'utf8', env }));
}

before(() => {
  for (const folder of [prefix, project, home]) mkdirSync(folder);
  const packed = npm(['pack', '--pack-destination', scratch, '--json'], root);
  // The build speaks first on stdout with some versions of npm.
  const [{ filename }] = JSON.parse(packed.slice(packed.indexOf('['))) as [{ filename: string }];
  tarball = join(scratch, filename);
  npm(['install', '--global', '--prefix', prefix, tarball], scratch);
  writeFileSync(
    join(project, 'package.json'),
    JSON.stringify({ name: 'a-user', private: true, type: 'module' }),
  );
  npm(['install', tarball, 'xstate@5'], project);
});

after(() => rmSync(scratch, { recursive: true, force: true }));

test('the package holds what is run and read, and no sources or tests', () => {
  const names = succeed(run('tar', ['-tzf', tarball], scratch)).split('\n');
  for (const wanted of [
    'bin/flyd',
    'bin/flyd.js',
    'dist/bundle/main.js',
    'dist/web/index.html',
    'dist/web/app.js',
    'dist/web/app.css',
    'dist/engine/index.d.ts',
    'README.md',
    'docs/engine.md',
  ])
    assert.ok(names.includes(`package/${wanted}`), wanted);
  const sources = names.filter((name) => /(?<!\.d)\.ts$/.test(name) || name.startsWith('package/test/'));
  assert.deepEqual(sources, []);
});

test('the installed command runs on the pinned Node, whatever the machine has', () => {
  const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string };
  assert.equal(succeed(run(flyd, ['--version'], scratch)).trim(), version);
  assert.match(succeed(run(flyd, ['--help'], scratch)), /Usage: flyd/);
  const state = join(scratch, 'state');
  const doctor = JSON.parse(succeed(run(flyd, ['doctor', '--json', '--state-dir', state], scratch))) as {
    checks: { check: string; says: string }[];
  };
  const node = doctor.checks.find(({ check }) => check === 'node');
  assert.equal(node?.says, process.version, 'the tests run on the pinned one');
});

test('the installed command works: workers, natives and the S3 client find their files', () => {
  const buckets = join(scratch, 'buckets');
  mkdirSync(join(buckets, 'images', 'tiny', 'etc'), { recursive: true });
  writeFileSync(join(buckets, 'images', 'tiny', 'etc', 'motd'), 'hello from the layer\n');
  succeed(run('tar', ['-czf', '../1.tar.gz', 'etc'], join(buckets, 'images', 'tiny')));
  rmSync(join(buckets, 'images', 'tiny'), { recursive: true });
  mkdirSync(join(buckets, 'images', 'tiny'));
  succeed(run('mv', ['1.tar.gz', 'tiny/'], join(buckets, 'images')));
  const loaded = join(scratch, 'loaded.json');
  const watch = join(scratch, 'watch.mjs');
  writeFileSync(
    watch,
    `import { isMainThread } from 'node:worker_threads';
     import { writeFileSync } from 'node:fs';
     process.on('exit', () => isMainThread && writeFileSync(${JSON.stringify(loaded)}, JSON.stringify(process.moduleLoadList)));`,
  );
  const script = `
    "$1" s3 serve "$2" --port 0 --json > "$3/endpoint.json" & server=$!
    while ! [ -s "$3/endpoint.json" ]; do sleep 0.05; done
    endpoint=$(sed -n 's/.*"endpoint": "\\(.*\\)".*/\\1/p' "$3/endpoint.json")
    NODE_OPTIONS="--import $4" "$1" pull tiny --source s3://images --endpoint "$endpoint" --anonymous --driver copy \\
      --state-dir "$3/state" --mount-root "$3/mnt" --no-activate --json; code=$?
    kill $server; wait $server
    exit $code`;
  const pulled = succeed(run('sh', ['-c', script, 'sh', flyd, buckets, scratch, watch], scratch));
  const { status, base } = JSON.parse(pulled) as { status: string; base: { id: string } };
  assert.equal(status, 'done');
  const motd = join(scratch, 'state/volumes/copy', base.id, 'rootfs/etc/motd');
  assert.equal(readFileSync(motd, 'utf8'), 'hello from the layer\n');
  // An import of node:http would load all of it, 25 ms, for names that nobody uses.
  const parts = JSON.parse(readFileSync(loaded, 'utf8')) as string[];
  assert.ok(parts.includes('NativeModule _http_client'));
  assert.deepEqual(
    parts.filter((name) => /undici/.test(name)),
    [],
  );

  // The page came with the package, and what lays statecharts out.
  const state = ['--state-dir', join(scratch, 'state')];
  const runs = succeed(run(flyd, ['runs', '--machine', 'pull', '--json', ...state], scratch));
  const [pull] = JSON.parse(runs) as { id: string }[];
  const file = join(scratch, 'run.html');
  succeed(run(flyd, ['runs', 'export', pull?.id ?? '', '--out', file, ...state], scratch));
  assert.match(readFileSync(file, 'utf8'), /"layout":\{"nodes":\{"pull":/);
});

/** ` ```ts run` blocks of the page, each with the ` ```text output` that follows it. */
function examples(page: string): { source: string; output: string }[] {
  const blocks = [...page.matchAll(/^```(?<info>[^\n]+)\n(?<body>.*?)^```$/gms)].map(
    (match) => match.groups ?? {},
  );
  return blocks.flatMap(({ info, body = '' }, at) =>
    info === 'ts run' ? [{ source: body, output: outputAfter(blocks.slice(at + 1)) }] : [],
  );
}

function outputAfter(blocks: readonly Record<string, string | undefined>[]): string {
  const next = blocks.find(({ info }) => info === 'text output');
  assert.ok(next, 'an example without its output');
  return next.body ?? '';
}

const tsc = join(root, 'node_modules/.bin/tsc');

function writeTsconfig(more: Record<string, boolean>): void {
  const options = {
    target: 'es2024',
    module: 'nodenext',
    strict: true,
    noUncheckedIndexedAccess: true,
    noEmit: true,
  };
  const compilerOptions = { ...options, types: ['node'], ...more };
  writeFileSync(join(project, 'tsconfig.json'), JSON.stringify({ compilerOptions }));
}

test('the examples of the pages are typed in a strict project, and print what the pages say', () => {
  const found = ['engine.md', 'engine-testing.md'].flatMap((page) => {
    const list = examples(readFileSync(join(project, 'node_modules', own, 'docs', page), 'utf8'));
    assert.ok(list.length > 0, `${page} has no example`);
    return list;
  });
  found.forEach(({ source }, at) => {
    writeFileSync(join(project, `example-${at}.ts`), source);
  });
  writeTsconfig({});
  succeed(run(tsc, ['-p', '.'], project));
  // XState's own declarations do not hold under this one; ours must.
  writeTsconfig({ exactOptionalPropertyTypes: true, skipLibCheck: true });
  succeed(run(tsc, ['-p', '.'], project));
  found.forEach(({ output }, at) => {
    assert.equal(succeed(run(process.execPath, [`example-${at}.ts`], project)), output);
  });
});

test('types are real: a wrong input does not compile', () => {
  const source = `
    import { effect, FlydError } from ${quoted};
    const declared = effect<{ name: string }, number>();
    const wrong: FlydError = 'text';
    export { declared, wrong };`;
  writeFileSync(join(project, 'wrong.ts'), source);
  writeTsconfig({});
  const { status, stdout } = run(tsc, ['-p', '.'], project);
  rmSync(join(project, 'wrong.ts'));
  assert.notEqual(status, 0);
  assert.match(stdout, /wrong\.ts.*TS2322/);
});

test('importing the engine loads xstate, drizzle-orm, better-sqlite3 and croner, and no other package', () => {
  const script = `
    import { registerHooks } from 'node:module';
    const seen = new Set();
    registerHooks({ load(url, context, next) {
      const names = [...url.matchAll(/node_modules\\/((?:@[^/]+\\/)?[^/]+)\\//g)];
      if (names.length > 0) seen.add(names.at(-1)[1]);
      return next(url, context);
    } });
    await import(${quoted});
    console.log(JSON.stringify([...seen].sort()));`;
  writeFileSync(join(project, 'loaded.mjs'), script);
  assert.deepEqual(JSON.parse(succeed(run(process.execPath, ['loaded.mjs'], project))), [
    own,
    'better-sqlite3',
    'croner',
    'drizzle-orm',
    'xstate',
  ]);
});

test('npx finds the command of a checkout', () => {
  const out = succeed(run('npx', ['--no-install', 'flyd', '--version'], root));
  assert.match(out, /^\d+\.\d+\.\d+/);
  assert.ok(existsSync(join(root, 'cli/main.ts')));
});
