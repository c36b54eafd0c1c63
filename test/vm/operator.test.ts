import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { writeLayer } from '../../scripts/families/layer.ts';
import { checkout, type Outcome, runGroup, runVm, type StepResult, whyNoGuest } from './guest.ts';

// What an operator meets on a real thin pool: a reboot without warning, a device that nobody knows, a stale loop. The
// disk of the first guest is that of the second.

/** Node itself dies now and then under emulation: then the guests begin anew. */
const boots = 4;

test('a state directory comes back after a power cut; strays are named and taken away; its pool grows', {
  skip: whyNoGuest() ?? false,
}, async (t) => {
  const folder = mkdtempSync('/var/tmp/flyd-vm-operator-');
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const family = join(folder, 'served/bucket/small');
  mkdirSync(family, { recursive: true });
  const content = 'hello\n';
  await writeLayer(join(family, '0.tar.gz'), {
    name: '0.tar.gz',
    entries: [{ type: 'file', path: 'motd', content }],
  });
  await writeLayer(join(family, '1.tar.gz'), {
    name: '1.tar.gz',
    entries: [{ type: 'file', path: 'own', content }],
  });

  const life = async (
    n: number,
  ): Promise<{ first: Outcome; results: Map<string, StepResult>; said: string }> => {
    const disk = ['--cpus', '1', '--memory', '3G', '--disk-file', `${join(folder, `disk-${n}`)}:1G`];
    const script = join(checkout, 'test/vm/steps/reboot-before.sh');
    const environment = ['--env', `NODE=${process.execPath}`, '--env', `FAMILIES=${join(folder, 'served')}`];
    const first = await runVm(
      ...disk,
      '--timeout',
      '400',
      ...environment,
      '--',
      'bash',
      '-euo',
      'pipefail',
      script,
    );
    const { results, guest } = await runGroup({
      options: disk.map((option) => option.replace(/:1G$/, '')),
      steps: ['reboot-after', 'stray-device'],
      timeoutSeconds: 600,
    });
    const outputs = [...results.values()].map(({ output }) => output).join('\n');
    return { first, results, said: [first.stdout, first.stderr, outputs, guest.stderr].join('\n') };
  };
  let { first, results, said } = await life(1);
  for (let n = 2; n <= boots && /Segmentation fault|SIGSEGV/.test(said); n++)
    ({ first, results, said } = await life(n));

  assert.equal(first.code, 125, `the first guest was to lose its power\n${said}`);
  const step = (name: string): string => {
    const result = results.get(name);
    assert.equal(result?.code, 0, said);
    t.diagnostic(`${name}: ${result?.seconds} s in the guest`);
    return result?.output ?? '';
  };
  const after = step('reboot-after');
  assert.match(after, /^attached .*\/pool\/data and .*\/pool\/meta$/m);
  assert.match(after, /^mapped the pool flyd-/m);
  assert.match(after, /^mounted again: act-\w+$/m);
  assert.match(after, /^removed, being ephemeral: act-\w+$/m);
  assert.match(after, /^note: written before\nmounted: 1$/m);

  const days = step('stray-device');
  assert.match(days, /world-known +act-00000000000000ee/);
  assert.match(days, /pool-devices +9000000/);
  assert.match(days, /\(sleep, fd 0\)/, 'who holds it is named');
  assert.match(days, /^mended +unmapped .*act-00000000000000ee; what is in it stays in the pool$/m);
  assert.match(days, /^all \d+ invariants hold$/m);
  assert.match(days, /^hint: flyd doctor --fix detaches the one that nothing stands on$/m);
  assert.match(
    days,
    /^mended +detached \/dev\/loop\d+ from .*\/pool\/data: the file has another loop device$/m,
  );
  assert.match(days, /^mended +made the pool flyd-\w+ larger: 256 MiB of data/m);
  assert.equal(days.match(/^\/dev\/loop\d+ +\/run\/disk\/state\/pool\/data$/gm)?.length, 1);
  assert.match(days, /^0 524288 thin-pool /m);
});
