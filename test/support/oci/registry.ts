import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { parseDigest } from '#core/ids';
import type { RegistrySource } from '#core/source';
import type { BuiltLayout } from './build.ts';

/** Sees each request first; true when it has answered. */
export type Intercept = (request: IncomingMessage, response: ServerResponse) => boolean;

export interface TestRegistry {
  endpoint: string;
  /** `127.0.0.1:port` */
  host: string;
  source: RegistrySource;
  /** Every request, with method, path and headers. */
  requests: IncomingMessage[];
  intercept(handler: Intercept): void;
}

/** An honest registry over a layout (distribution-spec, "Pull"), that a test can make dishonest. Its one repository is `tools/app`. */
export async function serveRegistry(
  t: { after(close: () => void): void },
  layout: BuiltLayout,
): Promise<TestRegistry> {
  const requests: IncomingMessage[] = [];
  let handler: Intercept = () => false;
  const server = createServer((request, response) => {
    requests.push(request);
    if (!handler(request, response)) answer(layout, request, response);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  const host = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  const endpoint = `http://${host}`;
  const source: RegistrySource = {
    kind: 'registry',
    endpoint,
    repository: 'tools/app',
    anonymous: false,
    insecure: false,
  };
  return {
    endpoint,
    host,
    source,
    requests,
    intercept: (given) => {
      handler = given;
    },
  };
}

function answer(layout: BuiltLayout, request: IncomingMessage, response: ServerResponse): void {
  const { pathname } = new URL(request.url ?? '/', 'http://registry');
  const { kind, name = '' } =
    /^\/v2\/tools\/app\/(?<kind>manifests|blobs|tags)\/(?<name>[^/]+)$/.exec(pathname)?.groups ?? {};
  if (kind === 'tags') {
    listTags(layout, response);
    return;
  }
  const found = kind === 'manifests' ? manifestOf(layout, name) : null;
  const digest = parseDigest(found?.digest ?? name);
  const bytes = digest === null ? null : layout.read(digest);
  if (bytes === null) {
    refuse(response, kind === 'blobs' ? 'BLOB_UNKNOWN' : 'MANIFEST_UNKNOWN');
    return;
  }
  const type = kind === 'manifests' ? (found?.mediaType ?? typeIn(bytes)) : 'application/octet-stream';
  const headers = { 'content-type': type, 'docker-content-digest': digest ?? '' };
  const start = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? '')?.[1] ?? 0);
  const range = start > 0 ? { 'content-range': `bytes ${start}-${bytes.length - 1}/${bytes.length}` } : {};
  const body = bytes.subarray(start);
  response.writeHead(start > 0 ? 206 : 200, { ...headers, ...range, 'content-length': body.length });
  response.end(body);
}

/** What a tag names: its entry, or, where it has one for each platform, the first. */
const manifestOf = (layout: BuiltLayout, name: string) =>
  layout.tags().find(({ annotations }) => annotations?.['org.opencontainers.image.ref.name'] === name) ??
  null;

const typeIn = (bytes: Buffer): string =>
  String((JSON.parse(bytes.toString()) as { mediaType?: string }).mediaType ?? 'application/json');

function listTags(layout: BuiltLayout, response: ServerResponse): void {
  const tags = layout
    .tags()
    .flatMap(({ annotations }) => annotations?.['org.opencontainers.image.ref.name'] ?? []);
  response
    .writeHead(200, { 'content-type': 'application/json' })
    .end(JSON.stringify({ name: 'tools/app', tags }));
}

export function refuse(response: ServerResponse, code: string, status = 404, headers = {}): void {
  response.writeHead(status, { 'content-type': 'application/json', ...headers });
  response.end(JSON.stringify({ errors: [{ code, message: 'no' }] }));
}
