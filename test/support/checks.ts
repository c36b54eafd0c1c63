import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { KindReport } from './run-kind.ts';

/** Checks of the sources by tools of their own; each counts as one test. */
interface Check {
  title: string;
  command: string;
  args: string[];
  /** Why it cannot run here and how to enable it, or null. */
  skip: string | null;
}

/** Shell scripts are told by their first line: most have no suffix. */
function shellScripts(root: string): string[] {
  return ['.ci', 'bin', 'scripts', 'bench', 'test/support']
    .map((folder) => join(root, folder))
    .filter((folder) => existsSync(folder))
    .flatMap((folder) => readdirSync(folder).map((name) => join(folder, name)))
    .filter((path) => statSync(path).isFile() && /^#!.*\b(ba|da)?sh\b/.test(readFileSync(path, 'utf8')))
    .sort();
}

function checksOf(root: string): Check[] {
  const bin = (name: string): string => join(root, 'node_modules/.bin', name);
  const hasShellcheck = spawnSync('shellcheck', ['--version'], { stdio: 'ignore' }).status === 0;
  return [
    { title: 'types (tsc)', command: bin('tsc'), args: [], skip: null },
    { title: 'types of the page (tsc)', command: bin('tsc'), args: ['-p', 'web'], skip: null },
    {
      title: 'style (biome)',
      command: bin('biome'),
      args: ['check', '--error-on-warnings', '.'],
      skip: null,
    },
    {
      title: 'shell scripts (shellcheck)',
      command: 'shellcheck',
      args: ['--severity=warning', ...shellScripts(root)],
      skip: hasShellcheck ? null : 'shellcheck is not installed: apt-get install shellcheck',
    },
  ];
}

/** Runs the checks and adds them to the report. */
export async function runChecks(
  root: string,
  report: KindReport,
  say: (line: string) => void,
): Promise<void> {
  for (const { title, command, args, skip } of checksOf(root)) {
    if (skip !== null) {
      report.skips.push({ title, reason: skip });
      say(`   - ${title} (skipped: ${skip})`);
      continue;
    }
    const done = spawnSync(command, args, { cwd: root, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
    if (done.status === 0) {
      report.passed++;
      say(`   ${title}`);
      continue;
    }
    report.failures.push({ title, file: '' });
    say(`   ✖ ${title}`);
    for (const line of `${done.error?.message ?? ''}${done.stdout}${done.stderr}`.split('\n'))
      if (line !== '') say(`       ${line}`);
  }
}
