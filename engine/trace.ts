import { createHash } from 'node:crypto';
import { unrecoverable } from '#core/errors';

/** A trace as it is given to `start`, and stored: the two headers of W3C Trace Context. */
export interface TraceHeaders {
  traceparent: string;
  tracestate?: string;
}

/** One span of a stored trace. Its ids depend on what it stands for only, so they are the same in any process. */
export interface TraceContext {
  traceId: string;
  spanId: string;
  parentSpanId: string;
  /** To be sent along by what happens within this span. */
  traceparent: string;
  tracestate: string | null;
}

/** W3C Trace Context, 3.2.2: version, trace id, parent id and flags; later versions may append fields. */
const traceparentPattern =
  /^(?!ff)[0-9a-f]{2}-(?<traceId>(?!0{32})[0-9a-f]{32})-(?<spanId>(?!0{16})[0-9a-f]{16})-(?<flags>[0-9a-f]{2})(?:-.*)?$/;

/** The headers, if they make sense. Throws `usage`. */
export function checkedTrace(headers: TraceHeaders): TraceHeaders {
  if (!traceparentPattern.test(headers.traceparent))
    throw unrecoverable('usage', `this is no traceparent: ${headers.traceparent}`, {
      hint: 'write it as W3C Trace Context does: 00-<32 hex digits>-<16 hex digits>-01',
    });
  return headers;
}

/** As it is stored. */
export const traceText = (headers: TraceHeaders | null): string | null =>
  headers === null ? null : JSON.stringify(headers);

/** The span of `name` right below the one that the headers name. */
export function spanBelow(
  { traceparent, tracestate }: TraceHeaders | TraceContext,
  name: string,
): TraceContext {
  const { traceId, spanId, flags } = traceparentPattern.exec(traceparent)?.groups ?? {};
  const own = createHash('sha256').update(name).digest('hex').slice(0, 16);
  return {
    traceId: traceId ?? '',
    spanId: own,
    parentSpanId: spanId ?? '',
    traceparent: `00-${traceId}-${own}-${flags}`,
    tracestate: tracestate ?? null,
  };
}

/** What a child run stores: it is a span below its parent's. */
export function inheritedTrace(headers: TraceHeaders | null, parent: string): TraceHeaders | null {
  if (headers === null) return null;
  const { traceparent } = spanBelow(headers, parent);
  return { ...headers, traceparent };
}
