import type { DashboardParts } from './parts.ts';

/** From here on a pool or disk is worth a look, and from there on it is urgent (fractions in use). */
export const thresholds = { warn: 0.8, critical: 0.95 };

/** Times are milliseconds since 1970, sizes bytes. */
export interface StoreDocument {
  images: {
    id: string;
    family: string;
    driver: string;
    state: string;
    chain: string | null;
    base: string | null;
    size: number;
    rawSize: number;
    usedAt: number;
    layers: { key: string; digest: string; diffId: string; size: number; rawSize: number }[];
  }[];
  volumes: {
    id: string;
    driver: string;
    chain: string;
    layers: number;
    parent: string | null;
    state: string;
    sizeBytes: number | null;
    usedAt: number;
  }[];
  blobs: { digest: string; size: number; rawSize: number; references: number; state: string }[];
  activations: {
    id: string;
    name: string | null;
    family: string;
    image: string;
    volume: string;
    driver: string;
    state: string;
    path: string | null;
    device: string | null;
    readOnly: boolean;
    createdAt: number;
  }[];
}

/** What is on the host: images, the layers and volumes that they share, what is mounted where. */
export function storeDocument({ images }: DashboardParts): StoreDocument {
  return {
    images: images.images.list().map((image) => ({
      id: image.id,
      family: image.family,
      driver: image.driver,
      state: image.state,
      chain: image.chain,
      base: image.baseLvId,
      size: image.size,
      rawSize: image.rawSize,
      usedAt: image.usedAt,
      layers: image.layers.map(({ key, digest, size, rawSize, diffId }) => ({
        key,
        digest,
        diffId,
        size,
        rawSize,
      })),
    })),
    volumes: images.volumes.list().map(({ id, driver, chain, layers, parent, state, sizeBytes, usedAt }) => ({
      ...{ id, driver, chain, layers, parent, state, sizeBytes, usedAt },
    })),
    blobs: images.blobs.list().map(({ digest, size, rawSize, references, state }) => ({
      ...{ digest, size, rawSize, references, state },
    })),
    activations: images.activations.list().map((each) => ({
      id: each.id,
      name: each.name,
      family: each.family,
      image: each.image,
      volume: each.volume,
      driver: each.driver,
      state: each.state,
      path: each.path,
      device: each.devicePath,
      readOnly: each.options.readOnly,
      createdAt: each.createdAt,
    })),
  };
}

/** How full things are now and were before. */
export async function spaceDocument({ space, store, now }: DashboardParts, hours: number) {
  return {
    now: await space(),
    thresholds,
    samples: store.samples.since(now() - hours * 3600 * 1000),
  };
}
export type SpaceDocument = Awaited<ReturnType<typeof spaceDocument>>;
