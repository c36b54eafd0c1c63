import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FlydError } from '#core/errors';
import { chooseDriver } from '#infra/volumes/choose';
import type { DriverName, Support, VolumeDriver } from '#infra/volumes/driver';

const yes: Support = { usable: true, reason: 'it is there', fix: null, warnings: ['slow'] };
const no = (reason: string): Support => ({ usable: false, reason, fix: `mend ${reason}`, warnings: [] });

/** Drivers that only say whether they can work. */
function drivers(support: Record<DriverName, Support>): Record<DriverName, VolumeDriver> {
  const stub = (name: DriverName) => ({ name, probe: async () => support[name] }) as VolumeDriver;
  return {
    devmapper: stub('devmapper'),
    btrfs: stub('btrfs'),
    erofs: stub('erofs'),
    overlay: stub('overlay'),
    copy: stub('copy'),
  };
}
const all = { devmapper: yes, btrfs: yes, erofs: yes, overlay: yes, copy: yes };

test('auto takes devmapper only where a pool is wanted', async () => {
  assert.equal((await chooseDriver(drivers(all), 'auto', true)).driver.name, 'devmapper');
  const without = await chooseDriver(drivers(all), 'auto', false);
  assert.equal(without.driver.name, 'erofs');
  assert.deepEqual(
    without.rejected.map((r) => [r.name, r.reason]),
    [['devmapper', 'no thin pool is configured']],
  );
  assert.deepEqual(without.warnings, ['slow']);
});

test('auto says why the better ones were not taken', async () => {
  const choice = await chooseDriver(
    drivers({ ...all, devmapper: no('root'), erofs: no('module'), overlay: no('kernel') }),
    'auto',
    true,
  );
  assert.equal(choice.driver.name, 'copy');
  assert.deepEqual(choice.rejected, [
    { name: 'devmapper', reason: 'root', fix: 'mend root' },
    { name: 'erofs', reason: 'module', fix: 'mend module' },
    { name: 'overlay', reason: 'kernel', fix: 'mend kernel' },
  ]);
});

test('one that was asked for is taken or refused, never replaced', async () => {
  assert.equal((await chooseDriver(drivers(all), 'copy', true)).driver.name, 'copy');
  const failure = chooseDriver(drivers({ ...all, devmapper: no('root') }), 'devmapper', false);
  await assert.rejects(failure, (error: unknown) => {
    assert.ok(error instanceof FlydError);
    assert.deepEqual([error.code, error.hint], ['driver_unavailable', 'mend root']);
    return true;
  });
});

test('when none can work, all reasons are told', async () => {
  const none = drivers({
    devmapper: no('a'),
    btrfs: no('e'),
    erofs: no('e'),
    overlay: no('b'),
    copy: no('c'),
  });
  await assert.rejects(chooseDriver(none, 'auto', true), /devmapper: a; erofs: e; overlay: b; copy: c/);
});
