import type { ExportDocument, RunSummary } from './types.ts';

const element = typeof document === 'undefined' ? null : document.getElementById('flyd-export');

/** The run that this file holds, when the page is an exported file and no server's. */
export const exported: ExportDocument | null =
  element === null ? null : (JSON.parse(element.textContent) as ExportDocument);

/** Answers as the server would, from the file; null when there is a server. */
export const offline: ((path: string) => unknown) | null = exported === null ? null : answerFrom(exported);

function answerFrom(file: ExportDocument): (path: string) => unknown {
  const runOf = (id: string) => {
    const found = file.runs.find(({ document }) => document.run.id === id);
    if (found === undefined) throw new Error('this run is not in the file');
    return found;
  };
  return (path) => {
    const [, kind = '', id = '', part, seq] = path.split('?')[0]?.split('/').slice(1) ?? [];
    if (kind === 'about') return { version: file.version, stateDir: '', hostname: '', now: file.exportedAt };
    if (kind === 'definitions') return file.definitions.find(({ hash }) => hash === id);
    if (kind === 'audit') return [];
    if (kind === 'runs' && id === '') {
      const runs: RunSummary[] = file.runs.map(({ document }) => document.run);
      return { cursor: 0, runs, more: false, counts: [] };
    }
    if (kind !== 'runs') throw new Error('this is not in the file');
    const { document, commits, moments } = runOf(id);
    if (part === 'history') return { cursor: document.cursor, commits };
    if (part !== 'at') return document;
    const moment = moments[Number(seq)];
    if (moment === undefined) throw new Error('the file holds no snapshots of steps so long ago');
    return moment;
  };
}
