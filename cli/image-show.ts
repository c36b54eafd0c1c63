import { endpointText, sourceText } from '#core/source';
import { createImageStore, type ImageView } from '#db/images/index';
import { exitCodes } from './exit.ts';
import { imageDocument } from './image-document.ts';
import { imageNotFound } from './not-found.ts';
import { bytesText, oneLine } from './output.ts';
import { openReading } from './reading.ts';
import type { Session } from './session.ts';

/** `flyd images show`. */
export async function showImage(session: Session, wanted: string): Promise<number> {
  const { out } = session;
  return openReading(session, (db) => {
    const images = createImageStore(db);
    const id = images.images.search(wanted)?.id;
    const image = id === undefined ? null : images.images.view(id);
    if (image === null) throw imageNotFound(wanted);
    const config = image.config === null ? null : images.configs.find(image.config);
    out.document({ ...imageDocument(image), config: config === null ? null : JSON.parse(config) });
    out.say(`${image.id}  ${image.family}  ${image.state}`);
    const endpoint = image.source.kind === undefined ? endpointText(image.source) : null;
    out.say(`  source   ${sourceText(image.source)}${endpoint === null ? '' : ` at ${endpoint}`}`);
    out.say(`  base     ${image.baseLvId ?? 'none yet'}  (${image.driver})`);
    out.say(`  chain    ${image.chain ?? 'not known yet'}`);
    for (const { digest, size, key } of image.layers)
      out.say(`  layer    ${digest.slice(0, 19)}  ${bytesText(size).padStart(9)}  ${key}`);
    if (config !== null) for (const line of configLines(image, config)) out.say(line);
    for (const activation of image.activations) out.say(`  active   ${activation}`);
    return exitCodes.done;
  });
}

/** What an OCI image says of itself, and how it wants to be run. */
function configLines({ manifest }: ImageView, text: string): string[] {
  const { config = {} } = JSON.parse(text) as { config?: Record<string, unknown> | null };
  const wanted = ['Entrypoint', 'Cmd', 'Env', 'WorkingDir', 'User'].flatMap((name) => {
    const value = config?.[name];
    const empty =
      value === undefined || value === null || value === '' || (Array.isArray(value) && value.length === 0);
    return empty ? [] : [`  ${name.toLowerCase().padEnd(10)} ${oneLine(JSON.stringify(value))}`];
  });
  const told = manifest === null ? [] : [`  manifest ${manifest.digest}`, `  platform ${manifest.platform}`];
  return [...told, ...wanted];
}
