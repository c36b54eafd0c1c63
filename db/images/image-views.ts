import type { Database } from 'better-sqlite3';
import { statementsOf } from '../lazy.ts';
import type { ImageLayerView, ImageRow, ImageSummary, ImageView } from './images.ts';

// Plain statements, so that a look at images loads no query builder.

export interface ImageViews {
  /** All images with their layers. */
  list(): ImageView[];
  /** All images with what their layers sum up to: a hundred thousand of them are not read one by one. */
  summaries(): ImageSummary[];
  view(id: string): ImageView | null;
  /**
   * The layers of an image: a JSON array of `ImageLayerView`s as text. SQLite writes it itself, which takes a
   * third of the time of making objects first.
   */
  layersAsJson(id: string): string;
}

const columns = `id, family, source, driver, chain, base_lv_id AS baseLvId, state, effect,
  created_at AS createdAt, used_at AS usedAt, pinned, manifest, config,
  layer_count AS layerCount, size, raw_size AS rawSize`;

const layerRows = `
  SELECT image, key, etag, digest, diff_id AS diffId, size, raw_size AS rawSize, media_type AS mediaType
  FROM image_blobs`;

const texts = {
  all: `SELECT ${columns} FROM images ORDER BY created_at, id`,
  one: `SELECT ${columns} FROM images WHERE id = ?`,
  allLayers: `${layerRows} ORDER BY image, position`,
  layersOf: `${layerRows} WHERE image = ? ORDER BY position`,
  allActivations: 'SELECT image, id FROM activations',
  activationsOf: 'SELECT image, id FROM activations WHERE image = ?',
  // The key of image_blobs is (image, position): walked in that order, and an image at a time is sorted by nobody.
  layerTexts: `
    SELECT '[' || group_concat(format(
        '{"key":%s,"etag":%s,"digest":"%s","diffId":"%s","size":%d,"rawSize":%d,"mediaType":%s}',
        json_quote(key), json_quote(etag), digest, diff_id, size, raw_size, json_quote(media_type))) || ']'
    FROM (SELECT * FROM image_blobs WHERE image = ? ORDER BY position)`,
};

type StoredRow = Omit<ImageSummary, 'activations' | 'source' | 'manifest' | 'pinned'> &
  Record<'source', string> &
  Record<'manifest', string | null> &
  Record<'pinned', number>;
type LayerRow = ImageLayerView & { image: string };
type ActivationRow = { image: string; id: string };

/** Images as people look at them. */
export function createImageViews(db: Database): ImageViews {
  const statements = statementsOf(db, texts);
  const summaryOf = (row: StoredRow, activations: string[]): ImageSummary => ({
    ...row,
    source: JSON.parse(row.source) as ImageRow['source'],
    manifest: row.manifest === null ? null : (JSON.parse(row.manifest) as ImageRow['manifest']),
    pinned: row.pinned === 1,
    activations,
  });
  const summaries = (): ImageSummary[] => {
    const active = grouped(statements.allActivations.all() as ActivationRow[], ({ id }) => id);
    return (statements.all.all() as StoredRow[]).map((row) => summaryOf(row, active.get(row.id) ?? []));
  };

  return {
    summaries,
    list() {
      const layers = grouped(statements.allLayers.all() as LayerRow[], layerOf);
      return summaries().map((image) => ({ ...image, layers: layers.get(image.id) ?? [] }));
    },
    view(id) {
      const row = statements.one.get(id) as StoredRow | undefined;
      if (row === undefined) return null;
      const active = statements.activationsOf.all(id) as ActivationRow[];
      const layers = (statements.layersOf.all(id) as LayerRow[]).map(layerOf);
      return {
        ...summaryOf(
          row,
          active.map((each) => each.id),
        ),
        layers,
      };
    },
    layersAsJson: (id) => (statements.layerTexts.pluck().get(id) as string | null | undefined) ?? '[]',
  };
}

const layerOf = ({ image: _, ...layer }: LayerRow): ImageLayerView => layer;

function grouped<Row extends { image: string }, Value>(
  rows: readonly Row[],
  value: (row: Row) => Value,
): Map<string, Value[]> {
  const groups = new Map<string, Value[]>();
  for (const row of rows) {
    const group = groups.get(row.image);
    if (group === undefined) groups.set(row.image, [value(row)]);
    else group.push(value(row));
  }
  return groups;
}
