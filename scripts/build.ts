import { spawnSync } from 'node:child_process';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { bundleCommand, bundleThreads } from './bundle.ts';

// What npm installs, in dist/: the command and its threads as bundles, and as JavaScript with declarations what
// is imported by name (the engine). Node strips no types inside node_modules, so a package of .ts files would
// not run there.

const root = fileURLToPath(new URL('..', import.meta.url));
const dist = `${root}dist`;

interface Manifest {
  name: string;
  version: string;
  imports: Record<string, string>;
}

rmSync(dist, { recursive: true, force: true });
const { status, error } = spawnSync(`${root}node_modules/.bin/tsc`, ['-p', 'tsconfig.build.json'], {
  cwd: root,
  stdio: 'inherit',
});
if (error !== undefined) throw error;

// `#core/errors` means another file here than in the sources: the nearest package.json decides.
const { name, version, imports } = JSON.parse(readFileSync(`${root}package.json`, 'utf8')) as Manifest;
const built = Object.fromEntries(
  Object.entries(imports).map(([from, to]) => [from, to.replace(/\.ts$/, '.js')]),
);
const manifest = { name, version, private: true, type: 'module', imports: built };
writeFileSync(`${dist}/package.json`, `${JSON.stringify(manifest, null, 2)}\n`);

// They are in the bundles, and nobody imports them.
for (const room of ['cli', 'actors', 'machines', 'services', 'infra'])
  rmSync(`${dist}/${room}`, { recursive: true, force: true });
await bundleCommand(root);
await bundleThreads(root);

// The page of the dashboard: whoever installs flyd builds nothing.
const page = spawnSync(
  process.execPath,
  [
    `${root}node_modules/vite/bin/vite.js`,
    'build',
    `${root}web`,
    '--outDir',
    `${dist}/web`,
    '--emptyOutDir',
    '--logLevel',
    'warn',
  ],
  { cwd: root, stdio: 'inherit' },
);
process.exitCode = (status ?? 1) || (page.status ?? 1);
