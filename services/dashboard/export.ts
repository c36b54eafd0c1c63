import { createHash } from 'node:crypto';
import type { Json } from '#engine/types';
import type { DashboardParts, Page } from './parts.ts';
import {
  type DefinitionDocument,
  historyDocument,
  type MomentDocument,
  momentDocument,
  type RunDocument,
  runDocument,
} from './run-documents.ts';

/** A run with all that its page shows, for a file that needs no server. */
export interface ExportDocument {
  version: string;
  exportedAt: number;
  root: string;
  runs: { document: RunDocument; commits: RunHistory; moments: Record<number, MomentDocument> }[];
  definitions: NonNullable<DefinitionDocument>[];
}
type RunHistory = ReturnType<typeof historyDocument>['commits'];

/** Runs below the exported one, and commits of a run whose snapshots are kept: the newest. */
const runsMax = 200;
const momentsMax = 500;

/**
 * The run and the runs below it, as the views of the engine show them: fields marked secret are out
 * already. Fails with `run_not_found`.
 */
export async function exportDocument(
  parts: Pick<DashboardParts, 'engine' | 'watch' | 'about' | 'now' | 'isAlive'>,
  definition: (hash: string) => Promise<DefinitionDocument>,
  id: string,
): Promise<ExportDocument> {
  const all = parts as DashboardParts;
  const runs: ExportDocument['runs'] = [];
  const hashes = new Set<string>();
  const queue = [id];
  for (let next = queue.shift(); next !== undefined && runs.length < runsMax; next = queue.shift()) {
    const document = runDocument(all, next);
    const { commits } = historyDocument(all, next);
    const moments: Record<number, MomentDocument> = {};
    for (const { seq } of commits.slice(-momentsMax)) moments[seq] = momentDocument(all, next, seq);
    runs.push({ document, commits, moments });
    hashes.add(document.definition);
    for (const { run } of document.children)
      if (!queue.includes(run.id) && !runs.some((each) => each.document.run.id === run.id))
        queue.push(run.id);
  }
  const definitions = (await Promise.all([...hashes].map(definition))).filter((found) => found !== null);
  return { version: parts.about.version, exportedAt: parts.now(), root: id, runs, definitions };
}

/** One file that holds page and data, and that no browser lets load anything else. */
export function exportHtml(page: Page, data: ExportDocument): string {
  // `<` can begin nothing inside JSON but text; escaped, it cannot end the script element either.
  const json = JSON.stringify(data as unknown as Json).replaceAll('<', '\\u003c');
  const js = page.js.replaceAll('</script', '<\\/script');
  const policy =
    `default-src 'none'; script-src '${hashOf(js)}'; style-src '${hashOf(page.css)}'; img-src data:; ` +
    `base-uri 'none'; form-action 'none'`;
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>flyd run ${data.root}</title>
<style>${page.css}</style>
</head>
<body>
<div id="root"></div>
<script type="application/json" id="flyd-export">${json}</script>
<script type="module">${js}</script>
</body>
</html>
`;
}

const hashOf = (text: string): string => `sha256-${createHash('sha256').update(text).digest('base64')}`;
