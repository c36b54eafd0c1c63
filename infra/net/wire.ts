import { lookup as dnsLookup } from 'node:dns/promises';
import { Agent as HttpAgent, request as httpRequest, type IncomingHttpHeaders } from 'node:http';
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https';
import { isIP, type LookupFunction } from 'node:net';
import type { Readable } from 'node:stream';
import { type HostRule, refuseAddress } from './address.ts';

/** One request of a client, and no more: nothing is followed, retried, decoded or remembered. */
export interface WireRequest {
  url: URL;
  headers: Readonly<Record<string, string>>;
  /** The operator named this host; else only public addresses are dialled for it. */
  named: boolean;
  /** A form to POST; without it, GET. */
  form?: string;
  signal?: AbortSignal | undefined;
}

export interface WireAnswer {
  status: number;
  headers: IncomingHttpHeaders;
  /** Unread: the reader must drain or destroy it. */
  body: Readable;
}

export interface WireOptions {
  /** Milliseconds for the connection, TLS included. */
  connectMs: number;
  /** Milliseconds from the request to the head of its answer. */
  stallMs: number;
  /** The addresses of a name. Default: the system's resolver. */
  resolve?: (hostname: string) => Promise<{ address: string; family: number }[]>;
}

export interface Wire {
  /** Fails with `source_refused`, a TimeoutError, an error of the connection, or the signal's reason. */
  send(request: WireRequest): Promise<WireAnswer>;
  /** Closes idle connections. */
  close(): void;
}

/** A wait that took too long: its name is what the S3 client's errors have too. */
class TimeoutError extends Error {
  override readonly name = 'TimeoutError';
}

/**
 * The HTTP client of everything that is not S3. A name is resolved, its addresses are judged, and one of
 * those judged is dialled: no second resolution is in between that could say something else. Connections
 * for hosts that the operator named are never used for the same host when a stranger named it.
 */
export function createWire({ connectMs, stallMs, resolve = systemResolve }: WireOptions): Wire {
  const pool = () => ({
    http: new HttpAgent({ keepAlive: true, maxSockets: 32 }),
    https: new HttpsAgent({ keepAlive: true, maxSockets: 32 }),
  });
  const pools = { named: pool(), strange: pool() };

  /** Judges what a name leads to; of several addresses those that may be dialled are left. */
  const judging =
    (rule: HostRule): LookupFunction =>
    (hostname, options, callback) => {
      resolve(hostname).then(
        (found) => {
          const allowed = found.filter(({ address }) => refuseAddress(address, rule, false) === null);
          const [first] = allowed;
          if (first === undefined) {
            const refusal = found[0] === undefined ? null : refuseAddress(found[0].address, rule, false);
            callback(
              refusal ?? Object.assign(new Error(`no address for ${hostname}`), { code: 'ENOTFOUND' }),
              '',
            );
          } else if (options.all === true) callback(null, allowed);
          else callback(null, first.address, first.family);
        },
        (error: NodeJS.ErrnoException) => callback(error, ''),
      );
    };

  async function send({ url, headers, named, form, signal }: WireRequest): Promise<WireAnswer> {
    signal?.throwIfAborted();
    const rule = { host: url.host, named };
    const literal = url.hostname.replace(/^\[|\]$/g, '');
    const refusal = isIP(literal) === 0 ? null : refuseAddress(literal, rule, true);
    if (refusal !== null) throw refusal;
    const secure = url.protocol === 'https:';
    const { http, https } = named ? pools.named : pools.strange;
    const options = {
      method: form === undefined ? 'GET' : 'POST',
      headers: { ...headers, 'accept-encoding': 'identity', ...formHeaders(form) },
      lookup: judging(rule),
    };
    return new Promise((give, fail) => {
      const request = secure
        ? httpsRequest(url, { ...options, agent: https })
        : httpRequest(url, { ...options, agent: http });
      const late = (what: string) => () => request.destroy(new TimeoutError(what));
      let timer = setTimeout(late(`no connection within ${connectMs} ms`), connectMs);
      const connected = () => {
        clearTimeout(timer);
        timer = setTimeout(late(`no answer within ${stallMs} ms`), stallMs);
      };
      const stop = () => request.destroy();
      signal?.addEventListener('abort', stop, { once: true });
      const settle = () => {
        clearTimeout(timer);
        signal?.removeEventListener('abort', stop);
      };
      request.on('socket', (socket) => {
        if (!socket.connecting) connected();
        else socket.once(secure ? 'secureConnect' : 'connect', connected);
      });
      request.once('response', (body) => {
        settle();
        give({ status: body.statusCode ?? 0, headers: body.headers, body });
      });
      request.on('error', (error) => {
        settle();
        fail(signal?.aborted === true ? signal.reason : error);
      });
      request.end(form);
    });
  }

  return {
    send,
    close() {
      for (const { http, https } of Object.values(pools)) {
        http.destroy();
        https.destroy();
      }
    },
  };
}

const systemResolve = (hostname: string) => dnsLookup(hostname, { all: true });

const formHeaders = (form: string | undefined): Record<string, string> =>
  form === undefined
    ? {}
    : {
        'content-type': 'application/x-www-form-urlencoded',
        'content-length': String(Buffer.byteLength(form)),
      };
