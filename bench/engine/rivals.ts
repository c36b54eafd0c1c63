import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { versionOf } from '../pull/run.ts';
import { peerVersion } from './peers.ts';
import { postgresFolder, type Server, startPostgres, startRestate, type Watching } from './servers.ts';
import type { Task } from './worker.ts';

/** One line of the comparison. */
export interface Rival {
  /** As results name it. */
  name: string;
  version: string;
  subject: Task['subject'];
  /** The bare disk is the same however many wait for it. */
  alone: boolean;
  /** Starts its server, if it has one. */
  start: ((folder: string, watching: Watching) => Promise<Server>) | null;
}

export const names = {
  flyd: 'flyd',
  table: 'step table by hand',
  xstateTable: 'step table, moved by XState',
  commits: 'disk: a row a commit',
  appends: 'disk: fdatasync of 4 KiB',
  restate: 'Restate, @restatedev/xstate',
  restateRun: 'Restate, ten ctx.run',
  dbos: 'DBOS on PostgreSQL',
} as const;

/** Who is compared; of an absent one the reason, with how to get it. */
export function rivals(root: string, peers: string): (Rival | string)[] {
  const versionIn = (path: string): string =>
    (JSON.parse(readFileSync(join(root, path), 'utf8')) as { version: string }).version;
  const sqlite = `better-sqlite3 ${versionIn('node_modules/better-sqlite3/package.json')}`;
  const embedded = (name: string, version: string, subject: Task['subject'], alone = false): Rival => ({
    ...{ name, version, subject, alone, start: null },
  });
  return [
    embedded(names.flyd, versionIn('package.json'), 'flyd'),
    embedded(names.table, sqlite, 'table'),
    embedded(
      names.xstateTable,
      `${sqlite}, XState ${versionIn('node_modules/xstate/package.json')}`,
      'xstate-table',
    ),
    embedded(names.commits, sqlite, 'commits', true),
    embedded(names.appends, `Node ${process.version}`, 'appends', true),
    ...restates(peers),
    dbos(peers),
  ];
}

function restates(peers: string): (Rival | string)[] {
  const [server, sdk, xstate] = ['restate-server', 'restate-sdk', 'xstate'].map((name) =>
    peerVersion(peers, `@restatedev/${name}`),
  );
  if (!server || !sdk || !xstate) return ['Restate: absent (give --peers, which installs it from npm)'];
  const start: Rival['start'] = (folder, watching) => startRestate(peers, folder, watching);
  return [
    {
      ...{ name: names.restate, subject: 'restate-xstate', alone: false, start },
      version: `server ${server}, SDK ${sdk}, xstate ${xstate}`,
    },
    {
      ...{ name: names.restateRun, subject: 'restate-run', alone: false, start },
      version: `server ${server}, SDK ${sdk}`,
    },
  ];
}

function dbos(peers: string): Rival | string {
  const version = peerVersion(peers, '@dbos-inc/dbos-sdk');
  if (version === null) return 'DBOS: absent (give --peers, which installs it from npm)';
  const bin = postgresFolder();
  if (bin === null) return 'DBOS: absent (apt-get install postgresql)';
  return {
    ...{ name: names.dbos, subject: 'dbos', alone: false },
    version: `${version}, PostgreSQL ${versionOf(join(bin, 'postgres'), '--version') ?? 'unknown'}`,
    start: (folder, watching) => startPostgres(bin, folder, watching),
  };
}
