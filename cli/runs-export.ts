import { hostname } from 'node:os';
import { resolve } from 'node:path';
import { writeDurably } from '#infra/durable';
import { createExec } from '#infra/exec';
import { exportDocument, exportHtml } from '#services/dashboard/export';
import { createLayouts } from '#services/dashboard/layout';
import { definitionDocument } from '#services/dashboard/run-documents';
import { exitCodes } from './exit.ts';
import { findRun } from './find-run.ts';
import { openLooking } from './looking.ts';
import { loadPage } from './page.ts';
import type { Session } from './session.ts';
import { versionOf } from './version.ts';

/** `flyd runs export`: a run and those below it as one HTML file that needs nothing else. */
export async function exportRun(session: Session, wanted: string, file: string | undefined): Promise<number> {
  const { out, settings, surroundings } = session;
  const look = await openLooking(session);
  try {
    const run = findRun(look.engine, wanted);
    const page = await loadPage({
      exec: createExec({ path: surroundings.path }),
      say: (line) => out.note(line),
    });
    const layouts = createLayouts();
    const about = { version: versionOf(), stateDir: settings.stateDir, hostname: hostname() };
    const data = await exportDocument(
      { ...look, about, now: () => Date.now() },
      (hash) => definitionDocument(look, layouts, hash),
      run.id,
    );
    const path = resolve(file ?? `flyd-run-${run.id}.html`);
    const html = exportHtml(page, data);
    await writeDurably(path, html);
    out.document({ run: run.id, file: path, runs: data.runs.length, bytes: Buffer.byteLength(html) });
    out.say(path);
    return exitCodes.done;
  } finally {
    look.close();
  }
}
