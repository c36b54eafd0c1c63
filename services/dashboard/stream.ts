import type { ServerResponse } from 'node:http';
import type { Commit, EngineWatch } from '#engine/watch';
import type { Hub, News } from './hub.ts';
import type { RunQuery, RunSummary, Summaries } from './summary.ts';

/** What one stream tells. */
export interface StreamWish {
  /** Commits with a greater id have not been seen by the browser. */
  after: number;
  /** Commits of this run only; null: of all. */
  run: string | null;
  /** Rows of runs that this shows, and the end of those that it shows no more; null: none. */
  query: RunQuery | null;
}

/** Bytes that a browser may leave unread before it is cut off; it comes back and goes on where it was. */
const backlogMax = 4 * 1024 * 1024;
const heartbeatMs = 15_000;
const catchUpMax = 1000;

/**
 * Server-sent events (HTML Living Standard, 9.2). Every message that tells commits carries the id of the
 * last one, which the browser sends back as Last-Event-ID when it reconnects: the history, not this
 * process, remembers what comes next. So nothing is missed or told twice, also over a restart of the server.
 *
 * `commits`: rows of history. `runs`: `{ shown, hidden }`, rows as they are now. `progress`: how far
 * effects are. The last two are states, not events: getting one twice harms nothing.
 */
export function openStream(
  response: ServerResponse,
  wish: StreamWish,
  { hub, watch, summaries }: { hub: Hub; watch: EngineWatch; summaries: Summaries },
): () => void {
  response.writeHead(200, { 'content-type': 'text/event-stream; charset=utf-8' });
  let cursor = wish.after;

  const send = (event: string, data: unknown, id?: number): void => {
    if (response.writableLength > backlogMax) {
      close();
      response.destroy();
      return;
    }
    response.write(
      `${id === undefined ? '' : `id: ${id}\n`}event: ${event}\ndata: ${JSON.stringify(data)}\n\n`,
    );
  };
  const sendCommits = (commits: readonly Commit[], upTo: number): void => {
    const fresh = commits.filter(({ id, run }) => id > cursor && (wish.run === null || run === wish.run));
    if (upTo > cursor) cursor = upTo;
    if (fresh.length > 0) send('commits', fresh, cursor);
  };
  const sendRuns = (runs: News['runs']): void => {
    const { query } = wish;
    if (query === null) return;
    const now: RunSummary[] = [];
    const hidden: string[] = [];
    for (const { summary, shownBy } of runs)
      if (shownBy(query)) now.push(summary);
      else hidden.push(summary.id);
    if (now.length > 0 || hidden.length > 0) send('runs', { shown: now, hidden });
  };
  const hear = (news: News): void => {
    sendCommits(news.commits, news.cursor);
    sendRuns(news.runs);
    if (news.progress !== null) send('progress', news.progress);
  };

  const stop = hub.listen(hear);
  const beat = setInterval(() => response.write(': still here\n\n'), heartbeatMs);
  const close = (): void => {
    clearInterval(beat);
    stop();
  };
  response.on('close', close);

  // What happened before the hub's next look; from there on the hub tells.
  response.write('retry: 1000\n\n');
  const missed = new Set<string>();
  for (const upTo = hub.cursor; cursor < upTo; ) {
    const commits = watch.after(cursor, catchUpMax).filter(({ id }) => id <= upTo);
    for (const { run } of commits) missed.add(run);
    const last = commits.length < catchUpMax ? upTo : (commits.at(-1)?.id ?? upTo);
    sendCommits(commits, last);
  }
  // Some changes of a live run (its owner, its status by a child) leave no commit: they are all told again.
  const marks = new Map([...watch.live(), ...watch.marks([...missed])].map((mark) => [mark.uid, mark]));
  sendRuns([...marks.values()].map(({ uid, mark }) => summaries.get(uid, mark)));
  send('progress', hub.progress);
  return close;
}
