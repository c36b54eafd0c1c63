import { parseArgs } from 'node:util';
import { fuzz } from '../test/support/fuzz/fuzzer.ts';
import { keepInputs, keptInputs } from '../test/support/fuzz/kept.ts';
import { targets } from '../test/support/fuzz/targets.ts';

/**
 * `npm run fuzz -- [TARGET...] [--minutes M] [--seed N] [--keep]`: fuzzes the readers, 10 minutes each unless
 * told otherwise. What fails is kept in test/fuzz/kept/, where CI tries it from then on; with `--keep`,
 * what reached new code is too.
 */
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    minutes: { type: 'string', default: '10' },
    seed: { type: 'string', default: String(Date.now() % 1_000_000) },
    keep: { type: 'boolean', default: false },
  },
});
const unknown = positionals.filter((name) => !targets.some((target) => target.name === name));
if (unknown.length > 0) {
  console.error(
    `no such target: ${unknown.join(', ')}; there are ${targets.map(({ name }) => name).join(', ')}`,
  );
  process.exit(2);
}
for (const target of targets.filter(({ name }) => positionals.length === 0 || positionals.includes(name))) {
  const until = Date.now() + Number(values.minutes) * 60_000;
  const kept = keptInputs(target.name);
  const limits = {
    seed: Number(values.seed),
    runs: Number.POSITIVE_INFINITY,
    until: () => Date.now() > until,
  };
  const { runs, corpus, failure } = fuzz(target, kept, limits);
  console.log(`${target.name}, seed ${values.seed}: ${runs} inputs, ${corpus.length} reached something new`);
  if (failure !== null) {
    keepInputs(target.name, [...kept, failure.input]);
    console.error(failure.error);
    process.exitCode = 1;
  } else if (values.keep) {
    const seeds = target.seeds();
    keepInputs(
      target.name,
      corpus.filter((input) => !seeds.some((seed) => seed.equals(input))),
    );
  }
}
