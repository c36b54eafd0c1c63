import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { recordProduct } from '../test/support/product-histories.ts';

/**
 * `node bin/run.js scripts/record-histories.ts` writes `test/histories/<machine>.jsonl` anew, a run a line.
 * Do so when a machine was changed on purpose and its version raised; tests replay what was recorded.
 */
const folder = join(import.meta.dirname, '../test/histories');
const lines = await recordProduct();
rmSync(folder, { recursive: true, force: true });
mkdirSync(folder);
for (const [machine, runs] of lines) {
  writeFileSync(join(folder, `${machine}.jsonl`), `${runs.join('\n')}\n`);
  console.log(`${machine}: ${runs.length} runs`);
}
