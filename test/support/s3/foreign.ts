import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import type { TestContext } from 'node:test';
import * as s3 from '@aws-sdk/client-s3';
import { tempFolder } from './served.ts';

const program = `
  const S3rver = require('@20minutes/s3rver');
  new S3rver({ port: 0, address: '127.0.0.1', silent: true, directory: process.argv[1],
    configureBuckets: [{ name: 'bucket' }] }).run().then(({ port }) => console.log(port));
`;

/**
 * @20minutes/s3rver, a server that we did not write, in a process of its own, with these objects in
 * `bucket`. It wants a cipher of old for its continuation tokens, and its clients anonymous.
 */
export async function foreignServer(
  t: TestContext,
  objects: Record<string, string | Buffer>,
): Promise<{ endpoint: string; put: (key: string, body: string | Buffer) => Promise<void> }> {
  const child = spawn(process.execPath, ['--openssl-legacy-provider', '-e', program, tempFolder(t)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  t.after(async () => {
    const ended = once(child, 'exit');
    if (child.kill('SIGKILL')) await ended;
  });
  const [port] = (await Promise.race([
    once(createInterface({ input: child.stdout }), 'line'),
    once(child, 'exit').then(([code]) => Promise.reject(new Error(`s3rver ended with ${code}`))),
  ])) as [string];
  const endpoint = `http://127.0.0.1:${port}`;
  const client = new s3.S3Client({
    endpoint,
    region: 'us-east-1',
    forcePathStyle: true,
    credentials: { accessKeyId: '', secretAccessKey: '' },
    signer: { sign: async (request) => request },
    requestChecksumCalculation: 'WHEN_REQUIRED',
  });
  t.after(() => client.destroy());
  const put = async (Key: string, Body: string | Buffer) =>
    void (await client.send(new s3.PutObjectCommand({ Bucket: 'bucket', Key, Body })));
  for (const [key, body] of Object.entries(objects)) await put(key, body);
  return { endpoint, put };
}
