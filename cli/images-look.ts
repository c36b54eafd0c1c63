import { endpointText, sourceText } from '#core/source';
import { createImageViews, type ImageViews } from '#db/images/image-views';
import { createImageStore, type ImageSummary, type ImageView } from '#db/images/index';
import { exitCodes } from './exit.ts';
import { imageNotFound } from './not-found.ts';
import { bytesText, oneLine, table, timeText } from './output.ts';
import { openReading } from './reading.ts';
import type { Session } from './session.ts';

const imageDocument = (image: Omit<ImageView, 'layers'> & { layers: ImageView['layers'] | null }) => ({
  id: image.id,
  family: image.family,
  source: sourceText(image.source),
  endpoint: endpointText(image.source),
  driver: image.driver,
  state: image.state,
  chain: image.chain,
  manifest: image.manifest,
  base: image.baseLvId,
  layers: image.layers,
  size: image.size,
  rawSize: image.rawSize,
  activations: image.activations,
  pinned: image.pinned,
  createdAt: timeText(image.createdAt),
  usedAt: timeText(image.usedAt),
});

/** `flyd images list`. */
export async function listImages(session: Session): Promise<number> {
  const { out } = session;
  return openReading(session, (db) => {
    const views = createImageViews(db);
    if (out.json) {
      out.array(imageTexts(views));
      return exitCodes.done;
    }
    const found = views.summaries();
    if (found.length === 0) out.say('no images: flyd pull <family> --source s3://bucket/prefix');
    else out.sayAll(table(header, found.map(rowOf)));
    return exitCodes.done;
  });
}

/** Each image as JSON. Its layers are JSON already; a `null` after this name in quotes is nowhere else. */
function* imageTexts(views: ImageViews): Iterable<string> {
  const layers = views.layersAsJson();
  for (const image of views.summaries())
    yield JSON.stringify(imageDocument({ ...image, layers: null })).replace(
      '"layers":null',
      () => `"layers":${layers.get(image.id) ?? '[]'}`,
    );
}

const header = ['IMAGE', 'FAMILY', 'DRIVER', 'STATE', 'LAYERS', 'SIZE', 'UNPACKED', 'ACTIVATIONS', 'USED'];

const rowOf = (image: ImageSummary): string[] => [
  image.id,
  image.family,
  image.driver,
  image.state,
  String(image.layerCount),
  bytesText(image.size),
  bytesText(image.rawSize),
  String(image.activations.length),
  `${timeText(image.usedAt)}${image.pinned ? '  pinned' : ''}`,
];

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
