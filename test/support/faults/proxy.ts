import { createServer, request as httpRequest, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

/** What becomes of one request: the honest answer is `upstream`, whole, to be passed on as the fault likes. */
export type Fault = (request: IncomingMessage, upstream: Upstream, response: ServerResponse) => void;

export interface Upstream {
  status: number;
  headers: Record<string, string | string[] | undefined>;
  body: Buffer;
}

export interface FaultPlan {
  fault: Fault;
  /** Which requests; by path and query. */
  on: RegExp;
  /** Only so many of them; default all. */
  times?: number;
  /** How many of them pass unharmed before. */
  after?: number;
}

export interface FaultProxy {
  endpoint: string;
  host: string;
  /** `GET /path bytes=1-` of each request, in order. */
  readonly asked: string[];
  /** Requests that a fault met. */
  readonly harmed: number;
  close(): Promise<void>;
}

/** A proxy in front of a server that harms what it is told to harm. */
export async function startFaultProxy(upstream: string, plans: readonly FaultPlan[]): Promise<FaultProxy> {
  const asked: string[] = [];
  const met = plans.map(() => 0);
  let harmed = 0;

  const planFor = (request: IncomingMessage): FaultPlan | undefined =>
    plans.find(({ on, times = Number.POSITIVE_INFINITY, after = 0 }, index) => {
      if (!on.test(request.url ?? '')) return false;
      const nth = (met[index] ?? 0) + 1;
      met[index] = nth;
      return nth > after && nth <= after + times;
    });

  const server = createServer((request, response) => {
    asked.push(`${request.method} ${request.url} ${request.headers.range ?? ''}`.trimEnd());
    const plan = planFor(request);
    fetchUpstream(upstream, request)
      .then((answer) => {
        if (plan === undefined) pass(request, answer, response);
        else {
          harmed++;
          plan.fault(request, answer, response);
        }
      })
      .catch(() => response.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const host = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  return {
    endpoint: `http://${host}`,
    host,
    asked,
    get harmed() {
      return harmed;
    },
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

function fetchUpstream(upstream: string, request: IncomingMessage): Promise<Upstream> {
  return new Promise((resolve, reject) => {
    const url = new URL(request.url ?? '/', upstream);
    const { host: _, connection: __, ...headers } = request.headers;
    const sent = httpRequest(url, { method: request.method ?? 'GET', headers, agent: false }, (answer) => {
      const chunks: Buffer[] = [];
      answer.on('data', (chunk: Buffer) => chunks.push(chunk));
      answer.on('end', () =>
        resolve({ status: answer.statusCode ?? 0, headers: answer.headers, body: Buffer.concat(chunks) }),
      );
      answer.on('error', reject);
    });
    sent.on('error', reject);
    request.pipe(sent);
  });
}

const pass: Fault = (_request, { status, headers, body }, response) => {
  const { connection: _, 'transfer-encoding': __, ...kept } = headers;
  response.writeHead(status, { ...kept, 'content-length': body.length }).end(body);
};

/** The head of the honest answer, with these headers changed; a null takes one away. */
function head(
  { status, headers }: Upstream,
  response: ServerResponse,
  changes: Record<string, string> = {},
): void {
  const { connection: _, 'transfer-encoding': __, ...kept } = headers;
  response.writeHead(status, { ...kept, ...changes });
}

/** Another status, with an S3 error of this code as its body. */
export const refusing =
  (status: number, code = '', headers: Record<string, string> = {}): Fault =>
  (_request, _upstream, response) => {
    const xml =
      code === '' ? '' : `<?xml version="1.0"?><Error><Code>${code}</Code><Message>no</Message></Error>`;
    response.writeHead(status, { 'content-type': 'application/xml', ...headers }).end(xml);
  };

/** The connection is reset after so many bytes of the body. */
export const resettingAt =
  (bytes: number): Fault =>
  (_request, upstream, response) => {
    head(upstream, response, { 'content-length': String(upstream.body.length) });
    response.write(upstream.body.subarray(0, bytes), () =>
      setImmediate(() => response.socket?.resetAndDestroy()),
    );
  };

/** So many bytes of the body come, and then nothing, for as long as the client waits. */
export const stallingAt =
  (bytes: number): Fault =>
  (_request, upstream, response) => {
    head(upstream, response, { 'content-length': String(upstream.body.length) });
    response.write(upstream.body.subarray(0, bytes));
  };

/** A byte of the body every few milliseconds, for as long as the client waits. */
export const trickling: Fault = (_request, upstream, response) => {
  head(upstream, response, { 'content-length': String(upstream.body.length) });
  let sent = 0;
  const timer = setInterval(() => response.write(upstream.body.subarray(sent, ++sent)), 20);
  response.once('close', () => clearInterval(timer));
};

/** The body ends early. `honest`: Content-Length says so; else it promises all of it, and the line is closed in good order. */
export const shortBy =
  (bytes: number, honest: boolean): Fault =>
  (_request, upstream, response) => {
    const body = upstream.body.subarray(0, Math.max(0, upstream.body.length - bytes));
    const told = honest ? body.length : upstream.body.length;
    head(upstream, response, { 'content-length': String(told), connection: 'close' });
    if (honest) response.end(body);
    else response.write(body, () => setImmediate(() => response.socket?.end()));
  };

/** One bit of the body is another. */
export const flippingAt =
  (byte: number): Fault =>
  (request, upstream, response) => {
    const body = Buffer.from(upstream.body);
    body[byte] = (body[byte] ?? 0) ^ 1;
    pass(request, { ...upstream, body }, response);
  };

/** The answer speaks of another version. */
export const withEtag =
  (etag: string): Fault =>
  (request, upstream, response) =>
    pass(request, { ...upstream, headers: { ...upstream.headers, etag: `"${etag}"` } }, response);

/** A listing that says it goes on, from the same place each time. */
export const repeatingToken: Fault = (request, upstream, response) => {
  const again = '<IsTruncated>true</IsTruncated><NextContinuationToken>again</NextContinuationToken>';
  const text = upstream.body
    .toString()
    .replace(/<IsTruncated>.*?<\/IsTruncated>/, '')
    .replace('</ListBucketResult>', `${again}</ListBucketResult>`);
  pass(request, { ...upstream, body: Buffer.from(text) }, response);
};
