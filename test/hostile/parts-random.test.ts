import assert from 'node:assert/strict';
import fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { FlydError } from '#core/errors';
import { defaultLimits } from '#core/limits';
import { applyToImage, type ImageTarget } from '#infra/erofs/apply';
import { finishPart, makePart } from '#infra/erofs/part';
import type { Applied } from '#infra/layer/apply';
import { BlockReader, sourceOf } from '#infra/layer/source';
import { type Random, randomOf } from '../support/random.ts';
import { everything, randomEntries } from '../support/random-layers.ts';
import { dir, tar } from '../support/tar-builder.ts';

const rounds = Number(process.env.FLYD_TEST_ROUNDS ?? 300);
const firstSeed = Number(process.env.FLYD_TEST_SEED ?? 1);

/** What comes of it: the image and what is told of it, or the code of the failure. */
function outcome(path: string, make: () => Applied): object {
  try {
    const { entries, bytes, report } = make();
    const warnings = report.warnings.sort((a, b) => a.code.localeCompare(b.code));
    return { image: fs.readFileSync(path).toString('base64'), entries, bytes, warnings };
  } catch (error) {
    if (!(error instanceof FlydError)) throw error;
    return { code: error.code, subject: error.subject };
  }
}

/** Half of them name the directories that they are in, as most layers of the world do. */
function layerOf(r: Random): Buffer {
  const entries = randomEntries(r, everything);
  if (r.chance(0.5)) return tar(...entries);
  const names = ['a', 'b', 'c', 'd'];
  const folders = ['', ...names.map((name) => `${name}/`)].flatMap((at) =>
    names.map((name) => `${at}${name}`),
  );
  const few = entries.slice(0, 1 + r.below(3));
  return tar(dir('.'), ...folders.filter(() => r.chance(0.99)).map((name) => dir(name)), ...few);
}

test(`an image of a part is that of its layer, byte for byte, ${rounds} times`, (t) => {
  const folder = fs.mkdtempSync(join(tmpdir(), 'flyd-parts-'));
  t.after(() => fs.rmSync(folder, { recursive: true, force: true }));
  const made = { prtW: 0, prtL: 0 } as Record<string, number>;
  for (let seed = firstSeed; seed < firstSeed + rounds; seed++) {
    const r = randomOf(seed);
    const lowers: string[] = [];
    for (let depth = r.below(3); lowers.length < depth; depth--) {
      const path = join(folder, `${seed}-${depth}`);
      const blocks = new BlockReader(sourceOf(layerOf(r), 1000));
      if (
        'image' in outcome(path, () => applyToImage(blocks, { form: 'image', path, lowers }, defaultLimits))
      )
        lowers.unshift(path);
    }
    const raw = layerOf(r);
    const target: ImageTarget = { form: 'image', path: join(folder, 'image'), lowers };
    const direct = outcome(target.path, () => applyToImage(blocksOf(raw), target, defaultLimits));
    fs.rmSync(target.path, { force: true });
    const parted = outcome(target.path, () => {
      makePart(blocksOf(raw), target.path, defaultLimits, () => {});
      const mark = fs.readFileSync(target.path).toString('latin1').slice(-4);
      made[mark] = (made[mark] ?? 0) + 1;
      return finishPart(target, defaultLimits);
    });
    fs.rmSync(target.path, { force: true });
    assert.deepEqual(parted, direct, `FLYD_TEST_SEED=${seed} FLYD_TEST_ROUNDS=1 makes it again`);
    for (const path of lowers) fs.rmSync(path);
  }
  // Both kinds: those that are whole before their names are known to be, and those that are not.
  if (rounds >= 100)
    assert.ok((made.prtW ?? 0) > rounds / 10 && (made.prtL ?? 0) > rounds / 10, JSON.stringify(made));
  t.diagnostic(`${made.prtW} were whole, ${made.prtL} needed what is below`);
});

const blocksOf = (raw: Buffer): BlockReader => new BlockReader(sourceOf(raw, 999));
