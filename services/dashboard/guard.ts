import { timingSafeEqual } from 'node:crypto';
import type { IncomingMessage } from 'node:http';

/**
 * Who may speak to the server. A page of somebody else's in the same browser must not (CSRF, DNS
 * rebinding), nor another user of the host: everything but the empty page wants the token, as a bearer,
 * a cookie, or (WebSockets of other programs) in the query.
 */
export interface Guard {
  /** Why the request is refused whoever sent it, or null: wrong Host or Origin. */
  refuses(request: IncomingMessage): string | null;
  /** Whether it carries the token as `Authorization: Bearer` or in the cookie. */
  knows(request: IncomingMessage): boolean;
  isToken(text: string): boolean;
  /** The Set-Cookie line that hands the token to the browser. */
  cookie(): string;
}

const loopbackNames: readonly string[] = ['127.0.0.1', 'localhost', '[::1]'];

/** `port` is the one that it listens on: cookies are shared by all ports of a host, so it is in the name. */
export function createGuard(token: string, port: () => number): Guard {
  const isToken = (text: string): boolean => {
    const given = Buffer.from(text);
    const wanted = Buffer.from(token);
    return given.length === wanted.length && timingSafeEqual(given, wanted);
  };
  const cookieName = (): string => `flyd_${port()}`;
  return {
    isToken,
    refuses({ headers }) {
      const host = headers.host ?? '';
      if (!loopbackNames.includes(host.replace(/:\d+$/, '').toLowerCase()))
        return `the Host header names '${host.slice(0, 100)}', which is not this machine's loopback`;
      const { origin } = headers;
      if (origin !== undefined && origin !== `http://${host}`)
        return `the request comes from a page of ${origin.slice(0, 100)}`;
      const site = headers['sec-fetch-site'];
      if (site !== undefined && site !== 'same-origin' && site !== 'none')
        return 'the request comes from a page of another site';
      return null;
    },
    knows({ headers }) {
      const bearer = /^Bearer (.+)$/.exec(headers.authorization ?? '')?.[1];
      if (bearer !== undefined) return isToken(bearer);
      const name = cookieName();
      return (headers.cookie ?? '')
        .split(/;\s*/)
        .some((pair) => pair.startsWith(`${name}=`) && isToken(pair.slice(name.length + 1)));
    },
    cookie: () => `${cookieName()}=${token}; HttpOnly; SameSite=Strict; Path=/`,
  };
}

/** Nothing is loaded from elsewhere, nothing is framed, nothing is kept by proxies. */
export const safetyHeaders: Readonly<Record<string, string>> = {
  'content-security-policy':
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; " +
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
  'referrer-policy': 'no-referrer',
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
  'cache-control': 'no-store',
};
