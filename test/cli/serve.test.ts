import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';
import { openScene, type Running, type Scene, smallFamily } from './scene.ts';
import * as shapes from './shapes.ts';

let scene: Scene;
beforeEach(async () => {
  scene = await openScene();
  await scene.putLayers('small', smallFamily);
});
afterEach(() => scene.close());

async function serve(...more: string[]): Promise<{ server: Running; endpoint: string }> {
  const server = scene.run(['s3', 'serve', `${scene.folder}/buckets`, '--port', '0', '--json', ...more]);
  const text = await new Promise<string>((give) =>
    server.child.stdout?.once('data', (data: Buffer) => give(data.toString())),
  );
  const { endpoint } = JSON.parse(text) as { endpoint: string };
  return { server, endpoint };
}

const pullFrom = (endpoint: string): string[] => [
  ...['pull', 'small', '--source', 's3://images', '--endpoint', endpoint, '--driver', 'copy', '--json'],
];

test('s3 serve prints its endpoint, serves folders as buckets, and ends when asked', async () => {
  const { server, endpoint } = await serve();
  const { code, stdout } = await scene.flyd([...pullFrom(endpoint), '--anonymous']);
  assert.equal(code, 0);
  assert.equal(shapes.pull.parse(JSON.parse(stdout)).status, 'done');
  server.child.kill('SIGTERM');
  assert.equal((await server.ended).code, 0);
});

test('with keys it wants signed requests; AWS_* gives them, and no log shows them', async () => {
  const keys = ['--access-key', 'AKIDEXAMPLE', '--secret-key', 'a-very-secret-key'];
  const { server, endpoint } = await serve(...keys, '-vv');
  const anonymous = shapes.pull.parse(
    JSON.parse((await scene.flyd([...pullFrom(endpoint), '--anonymous'])).stdout),
  );
  assert.equal(anonymous.error?.code, 'source_denied');
  const signed = await scene.flyd([...pullFrom(endpoint), '-vv'], {
    AWS_ACCESS_KEY_ID: 'AKIDEXAMPLE',
    AWS_SECRET_ACCESS_KEY: 'a-very-secret-key',
  });
  assert.equal(signed.code, 0, signed.stderr);
  server.child.kill('SIGINT');
  const logged = (await server.ended).stderr + signed.stderr;
  assert.ok(logged.includes('"msg":"request"') && logged.includes('"msg":"run"'));
  assert.equal(logged.includes('a-very-secret-key'), false);
});
