import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { sampleFamilies, writeFamilies } from '../../scripts/families.ts';
import { runGroup, whyNoGuest } from './guest.ts';

// The whole pull on a real thin pool. The bucket is made on the host, in a folder that the guest sees too
// (its /tmp is its own).

test('a family is pulled, activated, booted, killed, resumed and cleaned up on a thin pool', {
  skip: whyNoGuest() ?? false,
}, async (t) => {
  const families = mkdtempSync('/var/tmp/flyd-vm-families-');
  t.after(() => rmSync(families, { recursive: true, force: true }));
  const bucket = join(families, 'served', 'bucket');
  mkdirSync(bucket, { recursive: true });
  await writeFamilies(bucket, sampleFamilies(process.execPath));
  const boot = () =>
    runGroup({
      options: [
        ...['--cpus', '1', '--memory', '4G', '--disk', '4G:data', '--disk', '16M:meta'],
        ...['--env', `FAMILIES=${join(families, 'served')}`],
      ],
      steps: ['pull'],
      timeoutSeconds: 900,
    });
  let { results, guest } = await boot();
  // Node itself dies now and then under emulation, and never outside of it: no verdict on the pull.
  for (let tries = 1; tries < 4 && results.get('pull')?.output.includes('Segmentation fault'); tries++)
    ({ results, guest } = await boot());
  const step = results.get('pull');
  assert.ok(step, `the guest ended (${guest.code}) before the step\n${guest.stdout}${guest.stderr}`);
  assert.equal(step.code, 0, step.output);
  assert.match(
    step.output,
    /^counter active devmapper\nhello active devmapper\nhello active devmapper\nhello active devmapper$/m,
  );
  assert.match(step.output, /^booted: \{"family":"hello"\}\nwritten$/m);
  assert.match(step.output, /^used blocks: 0\/65536$/m, step.output);
  assert.match(step.output, /^nothing is left but the pool$/m, step.output);
  assert.match(step.output, /^devices: No devices found$/m, step.output);
  t.diagnostic(`${step.seconds} s in the guest`);
});
