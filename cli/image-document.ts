import { endpointText, sourceText } from '#core/source';
import type { ImageView } from '#db/images/index';
import { timeText } from './output.ts';

/** An image as `--json` tells it; its layers may be written in later. */
export const imageDocument = (
  image: Omit<ImageView, 'layers'> & { layers: ImageView['layers'] | null },
): Record<string, unknown> => ({
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
