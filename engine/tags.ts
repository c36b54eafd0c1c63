import { unrecoverable } from '#core/errors';
import type { RunRow } from '#db/engine/index';

/**
 * Whether the run has one of the tags, or had it in a commit after `since`; of a run that has ended,
 * whether it ever had: throws `tag_unreachable` when not.
 */
export function hasTag(
  { uid, status, tags, tagsLast, endedAt }: RunRow,
  wanted: readonly string[],
  since: number,
): boolean {
  const now = JSON.parse(tags) as string[];
  const last = JSON.parse(tagsLast) as Record<string, number>;
  const had = wanted.map((tag) => (Object.hasOwn(last, tag) ? (last[tag] ?? 0) : 0));
  if (wanted.some((tag) => now.includes(tag)) || had.some((seq) => seq > since)) return true;
  if (endedAt === null) return false;
  if (had.some((seq) => seq > 0)) return true;
  throw unrecoverable(
    'tag_unreachable',
    `the run has ended (${status}) and never had the tag ${wanted.map((tag) => `'${tag}'`).join(' or ')}`,
    { subject: uid, hint: 'tags are those of the machine’s states: `tags: [...]` in its definition' },
  );
}
