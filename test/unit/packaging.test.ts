import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';

interface LockedPackage {
  version?: string;
  integrity?: string;
  gypfile?: boolean;
  hasInstallScript?: boolean;
  optionalDependencies?: Record<string, string>;
}

const read = (path: string): unknown =>
  JSON.parse(readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8'));
const { packages } = read('package-lock.json') as { packages: Record<string, LockedPackage> };
const manifest = read('package.json') as Record<string, Record<string, string>>;

test('npm ci accepts the lock: optional packages of other platforms are in it', () => {
  const missing = Object.values(packages).flatMap(({ optionalDependencies = {} }) =>
    Object.keys(optionalDependencies).filter((name) => packages[`node_modules/${name}`] === undefined),
  );
  assert.deepEqual(missing, [], 'npm has left them out when it made the lock: put them back');
});

test('npm ci compiles nothing: no Python, no compiler and no headers are needed', () => {
  // npm runs node-gyp for whatever has a binding.gyp, unless the lock says otherwise; npm itself drops
  // the line when it writes the lock anew.
  assert.equal(packages['node_modules/better-sqlite3']?.gypfile, false);
  const scripted = Object.keys(packages).filter((name) => packages[name]?.hasInstallScript === true);
  assert.deepEqual(scripted, ['node_modules/koffi'], 'koffi only looks whether its binary is there');
});

test('the Node that flyd runs on is pinned, with its integrity', () => {
  for (const [name, version] of Object.entries(manifest.optionalDependencies ?? {})) {
    const locked = packages[`node_modules/${name}`];
    assert.equal(locked?.version, version, name);
    assert.match(locked?.integrity ?? '', /^sha512-/, name);
    assert.notEqual(locked?.hasInstallScript, true, name);
  }
});

test('every version is exact', () => {
  for (const field of ['dependencies', 'devDependencies', 'optionalDependencies'])
    for (const [name, version] of Object.entries(manifest[field] ?? {}))
      assert.match(version, /^\d+\.\d+\.\d+$/, name);
});
