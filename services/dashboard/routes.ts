import type { IncomingMessage, ServerResponse } from 'node:http';
import type { z } from 'zod';
import { unrecoverable } from '#core/errors';
import { actionSchema, bulkSchema, createActions, runIdSchema } from './actions.ts';
import { exportDocument, exportHtml } from './export.ts';
import type { Hub } from './hub.ts';
import { createLayouts } from './layout.ts';
import type { DashboardParts } from './parts.ts';
import { numberOf, runQueryOf } from './query.ts';
import { definitionDocument, historyDocument, momentDocument, runDocument } from './run-documents.ts';
import { spaceDocument, storeDocument } from './store-document.ts';
import { openStream } from './stream.ts';
import type { Summaries } from './summary.ts';

export interface Call {
  request: IncomingMessage;
  response: ServerResponse;
  params: URLSearchParams;
  /** What the pattern of the path caught. */
  path: readonly string[];
}

/** A route gives the document of its answer, or `undefined` when it has answered by itself. */
type Route = [method: 'GET' | 'POST', path: RegExp, answer: (call: Call) => unknown];

const listMax = 10_000;
const bodyBytesMax = 256 * 1024;

/** The API of the page. Everything here has passed the guard. */
export function createRoutes(parts: DashboardParts, hub: Hub, summaries: Summaries): readonly Route[] {
  const { watch, store } = parts;
  const layouts = createLayouts();
  const actions = createActions(parts, summaries);
  const run = ({ path }: Call): string => runIdSchema.parse(path[0]);
  const from = ({ request }: Call): string => String(request.socket.remoteAddress);
  const definition = (hash: string) => definitionDocument(parts, layouts, hash);

  return [
    ['GET', /^\/api\/about$/, () => ({ ...parts.about, now: parts.now(), counts: watch.counts() })],
    [
      'GET',
      /^\/api\/runs$/,
      ({ params }) => {
        const cursor = watch.cursor();
        const limit = numberOf(params, 'limit', listMax, listMax);
        return { cursor, ...summaries.list(runQueryOf(params), limit), counts: watch.counts() };
      },
    ],
    ['GET', /^\/api\/stream$/, (call) => stream(call, null)],
    ['GET', /^\/api\/runs\/([^/]+)$/, (call) => runDocument(parts, run(call))],
    ['GET', /^\/api\/runs\/([^/]+)\/history$/, (call) => historyDocument(parts, run(call))],
    ['GET', /^\/api\/runs\/([^/]+)\/stream$/, (call) => stream(call, run(call))],
    [
      'GET',
      /^\/api\/runs\/([^/]+)\/at\/(\d{1,9})$/,
      (call) => momentDocument(parts, run(call), Number(call.path[1])),
    ],
    ['GET', /^\/api\/runs\/([^/]+)\/export$/, download],
    [
      'POST',
      /^\/api\/runs\/([^/]+)\/actions$/,
      async (call) => {
        const wanted = await bodyOf(call, actionSchema);
        return actions.one(run(call), wanted, from(call));
      },
    ],
    ['GET', /^\/api\/bulk$/, ({ params }) => ({ count: actions.targets(params.get('filter') ?? '').length })],
    ['POST', /^\/api\/bulk$/, async (call) => actions.bulk(await bodyOf(call, bulkSchema), from(call))],
    [
      'GET',
      /^\/api\/definitions\/([0-9a-f]{64})$/,
      async ({ path }) => {
        const found = await definition(path[0] ?? '');
        if (found === null) throw notFound('no machine has this definition');
        return found;
      },
    ],
    ['GET', /^\/api\/store$/, () => storeDocument(parts)],
    ['GET', /^\/api\/space$/, ({ params }) => spaceDocument(parts, numberOf(params, 'hours', 24, 168))],
    [
      'GET',
      /^\/api\/audit$/,
      ({ params }) =>
        store.audit.list({ run: params.get('run'), limit: numberOf(params, 'limit', 200, 5000) }),
    ],
  ];

  function stream({ request, response, params }: Call, one: string | null): undefined {
    const last = request.headers['last-event-id'];
    const resumed = typeof last === 'string' && /^\d{1,15}$/.test(last) ? Number(last) : null;
    const after = resumed ?? numberOf(params, 'after', watch.cursor(), Number.MAX_SAFE_INTEGER);
    // The rows of a run's relatives are wanted beside it: its page picks them out.
    const query = one === null ? runQueryOf(params) : runQueryOf(new URLSearchParams());
    openStream(response, { after, run: one, query }, { hub, watch, summaries });
  }

  async function download(call: Call): Promise<undefined> {
    const id = run(call);
    const html = exportHtml(parts.page, await exportDocument(parts, definition, id));
    call.response.writeHead(200, {
      'content-type': 'text/html; charset=utf-8',
      'content-disposition': `attachment; filename="flyd-run-${id}.html"`,
    });
    call.response.end(html);
  }
}

export const notFound = (what: string) =>
  unrecoverable('run_not_found', what, { hint: 'reload the page: it may have been removed' });

/** The JSON body of a request, checked. Fails with `usage`. */
async function bodyOf<T>({ request }: Call, schema: z.ZodType<T>): Promise<T> {
  if (!/^application\/json\b/.test(request.headers['content-type'] ?? ''))
    throw unrecoverable('usage', 'the body is not declared as JSON', {
      hint: 'content-type: application/json',
    });
  const parts: Buffer[] = [];
  let size = 0;
  for await (const part of request as AsyncIterable<Buffer>) {
    size += part.length;
    if (size > bodyBytesMax) throw unrecoverable('usage', `the body is larger than ${bodyBytesMax} bytes`);
    parts.push(part);
  }
  let value: unknown;
  try {
    value = JSON.parse(Buffer.concat(parts).toString());
  } catch (cause) {
    throw unrecoverable('usage', 'the body is not JSON', { cause });
  }
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const problems = parsed.error.issues.map(({ path, message }) => `${path.join('.') || 'body'}: ${message}`);
  throw unrecoverable('usage', problems.join('; '));
}
