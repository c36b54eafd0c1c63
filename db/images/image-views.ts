import type { Database } from 'better-sqlite3';
import { drizzle, orm } from '../drizzle.ts';
import type { ImageLayerView, ImageRow, ImageSummary, ImageView } from './images.ts';
import { activations, images } from './schema.ts';

const { asc, eq } = orm;

export interface ImageViews {
  /** All images with their layers. */
  list(): ImageView[];
  /** All images with what their layers sum up to: a hundred thousand of them are not read one by one. */
  summaries(): ImageSummary[];
  view(id: string): ImageView | null;
}

type LayerRow = ImageLayerView & { image: string };

/** Images as people look at them. */
export function createImageViews(db: Database): ImageViews {
  const query = drizzle(db);
  const layerRows = `
    SELECT i.image, i.key, i.etag, b.digest, b.diff_id AS diffId, b.size, b.raw_size AS rawSize,
      b.media_type AS mediaType
    FROM image_blobs AS i JOIN blobs AS b ON b.digest = i.digest`;
  const allLayers = db.prepare<[], LayerRow>(`${layerRows} ORDER BY i.image, i.position`);
  const layersOf = db.prepare<[string], LayerRow>(`${layerRows} WHERE i.image = ? ORDER BY i.position`);
  const sums = db.prepare<[], { image: string; count: number; size: number; rawSize: number }>(`
    SELECT i.image, count(*) AS count, sum(b.size) AS size, sum(b.raw_size) AS rawSize
    FROM image_blobs AS i JOIN blobs AS b ON b.digest = i.digest GROUP BY i.image`);

  const rows = (): ImageRow[] =>
    query.select().from(images).orderBy(asc(images.createdAt), asc(images.id)).all();
  const activationIds = (): Map<string, string[]> =>
    grouped(
      query.select({ image: activations.image, id: activations.id }).from(activations).all(),
      ({ id }) => id,
    );

  return {
    list() {
      const layers = grouped(allLayers.all(), layerOf);
      const active = activationIds();
      return rows().map((row) => viewOf(row, layers.get(row.id) ?? [], active.get(row.id) ?? []));
    },
    summaries() {
      const sumOf = new Map(sums.all().map(({ image, ...sum }) => [image, sum]));
      const active = activationIds();
      return rows().map((row) => {
        const { count, size, rawSize } = sumOf.get(row.id) ?? { count: 0, size: 0, rawSize: 0 };
        return { ...row, layerCount: count, size, rawSize, activations: active.get(row.id) ?? [] };
      });
    },
    view(id) {
      const row = query.select().from(images).where(eq(images.id, id)).get();
      if (row === undefined) return null;
      const active = query
        .select({ id: activations.id })
        .from(activations)
        .where(eq(activations.image, id))
        .all();
      return viewOf(
        row,
        layersOf.all(id).map(layerOf),
        active.map((each) => each.id),
      );
    },
  };
}

const layerOf = ({ image: _, ...layer }: LayerRow): ImageLayerView => layer;

const viewOf = (row: ImageRow, layers: ImageLayerView[], active: string[]): ImageView => ({
  ...row,
  layers,
  size: layers.reduce((sum, layer) => sum + layer.size, 0),
  rawSize: layers.reduce((sum, layer) => sum + layer.rawSize, 0),
  activations: active,
});

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
