// Finds the Node that flyd is built for and runs a program on it. Plain JavaScript that older Nodes
// (18 and up) can parse: it is what they run first.
import { spawn } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

/** The folder of the package: a checkout, or where npm installed it. */
export const root = dirname(dirname(fileURLToPath(import.meta.url)));

/** The oldest Node that runs flyd when the pinned one is not installed. */
const oldestMajor = 24;

/** `{ file, version }` of the Node that came as an optional dependency, or null. */
function findPinned() {
  try {
    const require = createRequire(import.meta.url);
    const manifest = require.resolve(`node-linux-${process.arch}/package.json`);
    const file = join(dirname(manifest), 'bin', 'node');
    const { version } = JSON.parse(readFileSync(manifest, 'utf8'));
    return existsSync(file) ? { file, version: `v${version}` } : null;
  } catch {
    return null; // installed without optional dependencies, or on another platform
  }
}

/**
 * Runs the module at `main` with `args`: in this process if its Node is the pinned one, else on the
 * pinned Node, whose end becomes the end of this process.
 */
export async function runPinned(main, args) {
  const pinned = findPinned();
  if (pinned === null && Number(process.versions.node.split('.')[0]) < oldestMajor) {
    process.stderr.write(
      `flyd: needs Node ${oldestMajor}, and this is ${process.version}\n` +
        'hint: install flyd again with its optional dependencies (npm ci, without --omit=optional), which bring Node\n',
    );
    process.exitCode = 1;
    return;
  }
  if (pinned === null || pinned.version === process.version) {
    process.argv = [process.execPath, main, ...args];
    await import(pathToFileURL(main).href);
    return;
  }
  if (typeof process.execve === 'function') process.execve(pinned.file, [pinned.file, main, ...args]);
  runAsChild(pinned.file, main, args);
}

const forwarded = ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT', 'SIGUSR2'];

/** For a Node that cannot replace itself: it passes signals on and ends as the child does. */
function runAsChild(file, main, args) {
  const bond = new URL('./end-with-parent.js', import.meta.url);
  bond.searchParams.set('parent', String(process.pid));
  const child = spawn(file, ['--import', bond.href, main, ...args], { stdio: 'inherit' });
  const pass = (signal) => child.kill(signal);
  for (const signal of forwarded) process.on(signal, pass);
  child.on('error', (error) => {
    process.stderr.write(`flyd: cannot run ${file}: ${error.message}\n`);
    process.exitCode = 1;
  });
  child.on('exit', (code, signal) => {
    for (const name of forwarded) process.off(name, pass);
    if (signal === null) process.exitCode = code;
    else process.kill(process.pid, signal);
  });
}
