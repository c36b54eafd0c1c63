import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { type GroupOptions, type Outcome, runGroup, type StepResult, whyNoGuest } from './guest.ts';

/** What needs a real device-mapper: proved in guests of scripts/vm, one boot for each group. */

const skip = whyNoGuest() ?? false;

/** Boots the guest once; `check` then defines a test that looks at the result of one step. */
function group(
  title: string,
  options: GroupOptions,
  define: (check: (title: string, step: string, look: (output: string) => void) => void) => void,
): void {
  describe(title, { skip }, () => {
    let results = new Map<string, StepResult>();
    let guest: Outcome;
    before(async () => {
      ({ results, guest } = await runGroup(options));
    });
    define((name, step, look) =>
      test(name, (t) => {
        const result = results.get(step);
        assert.ok(result, `the guest ended (${guest.code}) before ${step}\n${guest.stdout}${guest.stderr}`);
        assert.equal(result.code, 0, `${step} failed (${result.code}):\n${result.output}`);
        look(result.output);
        t.diagnostic(`${step}: ${result.seconds} s in the guest`);
      }));
    test('the guest itself ends well', () => assert.deepEqual([guest.code, guest.stderr], [0, '']));
  });
}

group(
  'a guest with a thin pool',
  {
    options: ['--disk', '1G:data', '--disk', '16M:meta'],
    steps: ['thin-pool', 'boot-device'],
    timeoutSeconds: 400,
  },
  (check) => {
    check('thin volumes and their snapshots are independent, the pool is whole', 'thin-pool', (output) => {
      const used = (label: string): number =>
        Number(
          new RegExp(`^${label}: 0 2097152 thin-pool 0 \\d+/4096 (\\d+)/16384 - rw `, 'm').exec(output)?.[1],
        );
      assert.equal(used('empty'), 0, output);
      assert.ok(used('used') > 0, output);
      assert.match(output, /^base holds: base$/m);
    });
    check('a guest boots from a thin device and writes to it', 'boot-device', (output) => {
      assert.match(output, /^from a thin device$/m);
      assert.match(output, /^written by the inner guest$/m);
    });
  },
);
