import { createImageViews, type ImageViews } from '#db/images/image-views';
import type { ImageSummary } from '#db/images/index';
import { exitCodes } from './exit.ts';
import { imageDocument } from './image-document.ts';
import { bytesText, table, timeText } from './output.ts';
import { openReading } from './reading.ts';
import type { Session } from './session.ts';

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
  for (const image of views.summaries())
    yield JSON.stringify(imageDocument({ ...image, layers: null })).replace(
      '"layers":null',
      () => `"layers":${views.layersAsJson(image.id)}`,
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
