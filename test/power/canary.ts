import { registerHooks } from 'node:module';
import { fileURLToPath } from 'node:url';

/**
 * `node --import canary.ts`: flyd as it would be if nobody had thought of power cuts. Its sources are
 * changed while they are loaded: no fsync, no syncfs, SQLite without synchronous. The suite must catch it.
 */
const edits: readonly { file: RegExp; from: RegExp; to: string }[] = [
  { file: /\/db\/open\.ts$/, from: /synchronous = FULL/, to: 'synchronous = OFF' },
  { file: /\/db\/open\.ts$/, from: /simple: true \}\) !== 2\)/, to: 'simple: true }) !== 0)' },
  { file: /\/infra\/durable\.ts$/, from: /await (file|dir)\.sync\(\)/g, to: 'await undefined' },
  {
    file: /\/infra\/blob\/(partial|download|journal)\.ts$/,
    from: /await \w+\.(data)?sync\(\)/g,
    to: 'await undefined',
  },
  { file: /\/infra\/sys\/data\.ts$/, from: /check\(syncfsCall\(fd\), 'syncfs'\)/, to: 'fd' },
];

registerHooks({
  load(url, context, nextLoad) {
    const loaded = nextLoad(url, context);
    if (!url.startsWith('file:')) return loaded;
    const mine = edits.filter(({ file }) => file.test(fileURLToPath(url)));
    if (mine.length === 0) return loaded;
    let text =
      loaded.source === undefined || loaded.source === null
        ? ''
        : Buffer.from(loaded.source as Uint8Array).toString();
    for (const { from, to } of mine) {
      if (text.search(from) === -1) throw new Error(`the canary does not know ${url} any more: ${from}`);
      text = text.replace(from, to);
    }
    return { ...loaded, source: text };
  },
});
