import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { type AddressInfo, createServer as createTcpServer, type Server, type Socket } from 'node:net';
import type { TestContext } from 'node:test';
import type { S3Source as Source } from '#core/source';
import { sourceAt } from './served.ts';

type Handler = (request: IncomingMessage, response: ServerResponse) => void;

/** A server that answers as the test says; `requests` has what it was asked. */
export async function liar(
  t: TestContext,
  handler: Handler,
): Promise<{ source: Source; requests: IncomingMessage[] }> {
  const requests: IncomingMessage[] = [];
  const server = createServer((request, response) => {
    requests.push(request);
    handler(request, response);
  });
  const source = sourceAt(await listening(t, server));
  t.after(() => server.closeAllConnections());
  return { source, requests };
}

/** A server that does not even speak HTTP. */
export async function tcpLiar(t: TestContext, handler: (socket: Socket) => void): Promise<Source> {
  const sockets: Socket[] = [];
  const server = createTcpServer((socket) => {
    sockets.push(socket);
    socket.on('error', () => undefined);
    handler(socket);
  });
  t.after(() => {
    for (const socket of sockets) socket.destroy();
  });
  return sourceAt(await listening(t, server));
}

async function listening(t: TestContext, server: Server): Promise<string> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => void server.close());
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

/** Writes a piece again and again for as long as the other side takes it. */
export function writeForever(response: ServerResponse, piece: string | Buffer): void {
  const more = () => {
    while (!response.destroyed && response.write(piece));
  };
  response.on('drain', more);
  more();
}

/** A ListObjectsV2 answer with these elements inside. */
export const listingXml = (inner: string): string =>
  `<?xml version="1.0"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>bucket</Name>${inner}</ListBucketResult>`;

export const contentsXml = (key: string, etag = '"abc"', size: string | number = 1): string =>
  `<Contents><Key>${key}</Key><ETag>${etag}</ETag><Size>${size}</Size></Contents>`;
