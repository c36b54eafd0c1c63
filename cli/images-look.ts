import type { ImageSummary, ImageView } from '#db/images/index';
import { exitCodes } from './exit.ts';
import { imageNotFound } from './not-found.ts';
import { bytesText, table, timeText } from './output.ts';
import { openReading } from './reading.ts';
import type { Session } from './session.ts';
import { sourceText } from './source.ts';

const imageDocument = (image: ImageView) => ({
  id: image.id,
  family: image.family,
  source: sourceText(image.source),
  endpoint: image.source.endpoint,
  driver: image.driver,
  state: image.state,
  chain: image.chain,
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
  return openReading(session, ({ images }) => {
    if (out.json) out.document(images.images.list().map(imageDocument));
    const found = out.json ? [] : images.images.summaries();
    if (found.length === 0) out.say('no images: flyd pull <family> --source s3://bucket/prefix');
    else for (const line of table(header, found.map(rowOf))) out.say(line);
    return exitCodes.done;
  });
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
  return openReading(session, ({ images }) => {
    const id = images.images.search(wanted)?.id;
    const image = id === undefined ? null : images.images.view(id);
    if (image === null) throw imageNotFound(wanted);
    out.document(imageDocument(image));
    out.say(`${image.id}  ${image.family}  ${image.state}`);
    out.say(
      `  source   ${sourceText(image.source)}${image.source.endpoint === null ? '' : ` at ${image.source.endpoint}`}`,
    );
    out.say(`  base     ${image.baseLvId ?? 'none yet'}  (${image.driver})`);
    out.say(`  chain    ${image.chain ?? 'not known yet'}`);
    for (const { digest, size, key } of image.layers)
      out.say(`  layer    ${digest.slice(0, 19)}  ${bytesText(size).padStart(9)}  ${key}`);
    for (const activation of image.activations) out.say(`  active   ${activation}`);
    return exitCodes.done;
  });
}
