// Loaded first into the pinned Node when an older one started it as its child: has the kernel kill it
// when that parent is killed, as if both were the one process that the user sees.
import { existsSync } from 'node:fs';
import { isMainThread } from 'node:worker_threads';

if (isMainThread) {
  // For this process only: child_process.fork would hand the option on.
  const option = process.execArgv.indexOf('--import');
  if (option !== -1) process.execArgv.splice(option, 2);

  const source = new URL('../infra/sys.ts', import.meta.url);
  const built = new URL('../dist/infra/sys.js', import.meta.url);
  const { setParentDeathSignal } = await import(existsSync(source) ? source.href : built.href);
  setParentDeathSignal('SIGKILL');
  if (process.ppid !== Number(new URL(import.meta.url).searchParams.get('parent')))
    process.kill(process.pid, 'SIGKILL');
}
