import { request as httpRequest } from 'node:http';
import type { TestContext } from 'node:test';
import * as s3 from '@aws-sdk/client-s3';

export const keys = { accessKeyId: 'AKIDTEST', secretAccessKey: 'a secret / with + signs' };

/** The SDK as it comes, default checksums and all, against the server; keys or anonymous. */
export function clientOf(
  t: TestContext,
  { endpoint }: { endpoint: string },
  credentials: typeof keys | null = null,
): s3.S3Client {
  const anonymous = {
    credentials: { accessKeyId: '', secretAccessKey: '' },
    signer: { sign: async (r: never) => r },
  };
  const client = new s3.S3Client({
    endpoint,
    region: 'us-east-1',
    forcePathStyle: true,
    maxAttempts: 1,
    ...(credentials === null ? anonymous : { credentials }),
  } as s3.S3ClientConfig);
  t.after(() => client.destroy());
  return client;
}

/** For `assert.rejects`: an error of the SDK with this name, and status. */
export const named = (name: string, status?: number) => (error: unknown) => {
  const { name: found, $metadata } = error as s3.S3ServiceException;
  if (found === name && (status === undefined || $metadata.httpStatusCode === status)) return true;
  throw error;
};

/** A request as it is, without an SDK that knows better. */
export function plain(
  endpoint: string,
  method: string,
  path: string,
  headers: Record<string, string> = {},
  body = '',
): Promise<{ status: number; body: string }> {
  return new Promise((resolve, reject) => {
    const { hostname, port } = new URL(endpoint);
    const request = httpRequest({ hostname, port, method, path, headers, agent: false }, (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('end', () =>
        resolve({ status: response.statusCode ?? 0, body: Buffer.concat(chunks).toString() }),
      );
      response.on('error', reject);
    });
    request.on('error', reject);
    request.end(body);
  });
}
