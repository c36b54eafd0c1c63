/**
 * Every operation of flyd. One name, `noun.verb`, is the actor key, the log field, the metric label,
 * the crash point and, with a dash, the file in `actors/`. Renaming one is a migration: snapshots store it.
 */
export const operations = [
  'family.resolve',
  'family.pin',
  'image.verify',
  'image.reserve',
  'image.register',
  'image.release',
  'image.check',
  'image.drop',
  'blob.find',
  'blob.fetch',
  'blob.record',
  'volume.choose',
  'volume.create',
  'volume.unpack',
  'volume.seal',
  'volume.discard',
  'activation.choose',
  'activation.snapshot',
  'activation.mount',
  'activation.record',
  'activation.unmount',
  'activation.remove',
  'store.sweep',
  'store.restore',
  'store.repair',
] as const;

export type Operation = (typeof operations)[number];
