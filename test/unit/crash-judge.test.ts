import assert from 'node:assert/strict';
import test from 'node:test';
import type { S3LogEntry } from '#infra/s3-server';
import { essence, needlessFetches, type PullDocument } from '../crash/judge.ts';
import { actorNames, machines, restingStates } from '../crash/machines.ts';
import type { Sandbox } from '../crash/sandbox.ts';

/** The judges of the crash tests are judged here: they must find what they are there for. */

/** A sandbox of one layer of 100 bytes, whose server gave these numbers of body bytes. */
function sandboxWith(gets: number[]): Sandbox {
  const answered = gets.map(
    (bytes): S3LogEntry => ({
      method: 'GET',
      bucket: 'images',
      key: 'sample/01',
      query: '',
      range: null,
      status: 200,
      code: null,
      bytes,
      ms: 1,
    }),
  );
  const family = {
    served: '',
    source: '',
    name: 'sample',
    layers: [{ key: 'sample/01', size: 100, hex: '' }],
  };
  return {
    folder: '',
    state: '',
    mountRoot: '',
    driver: 'copy',
    pullArgs: [],
    asked: answered.map(() => ({ method: 'GET', path: '' })),
    answered,
    family,
    close: async () => {},
  };
}

test('a blob is fetched needlessly when it was whole, or when more than its size came', async () => {
  assert.deepEqual(await needlessFetches(sandboxWith([100]), [], 0), []);
  assert.deepEqual(await needlessFetches(sandboxWith([60, 40]), [], 0), []);
  assert.deepEqual(await needlessFetches(sandboxWith([60, 100]), [], 1), []);
  assert.equal((await needlessFetches(sandboxWith([60, 100]), [], 0)).length, 1);
  assert.equal((await needlessFetches(sandboxWith([100, 0]), ['sample/01'], 1)).length, 1);
  assert.deepEqual(await needlessFetches(sandboxWith([100]), ['sample/01'], 1), []);
});

test('two results differ by what they are, not by their ids and times', () => {
  const document = (id: string, digest: string): PullDocument => ({
    run: id,
    status: 'done',
    image: { id, chain: digest, endpoint: id, layers: [{ key: 'k', digest, reused: false }] },
    base: { id, driver: 'copy', reused: false },
    activation: { id, path: id, rootfs: id },
  });
  assert.deepEqual(essence(document('a', 'x')), essence(document('b', 'x')));
  assert.notDeepEqual(essence(document('a', 'x')), essence(document('a', 'y')));
});

test('the graph of a machine is read from the machine itself', () => {
  const names = (machine: string): string[] =>
    restingStates(machines[machine] as never).map(({ name }) => name);
  assert.ok(names('volume').includes('making.unpacking'));
  assert.ok(!names('volume').includes('making'), 'a state with states inside is no resting place');
  assert.ok(!names('pull').includes('imaged'), 'nothing rests in a state that is left at once');
  assert.ok(actorNames(machines.image as never).includes('image.reserve'));
});
