import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const script = fileURLToPath(new URL('./oracle', import.meta.url));

export interface OracleQuestion {
  state: string;
  mountRoot?: string | undefined;
  /** Lines as the script's header has them: what should be there. */
  expected: readonly string[];
  /** More options of the script. */
  options?: readonly string[];
}

/** What the outside script (test/support/oracle) finds wrong, sorted; empty when nothing leaked. */
export function askOracle({ state, mountRoot, expected, options = [] }: OracleQuestion): string[] {
  const args = ['--state', state, '--expect', '-', ...options];
  if (mountRoot !== undefined) args.push('--mount-root', mountRoot);
  const { status, stdout, stderr } = spawnSync(script, args, {
    input: expected.map((line) => `${line}\n`).join(''),
    encoding: 'utf8',
  });
  const lines = stdout.split('\n').filter((line) => line !== '');
  if (stderr !== '' || (status !== 0 && lines.length === 0) || (status === 0 && lines.length > 0))
    throw new Error(`the oracle failed (${status}): ${stderr}`);
  return lines.sort();
}
