import { createHash } from 'node:crypto';
import { existsSync, globSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { unrecoverable } from '#core/errors';
import type { Exec } from '#infra/exec';
import type { Page } from '#services/dashboard/parts';

const beside = fileURLToPath(new URL('..', import.meta.url));

/**
 * The built page. An installed package brings it (`dist/web`); a checkout builds it when its sources are
 * new to it and keeps it in `node_modules/.cache`.
 */
export async function loadPage(tools: { exec: Exec; say(line: string): void }): Promise<Page> {
  const sources = join(beside, 'web');
  const folder = existsSync(join(sources, 'vite.config.ts'))
    ? await builtFromSources(beside, sources, tools)
    : sources;
  const read = (name: string): string => readFileSync(join(folder, name), 'utf8');
  try {
    return { html: read('index.html'), js: read('app.js'), css: read('app.css') };
  } catch (cause) {
    throw unrecoverable('unclassified', 'the page of the dashboard is not there', {
      op: 'inspect',
      subject: folder,
      hint: 'install flyd again',
      cause,
    });
  }
}

/** Built aside and moved into place whole: several commands may build at once. */
async function builtFromSources(
  root: string,
  sources: string,
  { exec, say }: { exec: Exec; say(line: string): void },
): Promise<string> {
  const cache = join(root, 'node_modules/.cache/flyd-web');
  const folder = join(
    cache,
    hashOf([...globSync('**/*', { cwd: sources })].map((name) => join(sources, name))),
  );
  if (existsSync(folder)) return folder;
  say('building the page, once ...');
  mkdirSync(cache, { recursive: true });
  const aside = mkdtempSync(join(cache, '.build-'));
  try {
    await exec(
      process.execPath,
      [join(root, 'node_modules/vite/bin/vite.js'), 'build', sources, '--outDir', aside, '--emptyOutDir'],
      { op: 'inspect', cwd: root, timeoutMs: 300_000 },
    );
    renameSync(aside, folder);
  } catch (error) {
    if (!existsSync(folder)) throw error;
  } finally {
    rmSync(aside, { recursive: true, force: true });
  }
  return folder;
}

function hashOf(files: readonly string[]): string {
  const hash = createHash('sha256');
  for (const file of [...files].sort())
    if (/\.(tsx?|css|html|json)$/.test(file)) hash.update(file).update(readFileSync(file));
  return hash.digest('hex').slice(0, 16);
}
