import { z } from 'zod';
import type { RegistrySource } from '#core/source';
import { smallBody } from '../net/body.ts';
import type { Ask } from './ask.ts';
import { type Asked, judgeOf, protocolError } from './failures.ts';
import { checkTarget } from './targets.ts';

const answerSchema = z.object({ tags: z.array(z.string()).nullable() });
const answerBytesMax = 1024 * 1024;
const pagesMax = 4;
const tagPattern = /^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$/;

/**
 * The first tags of a repository, for a person who named one that is not there: a few pages at most
 * (distribution-spec, "Content Discovery"). A Link to the next page stays at the registry: it must be https
 * like all it leads to, and of its own host, because it is asked with the registry's Authorization.
 */
export async function listTags(
  ask: Ask,
  source: RegistrySource,
  { stallMs, signal }: { stallMs: number; signal: AbortSignal | undefined },
): Promise<string[]> {
  const asked: Asked = { source, what: 'tags', name: 'tags' };
  const tags: string[] = [];
  let path: string | null = `/v2/${source.repository}/tags/list?n=100`;
  for (let page = 0; path !== null && page < pagesMax; page++) {
    const answer = await ask({ ...asked, path, headers: {}, signal });
    const bytes = await smallBody(answer.body, answerBytesMax, {
      judge: judgeOf(asked),
      idleMs: stallMs,
      signal,
    });
    const parsed = answerSchema.safeParse(JSON.parse(bytes.toString('utf8')));
    if (!parsed.success) throw protocolError(asked, 'the list of tags is none');
    tags.push(...(parsed.data.tags ?? []).filter((tag) => tagPattern.test(tag)));
    path = nextPath(asked, new URL(`${source.endpoint}${path}`), answer.headers.link);
  }
  return tags;
}

/** Path and query of `Link: <…>; rel="next"` (RFC 8288), or null at the last page. */
function nextPath(asked: Asked, from: URL, link: string | string[] | undefined): string | null {
  const target = /<([^>]*)>\s*;[^,]*\brel="?next"?/.exec([link ?? ''].flat().join(', '))?.[1];
  if (target === undefined) return null;
  if (!URL.canParse(target, from.href))
    throw protocolError(asked, 'the link to the next page leads to no address');
  const next = new URL(target, from);
  checkTarget(asked.source, next, 'next page');
  if (next.origin !== from.origin)
    throw protocolError(asked, `the link to the next page leads to another host: ${next.origin}`);
  return `${next.pathname}${next.search}`;
}
