import { z } from 'zod';
import { type FlydError, unrecoverable } from '#core/errors';
import type { RegistrySource } from '#core/source';
import { smallBody } from '../net/body.ts';
import type { Wire } from '../net/wire.ts';
import { type Challenge, parseChallenges } from './challenge.ts';
import type { Credentials, FindCredentials } from './credentials.ts';
import { type Asked, judgeOf, protocolError, refusalError, thrownError } from './failures.ts';
import { checkTarget, isNamed } from './targets.ts';

export interface AuthOptions {
  wire: Wire;
  credentials: FindCredentials;
  allowHosts: readonly string[];
  stallMs: number;
  now: () => number;
}

export interface Auth {
  /** The Authorization header for this repository, as far as one is known; it may have expired. */
  known(source: RegistrySource): string | null;
  /** A new header that answers the challenge of a 401 of the registry itself; null when it offers nothing that we have. */
  answer(source: RegistrySource, challenge: string, signal: AbortSignal | undefined): Promise<string | null>;
}

/** Distribution token specification, "Token response fields". */
const answerSchema = z.object({
  token: z.string().optional(),
  access_token: z.string().optional(),
  expires_in: z.number().optional(),
});
const answerBytesMax = 256 * 1024;
/** b64token of RFC 6750: anything else would be more than one header. */
const tokenPattern = /^[A-Za-z0-9._~+/=-]{1,65536}$/;
const lifeMsDefault = 60_000;
/** A token is given up so long before it expires. */
const marginMs = 5_000;

/**
 * Authentication at registries: Basic, and Bearer with a token server (distribution token specification).
 * Credentials are looked for when a registry asks, and go to it or to the token server that it names, over
 * https (plain HTTP only where the registry has it). Tokens live in memory, by repository.
 */
export function createAuth({ wire, credentials, allowHosts, stallMs, now }: AuthOptions): Auth {
  const headers = new Map<string, { header: string; until: number }>();
  const nameOf = ({ endpoint, repository, anonymous }: RegistrySource): string =>
    JSON.stringify([endpoint, repository, anonymous]);

  function known(source: RegistrySource): string | null {
    const found = headers.get(nameOf(source));
    return found !== undefined && found.until > now() ? found.header : null;
  }

  async function answer(
    source: RegistrySource,
    challenge: string,
    signal: AbortSignal | undefined,
  ): Promise<string | null> {
    headers.delete(nameOf(source));
    const offered = parseChallenges(challenge);
    const bearer = offered.find(({ scheme }) => scheme === 'bearer');
    const basic = offered.find(({ scheme }) => scheme === 'basic');
    if (bearer === undefined && basic === undefined) return null;
    const found = source.anonymous ? null : await credentials(new URL(source.endpoint).host, signal);
    if (bearer !== undefined) {
      const { header, lifeMs } = await token(source, bearer, found, signal);
      headers.set(nameOf(source), { header, until: now() + lifeMs - marginMs });
      return header;
    }
    if (found?.kind !== 'password') return null;
    const header = basicHeader(found);
    headers.set(nameOf(source), { header, until: Number.POSITIVE_INFINITY });
    return header;
  }

  async function token(
    source: RegistrySource,
    { params }: Challenge,
    found: Credentials | null,
    signal: AbortSignal | undefined,
  ): Promise<{ header: string; lifeMs: number }> {
    const { realm = '', service, scope = `repository:${source.repository}:pull` } = params;
    const asked: Asked = { source, what: 'token', name: hostOf(realm) };
    if (!URL.canParse(realm))
      throw protocolError(asked, 'the registry names a token server that is no address');
    const url = new URL(realm);
    checkTarget(source, url, 'token server');
    const query = { ...(service === undefined ? {} : { service }), scope };
    const form =
      found?.kind === 'identity'
        ? { grant_type: 'refresh_token', client_id: 'flyd', refresh_token: found.token, ...query }
        : null;
    if (form === null)
      for (const [name, value] of Object.entries(query)) url.searchParams.append(name, value);
    const bytes = await small(asked, url, {
      headers: found?.kind === 'password' ? { authorization: basicHeader(found) } : {},
      ...(form === null ? {} : { form: new URLSearchParams(form).toString() }),
      signal,
    });
    const text = readToken(asked, bytes);
    return { header: `Bearer ${text.token}`, lifeMs: (text.expiresIn ?? 0) * 1000 || lifeMsDefault };
  }

  interface Sending {
    headers: Record<string, string>;
    form?: string;
    signal: AbortSignal | undefined;
  }

  /** The body of a token server's answer. It follows no redirect: credentials go where the registry said, or nowhere. */
  async function small(asked: Asked, url: URL, sending: Sending): Promise<Buffer> {
    const named = isNamed(asked.source, url, allowHosts);
    const reply = await wire.send({ url, named, ...sending }).catch((error: unknown) => {
      sending.signal?.throwIfAborted();
      throw thrownError(asked, error);
    });
    const guard = { judge: judgeOf(asked), idleMs: stallMs, signal: sending.signal };
    const body = await smallBody(reply.body, answerBytesMax, guard);
    if (reply.status === 200) return body;
    if (reply.status < 400)
      throw protocolError(asked, `the token server answered ${reply.status}: its redirects are not followed`);
    throw refusalError(asked, reply, body.toString('utf8', 0, 4096));
  }

  return { known, answer };
}

function readToken(asked: Asked, bytes: Buffer): { token: string; expiresIn: number | undefined } {
  const wrong = (what: string): FlydError => protocolError(asked, `the token server answered ${what}`);
  let json: unknown;
  try {
    json = JSON.parse(bytes.toString('utf8'));
  } catch {
    throw wrong('with something that is not JSON'); // without its cause, which would quote the answer
  }
  const parsed = answerSchema.safeParse(json);
  if (!parsed.success) throw wrong('with a document that is no token');
  const token = parsed.data.token || parsed.data.access_token || '';
  if (!tokenPattern.test(token)) throw wrong('without a usable token');
  return { token, expiresIn: parsed.data.expires_in };
}

const basicHeader = ({ username, password }: Credentials & { kind: 'password' }): string =>
  `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`;

const hostOf = (realm: string): string => (URL.canParse(realm) ? new URL(realm).host : 'none');

/** What nobody can log in with. */
export const noCredentials = (asked: Asked): FlydError =>
  unrecoverable('source_denied', 'the registry asks for a way to log in that flyd does not have', {
    subject: asked.source.endpoint,
    hint: 'Basic and Bearer are known; the credentials come from docker login, podman login or --auth-file',
  });
