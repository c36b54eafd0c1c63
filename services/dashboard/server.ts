import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type ErrorRecord, toErrorRecord, unrecoverable } from '#core/errors';
import { createGuard, safetyHeaders } from './guard.ts';
import { createHub } from './hub.ts';
import type { DashboardParts } from './parts.ts';
import { createRoutes } from './routes.ts';
import { createSampler } from './sampler.ts';
import { createStately } from './stately.ts';
import { createSummaries } from './summary.ts';

export interface Dashboard {
  port: number;
  /** `http://127.0.0.1:PORT`. */
  origin: string;
  /** With the token in the fragment, which no browser sends: the page trades it for a cookie. */
  address: string;
  close(): Promise<void>;
}

/** Serves the dashboard on loopback; port 0 takes a free one. Fails with `usage` when the port is taken. */
export async function startDashboard(parts: DashboardParts, wantedPort: number): Promise<Dashboard> {
  let port = wantedPort;
  const guard = createGuard(parts.token, () => port);
  const summaries = createSummaries(parts);
  const hub = createHub(parts, summaries);
  const routes = createRoutes(parts, hub, summaries);
  const sampler = createSampler(parts);
  const stately = createStately(parts, guard);

  const server = createServer((request, response) => {
    void handle(request, response).catch((error) => tell(response, error));
  });
  server.on('upgrade', stately.upgrade);

  async function handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    for (const [name, value] of Object.entries(safetyHeaders)) response.setHeader(name, value);
    const refused = guard.refuses(request);
    if (refused !== null) return reply(response, 403, { error: { code: 'permission', message: refused } });
    const url = new URL(request.url ?? '/', 'http://loopback');
    const asset = request.method === 'GET' || request.method === 'HEAD' ? assetOf(url.pathname) : null;
    if (asset !== null) {
      response.writeHead(200, { 'content-type': asset.type });
      response.end(request.method === 'HEAD' ? undefined : asset.text);
      return;
    }
    if (!guard.knows(request)) return reply(response, 401, { error: noToken });
    if (request.method === 'POST' && url.pathname === '/api/session') {
      response.setHeader('set-cookie', guard.cookie());
      return reply(response, 200, { ok: true });
    }
    for (const [method, pattern, answer] of routes) {
      const match = pattern.exec(url.pathname);
      if (match === null || method !== request.method) continue;
      const path = match.slice(1).map(decodeURIComponent);
      const document = await answer({ request, response, params: url.searchParams, path });
      return document === undefined ? undefined : reply(response, 200, document);
    }
    reply(response, 404, { error: { code: 'usage', message: 'there is nothing here' } });
  }

  /** The empty page holds no data: it is what asks for the token. Every address of it is the same page. */
  function assetOf(path: string): { type: string; text: string } | null {
    if (path === '/app.js') return { type: 'text/javascript; charset=utf-8', text: parts.page.js };
    if (path === '/app.css') return { type: 'text/css; charset=utf-8', text: parts.page.css };
    return path.startsWith('/api/') || path.startsWith('/inspect')
      ? null
      : { type: 'text/html; charset=utf-8', text: parts.page.html };
  }

  function tell(response: ServerResponse, error: unknown): void {
    const { cause: _, ...record } = toErrorRecord(error);
    if (record.code === 'unclassified') parts.log.warn({ err: error }, 'a request failed');
    if (response.headersSent) response.destroy();
    else reply(response, statusOf(record), { error: record });
  }

  port = await listen(server, wantedPort);
  const origin = `http://127.0.0.1:${port}`;
  sampler.start();
  return {
    port,
    origin,
    address: `${origin}/#token=${parts.token}`,
    async close() {
      sampler.stop();
      hub.close();
      stately.close();
      const closed = new Promise((give) => server.close(give));
      server.closeAllConnections();
      await closed;
    },
  };
}

const noToken = {
  code: 'permission',
  message: 'the token is missing or wrong',
  hint: 'open the address that `flyd inspect` printed',
};

function statusOf({ code, kind }: ErrorRecord): number {
  if (code === 'run_not_found') return 404;
  if (code === 'usage' || code === 'limit_exceeded') return 400;
  return kind === 'unrecoverable' ? 409 : 503;
}

function reply(response: ServerResponse, status: number, document: unknown): void {
  response.writeHead(status, { 'content-type': 'application/json; charset=utf-8' });
  response.end(JSON.stringify(document));
}

function listen(server: Server, port: number): Promise<number> {
  return new Promise((give, fail) => {
    server.once('error', (cause: NodeJS.ErrnoException) =>
      fail(
        unrecoverable('usage', `cannot listen on port ${port}: ${cause.message}`, {
          op: 'inspect',
          hint: 'another --port, or --port 0 for a free one',
          cause,
        }),
      ),
    );
    server.listen(port, '127.0.0.1', () => give((server.address() as AddressInfo).port));
  });
}
