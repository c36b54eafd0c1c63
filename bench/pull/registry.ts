import { createReadStream, readFileSync, statSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';

/**
 * A registry that serves one OCI layout and nothing else, for the peers: `registry.ts LAYOUT ADDRESS`.
 * Prints its port. Files are sent as they are, by the same kind of server that serves flyd its bucket.
 */
const [, , layout = '', address = '127.0.0.1'] = process.argv;

interface Descriptor {
  digest: string;
  mediaType: string;
  annotations?: Record<string, string>;
}

const { manifests } = JSON.parse(readFileSync(join(layout, 'index.json'), 'utf8')) as {
  manifests: Descriptor[];
};
const blobPath = (digest: string): string => join(layout, 'blobs', ...digest.split(':'));

function find(kind: string, reference: string): Descriptor | null {
  if (kind === 'blobs') return { digest: reference, mediaType: 'application/octet-stream' };
  return (
    manifests.find(
      ({ digest, annotations }) =>
        digest === reference || annotations?.['org.opencontainers.image.ref.name'] === reference,
    ) ?? null
  );
}

const server = createServer((request, response) => {
  const parts = /^\/v2\/.+\/(manifests|blobs)\/([^/?]+)$/.exec(request.url ?? '');
  const [, kind = '', reference = ''] = parts ?? [];
  const found = parts === null ? null : find(kind, reference);
  const size =
    found === null ? null : (statSync(blobPath(found.digest), { throwIfNoEntry: false })?.size ?? null);
  if (found === null || size === null) {
    response.writeHead(request.url === '/v2/' ? 200 : 404).end();
    return;
  }
  const range = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? '');
  const start = Number(range?.[1] ?? 0);
  const end = Math.min(range?.[2] === undefined || range[2] === '' ? size - 1 : Number(range[2]), size - 1);
  response.writeHead(range === null ? 200 : 206, {
    'content-type': found.mediaType,
    'content-length': end - start + 1,
    'docker-content-digest': found.digest,
    'accept-ranges': 'bytes',
    ...(range === null ? {} : { 'content-range': `bytes ${start}-${end}/${size}` }),
  });
  if (request.method === 'HEAD') response.end();
  else createReadStream(blobPath(found.digest), { start, end, highWaterMark: 1024 * 1024 }).pipe(response);
});
server.listen(0, address, () => {
  const listening = server.address();
  console.log(typeof listening === 'object' ? listening?.port : listening);
});
