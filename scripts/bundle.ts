import { globSync } from 'node:fs';
import { isAbsolute, join, relative } from 'node:path';
import { build, type Plugin } from 'vite';

/** Found in node_modules when they are wanted: native code, and what one command in a hundred needs. */
const external = ['better-sqlite3', 'koffi', 'elkjs'];

/**
 * What every command loads, and what every look at the database does, is one file each; left to itself, the
 * bundler makes a file of whatever two others share.
 */
const groups = (root: string) =>
  [
    {
      name: 'common',
      of: /^(core\/(?!chain)|cli\/(exit|output|version)\.|infra\/(config\.|config\/values|s3\/endpoint))/,
    },
    { name: 'settings', of: /^(infra\/config\/schema|node_modules\/zod\/)/ },
    {
      name: 'reading',
      of: /^(db\/((open|lazy|migrate)\.|\w+\/(migrations|set)\.)|infra\/(state-dir|durable|sys\.|sys\/|volumes\/space)|cli\/reading)/,
    },
  ].map(({ name, of }) => ({ name, test: (id: string) => of.test(relative(root, id)) }));

/**
 * Writes `<root>/dist/bundle/main.js`: the command with the libraries that it uses in a few files, because
 * Node takes longer to find and open a hundred small ones than to run them. What a command needs only
 * sometimes (import() in the sources) is a file of its own. Source maps lie beside.
 */
export async function bundleCommand(root: string): Promise<void> {
  await build({
    root,
    configFile: false,
    logLevel: 'warn',
    plugins: [keepPlaces(root), plainHttp],
    ssr: { noExternal: true, external },
    build: {
      ssr: 'cli/main.ts',
      outDir: 'dist/bundle',
      copyPublicDir: false,
      target: 'node24',
      minify: false,
      sourcemap: true,
      rolldownOptions: {
        output: {
          entryFileNames: 'main.js',
          chunkFileNames: '[name]-[hash].js',
          sourcemapExcludeSources: true,
          codeSplitting: { groups: groups(root) },
        },
      },
    },
  });
}

/**
 * Writes what is started as a thread to where tsc would: a file each, and what they share, so that a thread
 * begins sooner. They look for nothing beside themselves.
 */
export async function bundleThreads(root: string): Promise<void> {
  const names = globSync('infra/**/{thread,*-thread}.ts', { cwd: root });
  await build({
    root,
    configFile: false,
    logLevel: 'warn',
    ssr: { noExternal: true, external },
    build: {
      ssr: true,
      outDir: 'dist',
      emptyOutDir: false,
      copyPublicDir: false,
      target: 'node24',
      minify: false,
      sourcemap: true,
      rolldownOptions: {
        input: Object.fromEntries(names.map((name) => [name.replace(/\.ts$/, ''), join(root, name)])),
        output: {
          entryFileNames: '[name].js',
          chunkFileNames: 'infra/[name]-[hash].js',
          sourcemapExcludeSources: true,
          codeSplitting: { groups: [{ name: 'threads', test: /./, minShareCount: 2 }] },
        },
      },
    },
  });
}

/**
 * A module that looks for files beside itself (threads, the page, package.json) goes on finding them in
 * dist/<room>, seen from dist/bundle.
 */
const keepPlaces = (root: string): Plugin => ({
  name: 'keep-places',
  transform(code, id) {
    const path = relative(root, id);
    if (path.startsWith('..') || isAbsolute(path) || path.startsWith('node_modules')) return null;
    const built = `new URL('../${path.replace(/\.ts$/, '.js')}', import.meta.url).href`;
    const text = code
      // db/drizzle.ts: the bundler itself follows require().
      .replace(/^const require = createRequire\(import\.meta\.url\);$/m, '')
      .replaceAll('import.meta.url', built);
    return text === code ? null : { code: text, map: null };
  },
});

const plainId = '\0node:http';

/**
 * node:http as require() gives it. For an import Node reads every name that the module has, and some of them
 * load a whole client of the web (WebSocket and its events, 25 ms), which nothing here uses.
 */
const plainHttp: Plugin = {
  name: 'plain-http',
  enforce: 'pre',
  resolveId: (id) => (id === 'node:http' ? plainId : null),
  load: (id) =>
    id === plainId
      ? `const http = process.getBuiltinModule('node:http');
         export default http;
         export const { Agent, ClientRequest, IncomingMessage, Server, createServer, request } = http;`
      : null,
};
