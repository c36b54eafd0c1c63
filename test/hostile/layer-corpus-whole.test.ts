import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import test from 'node:test';
import { corpus } from './corpus/index.ts';
import { streams } from './corpus/streams.ts';

/**
 * The corpus answers every rule that docs/layers.md gives, and every CVE in a reader of layers that we know
 * of. Some are held by tests of their own, because a table cannot hold them.
 */
const elsewhere: Readonly<Record<string, string>> = {
  'CVE-2025-47290': 'layer-race.test.ts',
  'CVE-2018-15664': 'layer-race.test.ts',
};

const cves = [
  ['CVE-2018-15664', 'docker cp: a symlink swapped between check and use'],
  ['CVE-2021-29136', 'umoci: the root replaced by a link'],
  ['CVE-2021-32760', 'containerd: chmod through a hard-linked symlink'],
  ['CVE-2021-32803', 'node-tar: a cached directory that became a link'],
  ['CVE-2021-32804', 'node-tar: names with many roots'],
  ['CVE-2021-37701', 'node-tar: cache keys and backslashes'],
  ['CVE-2021-37712', 'node-tar: cache keys that fold together'],
  ['CVE-2021-37713', 'node-tar: names relative to a drive'],
  ['CVE-2024-28863', 'node-tar: unbounded depth'],
  ['CVE-2025-47290', 'containerd: a race while unpacking'],
  ['CVE-2025-58183', 'Go: an unbounded map of sparse format 1.0'],
  ['CVE-2025-62518', 'tokio-tar: a PAX size that counts for the wrong header'],
  ['CVE-2026-23745', 'node-tar: absolute targets of links'],
  ['CVE-2026-23950', 'node-tar: names that collide'],
  ['CVE-2026-24842', 'node-tar: targets of hard links by ..'],
  ['CVE-2026-26960', 'node-tar: a chain of links that leads out'],
  ['CVE-2026-32288', 'Go: an unbounded map of the old sparse format'],
  ['CVE-2026-53655', 'node-tar: the same size desync'],
] as const;

const cited = new Set(
  [...Object.values(corpus).flat(), ...streams].flatMap(({ rule }) =>
    rule.split(',').map((one) => one.trim()),
  ),
);

/** The numbers in the first cells of the tables of rules: `3, 27`, `44 to 47`. */
function rulesOf(page: string): string[] {
  return [...page.matchAll(/^\| (\d[\d, to]*) \|/gm)].flatMap(([, cell = '']) =>
    cell.split(',').flatMap((part) => {
      const [from = 0, to = from] = part.split('to').map(Number);
      return Array.from({ length: to - from + 1 }, (_, i) => String(from + i));
    }),
  );
}

test('every rule of docs/layers.md has a case', () => {
  const rules = rulesOf(readFileSync(new URL('../../docs/layers.md', import.meta.url), 'utf8'));
  assert.ok(rules.length > 50, `the page has changed its form: ${rules}`);
  assert.deepEqual(
    rules.filter((rule) => !cited.has(rule)),
    [],
  );
});

for (const [id, lesson] of cves)
  test(`${id} (${lesson}) has a case`, () => {
    const file = elsewhere[id];
    if (file === undefined) assert.ok(cited.has(id));
    else assert.match(readFileSync(new URL(file, import.meta.url), 'utf8'), new RegExp(id));
  });
