import { spawn } from 'node:child_process';
import { accessSync, constants, existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { readMounts } from '#infra/mountinfo';
import { startS3Server } from '#infra/s3-server';
import { enter } from './demo/enter.ts';
import { sampleFamilies, writeFamilies } from './families.ts';

// npm run demo: a bucket, a pull, a program in the result. Everything it makes is in one folder.

const root = fileURLToPath(new URL('..', import.meta.url));
const { values } = parseArgs({
  options: { clean: { type: 'boolean', default: false }, dir: { type: 'string' } },
});
const isRoot = process.geteuid?.() === 0;
const folder = values.dir ?? defaultFolder();
const state = join(folder, 'state');
const mounts = join(folder, 'mnt');
const results = join(canWrite(process.cwd()) ? process.cwd() : folder, 'results.json');
const where = ['--state-dir', state, '--mount-root', mounts];

/** In the checkout, or, where this user may not write to it, among the temp files. */
function defaultFolder(): string {
  const own = join(root, '.demo');
  return canWrite(existsSync(own) ? own : root)
    ? own
    : join(tmpdir(), `flyd-demo-${process.getuid?.() ?? 0}`);
}

function canWrite(path: string): boolean {
  try {
    accessSync(path, constants.W_OK);
    return true;
  } catch {
    return false;
  }
}

const say = (text = ''): void => void process.stdout.write(`${text}\n`);
const step = (text: string): void => say(`\n== ${text}`);

interface Ran {
  code: number | null;
  out: string;
}

/** Runs the real command, as a person would. `quiet` keeps what it says. */
function flyd(args: string[], { quiet = false } = {}): Promise<Ran> {
  const child = spawn(process.execPath, [join(root, 'bin/flyd.js'), ...args, ...where], {
    stdio: ['ignore', 'pipe', quiet ? 'ignore' : 'inherit'],
  });
  let out = '';
  child.stdout.on('data', (data: Buffer) => {
    out += data.toString();
    if (!quiet) process.stdout.write(data);
  });
  return new Promise((give, fail) => {
    child.on('error', fail);
    child.on('close', (code) => give({ code, out }));
  });
}

interface Row {
  id: string;
  name?: string | null;
}

async function list(what: 'activations' | 'images'): Promise<Row[]> {
  const { out } = await flyd([what, '--json'], { quiet: true });
  return JSON.parse(out) as Row[];
}

async function takeDown(): Promise<void> {
  for (const { id, name } of await list('activations'))
    if (name?.startsWith('demo-') === true) await flyd(['deactivate', id], { quiet: true });
}

interface Pulled {
  activation: { rootfs: string } | null;
}

async function pull(family: string, endpoint: string, more: string[]): Promise<Pulled> {
  const source = ['--source', 's3://images', '--endpoint', endpoint, '--anonymous'];
  const file = family === 'hello' ? results : join(folder, `${family}.json`);
  const { code } = await flyd(['pull', family, ...source, '--results', file, ...more]);
  if (code !== 0)
    throw new Error(`flyd pull ended with ${code}: see above, or try: npx --no-install flyd doctor`);
  return JSON.parse(readFileSync(file, 'utf8')) as Pulled;
}

function runProgram({ activation }: Pulled): void {
  const rootfs = activation?.rootfs ?? '';
  const { how, status, output } = enter(rootfs, isRoot);
  say(`running ${how}:`);
  say(output.replace(/^/gm, '  | '));
  if (status !== 0) throw new Error(`the program ended with ${status}`);
}

async function demo(): Promise<void> {
  const began = performance.now();
  mkdirSync(join(folder, 'buckets/images'), { recursive: true, mode: 0o700 });

  step('Two sample families from files of this machine: Node, its libraries, a shell, a small program');
  const bytes = await writeFamilies(join(folder, 'buckets/images'), sampleFamilies(process.execPath));
  say(`${join(folder, 'buckets/images')}: ${(bytes / 1024 ** 2).toFixed(0)} MiB of layers`);

  const server = await startS3Server({ dir: join(folder, 'buckets') });
  try {
    say(`served as S3 at ${server.endpoint}`);
    await takeDown();

    step('flyd pull hello: list, fetch, verify, unpack, snapshot, mount');
    const hello = await pull('hello', server.endpoint, ['--name', 'demo-hello']);
    runProgram(hello);

    step('flyd pull counter: it shares two layers with hello, which are not fetched again');
    const aside = await pull('counter', server.endpoint, ['--name', 'demo-counter']);
    runProgram(aside);
    runProgram(aside);
  } finally {
    await server.close();
  }
  step(`Done in ${((performance.now() - began) / 1000).toFixed(1)} s. What came of it is in ${results}`);
  sayNext();
}

function sayNext(): void {
  const shown = relative(process.cwd(), folder) || '.';
  say('What to try next:');
  say(`  export FLYD_STATE_DIR=${state} FLYD_MOUNT_ROOT=${mounts}`);
  for (const [command, about] of [
    ['npx --no-install flyd activations', 'the two snapshots; write into one, look into the other'],
    ['npx --no-install flyd activate hello', 'a third one, from the same base, at once'],
    ['npx --no-install flyd runs', 'every run, and the runs below it'],
    ['npx --no-install flyd runs events <run>', 'how one went, step by step'],
    ['npx --no-install flyd doctor', 'what else this machine could do'],
    ['npm run demo', 'again: nothing is fetched, nothing is unpacked'],
    ['npm run demo -- --clean', `take everything down, and remove ${shown}`],
  ])
    say(`  ${command?.padEnd(42)} ${about}`);
}

/** Takes down and removes what demos made, and nothing else: a folder with something mounted in it stays. */
async function clean(): Promise<void> {
  if (!existsSync(folder)) return say(`${folder} is not there: nothing to clean`);
  if (existsSync(state)) {
    for (const { id } of await list('activations')) await flyd(['deactivate', id]);
    for (const { id } of await list('images')) await flyd(['rm', id]);
  }
  const mounted = (await readMounts()).find(({ mountPoint }) => mountPoint.startsWith(`${folder}/`));
  if (mounted !== undefined) throw new Error(`${mounted.mountPoint} is still mounted: see flyd activations`);
  rmSync(folder, { recursive: true });
  say(`${folder} is gone`);
}

try {
  await (values.clean ? clean() : demo());
} catch (error) {
  process.stderr.write(`demo: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
}
