import { unrecoverable } from '#core/errors';
import { smallBody } from '../net/body.ts';
import type { Wire, WireAnswer } from '../net/wire.ts';
import { type Auth, noCredentials } from './auth.ts';
import { type Asked, judgeOf, protocolError, refusalError, subjectOf, thrownError } from './failures.ts';
import { checkTarget, isNamed } from './targets.ts';

export interface Question extends Asked {
  /** Below the registry's root: `/v2/…`. */
  path: string;
  headers: Readonly<Record<string, string>>;
  signal: AbortSignal | undefined;
}

export interface AskOptions {
  wire: Wire;
  auth: Auth;
  allowHosts: readonly string[];
  stallMs: number;
}

export type Ask = (question: Question) => Promise<WireAnswer>;

const redirectsMax = 5;
const refusalBytesMax = 64 * 1024;

/**
 * Asks a registry and gives its answer, 200 or 206, with the body unread. A challenge is answered once, and
 * only the registry's own: never that of a place it redirected to. The Authorization header goes to the
 * registry's own scheme, host and port, and is dropped for good by the first redirect that leaves them
 * (CVE-2020-15157). Fails as the failures of this room say.
 */
export function createAsk({ wire, auth, allowHosts, stallMs }: AskOptions): Ask {
  async function send(question: Question, url: URL, authorization: string | null): Promise<WireAnswer> {
    const { source, headers, signal } = question;
    const named = isNamed(source, url, allowHosts);
    const known = authorization === null ? {} : { authorization };
    try {
      return await wire.send({ url, named, headers: { ...headers, ...known }, signal });
    } catch (error) {
      signal?.throwIfAborted();
      throw thrownError(question, error);
    }
  }

  async function refuse(question: Question, answer: WireAnswer): Promise<never> {
    const guard = { judge: judgeOf(question), idleMs: stallMs, signal: question.signal };
    const body = await smallBody(answer.body, refusalBytesMax, guard).catch(() => Buffer.alloc(0));
    question.signal?.throwIfAborted();
    throw refusalError(question, answer, body.toString('utf8'));
  }

  /** Follows redirects from the registry's own answer on. */
  async function follow(
    question: Question,
    first: WireAnswer,
    from: URL,
    own: string | null,
  ): Promise<WireAnswer> {
    let [answer, url, authorization] = [first, from, own];
    for (let hops = 0; isRedirect(answer.status); hops++) {
      answer.body.destroy();
      if (hops === redirectsMax)
        throw protocolError(question, `the registry redirects more than ${redirectsMax} times`);
      const location = answer.headers.location ?? '';
      if (!URL.canParse(location, url.href)) throw protocolError(question, 'a redirect leads to no address');
      const next = new URL(location, url);
      checkTarget(question.source, next, 'place');
      if (next.origin !== url.origin) authorization = null;
      url = next;
      answer = await send(question, url, authorization);
    }
    return answer;
  }

  return async (question) => {
    const { source, path, signal } = question;
    // Joined as text: a path that begins with two slashes would be a host if it were resolved.
    const url = new URL(`${source.endpoint}${path}`);
    let authorization = auth.known(source);
    let answer = await send(question, url, authorization);
    const challenge = answer.headers['www-authenticate'];
    if (answer.status === 401 && challenge !== undefined) {
      answer.body.destroy();
      authorization = await auth.answer(source, challenge, signal);
      if (authorization === null) throw noCredentials(question);
      answer = await send(question, url, authorization);
    }
    answer = await follow(question, answer, url, authorization);
    if (answer.status !== 200 && answer.status !== 206) return refuse(question, answer);
    const encoding = answer.headers['content-encoding'] ?? 'identity';
    if (encoding === 'identity') return answer;
    answer.body.destroy();
    throw unrecoverable(
      'source_protocol',
      `the answer is encoded as ${encoding.slice(0, 40)}, which nobody asked for`,
      {
        subject: subjectOf(question),
      },
    );
  };
}

const isRedirect = (status: number): boolean => [301, 302, 303, 307, 308].includes(status);
