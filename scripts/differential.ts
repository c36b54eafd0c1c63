import { parseArgs } from 'node:util';
import {
  compareSeed,
  compareStack,
  type Deviation,
  type Stack,
  shrink,
} from '../test/support/differential.ts';
import { keepStack } from '../test/support/kept-stacks.ts';
import { findUmoci } from '../test/support/umoci.ts';

/**
 * `npm run test:differential -- [--seeds N] [--from SEED] [--show DEVIATION]`: random stacks of layers, by
 * flyd and by umoci, until they differ or N are through. What differs is made as small as it can be and
 * kept in test/fuzz/kept/differential.json, where CI tries it from then on. With --show, a stack that
 * shows that deviation is searched for and kept instead.
 */
const { values } = parseArgs({
  options: {
    seeds: { type: 'string', default: '1000' },
    from: { type: 'string', default: '1' },
    show: { type: 'string' },
  },
});
const umoci = findUmoci();
if (umoci === null || process.getuid?.() !== 0) {
  console.error('needs root, and umoci: scripts/setup-tests installs it');
  process.exit(2);
}
const found = umoci;
const from = Number(values.from);
const show = (values.show ?? null) as Deviation | null;

const differs = (stack: Stack): boolean => compareStack(stack, found).differences.length > 0;
const shows = (stack: Stack): boolean => {
  const { differences, met } = compareStack(stack, found);
  return differences.length === 0 && show !== null && met.has(show);
};

for (let seed = from; seed < from + Number(values.seeds); seed++) {
  const { differences, stack, met } = compareSeed(seed, found);
  if (seed % 50 === 0) console.log(`seed ${seed}`);
  if (differences.length > 0) {
    const small = shrink(stack, differs);
    const [first = ''] = compareStack(small, found).differences;
    keepStack({ why: `seed ${seed}: ${first}`, shows: null, stack: small });
    console.error([`seed ${seed} differs, and is kept:`, ...differences].join('\n  '));
    process.exit(1);
  }
  if (show !== null && met.has(show) && shows(stack)) {
    keepStack({ why: `the deviation ${show}`, shows: show, stack: shrink(stack, shows) });
    console.log(`seed ${seed} shows it, and is kept`);
    process.exit(0);
  }
}
console.log(show === null ? `no difference to umoci ${found.version}` : 'not found');
