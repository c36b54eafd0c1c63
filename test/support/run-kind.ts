import { spawn } from 'node:child_process';
import { existsSync, globSync } from 'node:fs';
import { join, relative } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { runChecks } from './checks.ts';
import type { Kind } from './kinds.ts';
import type { TestEvent } from './reporter.ts';

export interface KindReport {
  kind: string;
  passed: number;
  failures: { title: string; file: string }[];
  skips: { title: string; reason: string }[];
  ms: number;
}

export interface KindOptions {
  /** The checkout. */
  root: string;
  /** A kind without tests is a failure. */
  strict: boolean;
  cores: number;
  /** Where the lines for the person who watches go. */
  say: (line: string) => void;
  /** Instead of the kind's own limit, for tests of this file. */
  limitMs?: number;
}

/** Runs one kind of test, telling what happens line by line, and gives the counts. Never throws. */
export async function runKind(kind: Kind, options: KindOptions): Promise<KindReport> {
  const report: KindReport = { kind: kind.name, passed: 0, failures: [], skips: [], ms: 0 };
  const started = performance.now();
  if (kind.by === 'commands') await runChecks(options.root, report, options.say);
  else await runTests(kind, options, report);
  report.ms = performance.now() - started;
  return report;
}

async function runTests(kind: Kind, options: KindOptions, report: KindReport): Promise<void> {
  const folder = join(options.root, 'test', kind.name);
  const files = existsSync(folder)
    ? globSync('**/*.test.ts', { cwd: folder })
        .sort()
        .map((file) => join(folder, file))
    : [];
  if (files.length === 0) {
    options.say(`   no tests in test/${kind.name}/`);
    if (options.strict) report.failures.push({ title: `no tests in test/${kind.name}/`, file: '' });
    return;
  }
  const printed = new Printer(options, report);
  const verdict = await runNode(files, kind, options, (event) => printed.take(event));
  if (verdict === null) return;
  options.say(`   ✖ ${verdict}`);
  report.failures.push({ title: verdict, file: '' });
}

const reporter = fileURLToPath(new URL('./reporter.ts', import.meta.url));
const killDelayMs = 10_000;

/**
 * Runs `node --test` in a process group of its own, so that whatever a hung test has started can be
 * ended with it. Gives null when it came to its own end, else what went wrong.
 */
async function runNode(
  files: string[],
  kind: Kind,
  options: KindOptions,
  take: (event: TestEvent) => void,
): Promise<string | null> {
  const concurrency = kind.sideBySide === 'cores' ? options.cores : 1;
  const child = spawn(
    process.execPath,
    [
      '--test',
      `--test-concurrency=${concurrency}`,
      `--test-reporter=${reporter}`,
      '--test-reporter-destination=stdout',
      ...files,
    ],
    { cwd: options.root, detached: true, stdio: ['ignore', 'pipe', 'inherit'], env: childEnvironment() },
  );
  const killGroup = (signal: NodeJS.Signals): void => {
    if (child.pid === undefined) return;
    try {
      process.kill(-child.pid, signal);
    } catch {
      // the group has ended
    }
  };
  const limitMs = options.limitMs ?? kind.minutesMax * 60_000;
  let hung = false;
  const limit = setTimeout(() => {
    hung = true;
    killGroup('SIGTERM');
    setTimeout(() => killGroup('SIGKILL'), killDelayMs).unref();
  }, limitMs);
  const interrupt = (signal: NodeJS.Signals): void => killGroup(signal);
  process.on('SIGINT', interrupt).on('SIGTERM', interrupt);

  let ended = false;
  const lines = createInterface({ input: child.stdout });
  lines.on('line', (line) => {
    const event = parseEvent(line);
    if (event === null)
      options.say(line); // printed by something that does not know of the reporter
    else if (event.type === 'end') ended = true;
    else take(event);
  });
  const end = await new Promise<string>((resolve) => {
    child.on('error', (error) => resolve(error.message));
    child.on('close', (code, signal) => resolve(signal ?? `exit code ${code}`));
  });
  clearTimeout(limit);
  process.off('SIGINT', interrupt).off('SIGTERM', interrupt);
  killGroup('SIGKILL');
  if (hung) return `${kind.name} took longer than ${limitMs / 1000} s and was ended`;
  return ended ? null : `the test runner of ${kind.name} died: ${end}`;
}

/** Without what an outer `node --test` sets: it would make this one believe to be a test file. */
function childEnvironment(): NodeJS.ProcessEnv {
  const { NODE_TEST_CONTEXT: _, ...environment } = process.env;
  return environment;
}

function parseEvent(line: string): TestEvent | null {
  try {
    return JSON.parse(line) as TestEvent;
  } catch {
    return null;
  }
}

const outputLinesMax = 200;

/** Prints a line a file while it passes, everything about what fails, and counts. */
class Printer {
  readonly #root: string;
  readonly #say: (line: string) => void;
  readonly #report: KindReport;
  readonly #output = new Map<string, string[]>();
  #file = '';

  constructor({ root, say }: KindOptions, report: KindReport) {
    this.#root = root;
    this.#say = say;
    this.#report = report;
  }

  take(event: TestEvent): void {
    if (event.type === 'end') return;
    if (event.type === 'output') this.#keep(event.file, event.text);
    else if (event.type === 'note') this.#say(`   · ${event.text}`);
    else this.#result(event);
  }

  #keep(file: string, text: string): void {
    const lines = this.#output.get(file) ?? [];
    lines.push(...text.split('\n').filter((line) => line !== ''));
    this.#output.set(file, lines.slice(-outputLinesMax));
  }

  #result({ file, path, ok, skip, ms, error }: Extract<TestEvent, { type: 'result' }>): void {
    const title = path.join(' › ');
    const isFile = path.length === 1 && (path[0] === file || path[0] === relative(this.#root, file));
    if (ok && isFile) {
      this.#report.failures.push({ title: `${relative(this.#root, file)} holds no test`, file });
      this.#say(`   ✖ ${relative(this.#root, file)} holds no test`);
    } else if (skip !== null) {
      this.#report.skips.push({ title, reason: skip });
      this.#say(`   - ${title} (skipped: ${skip})`);
    } else if (ok) {
      this.#report.passed++;
      this.#tick(file, title, ms);
    } else {
      this.#report.failures.push({ title, file });
      this.#say(`   ✖ ${title} (${relative(this.#root, file)})`);
      for (const line of (error ?? '').split('\n')) this.#say(`       ${line}`);
      for (const line of this.#output.get(file) ?? []) this.#say(`     | ${line}`);
      this.#output.delete(file);
    }
  }

  /** A line for each file's first test and each slow test: somebody may be watching. */
  #tick(file: string, title: string, ms: number): void {
    if (file !== this.#file) this.#say(`   ${relative(this.#root, file)}`);
    this.#file = file;
    if (ms > 5_000) this.#say(`     ${title} (${(ms / 1000).toFixed(1)} s)`);
  }
}
