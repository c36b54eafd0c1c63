import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { test } from 'node:test';
import { createS3Source } from '#infra/s3';
import { failsWith, sourceAt } from '../support/s3/served.ts';

const loaded = (): boolean =>
  Object.keys(createRequire(import.meta.url).cache).some((path) => path.includes('/@aws-sdk/client-s3/'));

test('the S3 client is loaded by the first request, not by the command that may never make one', async (t) => {
  const objects = createS3Source();
  t.after(() => objects.close());
  assert.equal(loaded(), false);
  await assert.rejects(objects.list(sourceAt('http://s3.example.org'), ''), failsWith('source_insecure'));
  assert.equal(loaded(), false, 'a source that is refused needs no client');
  await assert.rejects(objects.list(sourceAt('http://127.0.0.1:1'), ''), failsWith('source_unavailable'));
  assert.equal(loaded(), true);
});
