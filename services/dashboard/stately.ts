import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { type WebSocket, WebSocketServer } from 'ws';
import type { Json } from '#engine/types';
import type { Commit } from '#engine/watch';
import type { Guard } from './guard.ts';
import type { DashboardParts } from './parts.ts';

/**
 * The protocol of `@statelyai/inspect` 0.7.2, spoken by the history: three kinds of messages, one JSON
 * object a text frame, no handshake. Told from the same redacted views as everything else, never from
 * actors, so that nothing marked secret can be in it.
 *
 * `ws://…/inspect/runs/<id>` replays a run and those below it from the beginning and goes on live;
 * `…?from=now` begins with how it stands. Other programs give the token as `?token=…`.
 */
const protocolVersion = '0.7.2';
/** How often a live run is looked at, and what a slow viewer may leave unread before it is let go. */
const lookEveryMs = 250;
const backlogMax = 8 * 1024 * 1024;
const runsMax = 500;

export function createStately({ engine, watch, log }: DashboardParts, guard: Guard) {
  const sockets = new WebSocketServer({ noServer: true, maxPayload: 64 * 1024 });
  const timers = new Set<NodeJS.Timeout>();

  /** For the `upgrade` event of a server. */
  function upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    const url = new URL(request.url ?? '/', 'http://loopback');
    const run = /^\/inspect\/runs\/([0-9A-Za-z_-]{1,64})$/.exec(url.pathname)?.[1];
    const known = guard.knows(request) || guard.isToken(url.searchParams.get('token') ?? '');
    if (guard.refuses(request) !== null) refuse(socket, '403 Forbidden');
    else if (!known) refuse(socket, '401 Unauthorized');
    else if (run === undefined || !exists(run)) refuse(socket, '404 Not Found');
    else sockets.handleUpgrade(request, socket, head, (client) => attach(client, run, url.searchParams));
  }

  function exists(run: string): boolean {
    return engine.runs({ id: run }).length > 0;
  }

  function attach(client: WebSocket, root: string, params: URLSearchParams): void {
    client.on('error', (error) => log.warn({ err: error }, 'a viewer broke off'));
    const told = new Map<string, number>();
    const fromNow = params.get('from') === 'now';
    let version = -1;
    const look = (): void => {
      if (client.bufferedAmount > backlogMax) {
        client.close(1013, 'too slow');
        return;
      }
      const seen = watch.version();
      if (seen === version) return;
      version = seen;
      for (const message of newMessages(root, told, fromNow)) client.send(JSON.stringify(message));
    };
    const timer = setInterval(() => {
      try {
        look();
      } catch (error) {
        log.warn({ err: error }, 'could not tell a viewer of a run');
        client.close(1011, 'the run cannot be read');
      }
    }, lookEveryMs);
    timers.add(timer);
    client.on('close', () => {
      clearInterval(timer);
      timers.delete(timer);
    });
    look();
  }

  /** What a viewer has not been told, in the order in which it happened; actors before their events. */
  function newMessages(root: string, told: Map<string, number>, fromNow: boolean): Message[] {
    const messages: { at: number; id: number; message: Message }[] = [];
    for (const { id, parent } of treeOf(root)) {
      const known = told.get(id);
      const commits = watch.history(id, known ?? 0);
      const fresh = known === undefined && fromNow ? commits.slice(-1) : commits;
      const first = fresh[0];
      if (first === undefined) continue;
      if (known === undefined)
        messages.push({ at: first.at, id: first.id - 0.5, message: actorMessage(id, parent, root, first) });
      for (const commit of fresh)
        for (const message of commitMessages(commit, root))
          messages.push({ at: commit.at, id: commit.id, message });
      told.set(id, (fresh.at(-1) as Commit).id);
    }
    return messages.sort((a, b) => a.id - b.id).map(({ message }) => message);
  }

  function treeOf(root: string): { id: string; parent: string | null }[] {
    const found = [{ id: root, parent: null as string | null }];
    const seen = new Set([root]);
    for (let at = 0; at < found.length && found.length < runsMax; at++) {
      const { id } = found[at] as { id: string };
      for (const { run } of engine.children(id))
        if (!seen.has(run.id)) {
          seen.add(run.id);
          found.push({ id: run.id, parent: id });
        }
    }
    return found;
  }

  function actorMessage(id: string, parent: string | null, root: string, first: Commit): Message {
    const view = engine.run(id);
    // The initial context is part of a config; what it is by now is in the snapshots.
    const config = watch.definition(first.definition)?.config as { context?: Json } | undefined;
    const { context: _, ...definition } = config ?? {};
    return {
      ...base('@xstate.actor', id, root, first.at),
      name: `${view.machine} ${id}`,
      definition: JSON.stringify(definition),
      ...(parent === null ? {} : { parentId: parent }),
      snapshot: snapshotOf(id, first.seq),
    };
  }

  function commitMessages(commit: Commit, root: string): Message[] {
    const event = watch.eventAt(commit.run, commit.seq);
    const common = { ...base('', commit.run, root, commit.at), event };
    return [
      { ...common, type: '@xstate.event' },
      { ...common, type: '@xstate.snapshot', snapshot: snapshotOf(commit.run, commit.seq) },
    ];
  }

  function snapshotOf(run: string, seq: number): Json {
    const whole = engine.snapshotAt(run, seq) as { [key: string]: Json } | null;
    const { status = 'active', context = {}, value = {}, output = null, error = null } = whole ?? {};
    return { status, context, value, output, error };
  }

  return {
    upgrade,
    close(): void {
      for (const timer of timers) clearInterval(timer);
      for (const client of sockets.clients) client.terminate();
      sockets.close();
    },
  };
}

type Message = { type: string; [field: string]: Json };

const base = (type: string, sessionId: string, rootId: string, at: number) => ({
  type,
  sessionId,
  rootId,
  createdAt: String(at),
  id: null,
  _version: protocolVersion,
});

function refuse(socket: Duplex, status: string): void {
  socket.end(`HTTP/1.1 ${status}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n`);
}
