import { z } from 'zod';

// The documents that others script against. `loose` objects: more fields are welcome, none may go.

const digest = z.string().regex(/^sha256:[0-9a-f]{64}$/);
const time = z.string().regex(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
const bytes = z.int().min(0);
const seconds = z.number().min(0);
const status = z.enum(['running', 'waiting', 'pending', 'parked', 'done', 'failed', 'cancelled']);
const driver = z.enum(['devmapper', 'btrfs', 'erofs', 'overlay', 'copy']);

export const error = z.strictObject({
  code: z.string().regex(/^[a-z_]+$/),
  kind: z.enum(['recoverable', 'pending', 'unrecoverable', 'abort']),
  message: z.string().min(1),
  op: z.string().nullable(),
  subject: z.string().nullable(),
  hint: z.string().nullable(),
});

export const pull = z.looseObject({
  run: z.string().min(1),
  status,
  pinned: z.boolean(),
  image: z
    .looseObject({
      id: z.string(),
      source: z.string().regex(/^(s3:\/\/|oci:|[a-z0-9.]+(:\d+)?\/)/),
      family: z.string(),
      chain: digest,
      layers: z.array(
        z.looseObject({
          key: z.string(),
          digest,
          diffId: digest,
          etag: z.string(),
          size: bytes,
          mediaType: z.string().startsWith('application/vnd.oci.image.layer.v1.tar'),
          reused: z.boolean(),
        }),
      ),
    })
    .nullable(),
  base: z.looseObject({ id: z.string(), driver, reused: z.boolean() }).nullable(),
  activation: z
    .looseObject({
      id: z.string(),
      path: z.string().nullable(),
      rootfs: z.string().nullable(),
      device: z.string().nullable(),
      driver,
    })
    .nullable(),
  bytes: z.looseObject({ fetched: bytes, reused: bytes, unpacked: bytes }),
  seconds: z.looseObject({
    total: seconds,
    fetch: seconds,
    unpack: seconds,
    register: seconds,
    activate: seconds,
  }),
  error: error.optional(),
});
export type Pull = z.infer<typeof pull>;

export const runs = z.array(
  z.looseObject({
    id: z.string(),
    machine: z.string(),
    version: z.int(),
    key: z.string().nullable(),
    state: z.string(),
    status,
    attempts: z.int().min(0),
    owner: z.string().nullable(),
    createdAt: time,
    updatedAt: time,
    waitsFor: z.array(z.looseObject({ for: z.enum(['time', 'run', 'key', 'queue']) })),
    error: error.optional(),
  }),
);

export const events = z.array(
  z.looseObject({
    seq: z.int().positive(),
    at: time,
    event: z.string(),
    from: z.string().nullable(),
    to: z.string(),
    effects: z.array(z.string()),
    ms: z.number().nullable(),
    error: error.optional(),
  }),
);

export const images = z.array(z.looseObject({ id: z.string(), family: z.string(), createdAt: time }));
export const blobs = z.array(z.looseObject({ digest, size: bytes, createdAt: time }));
export const activations = z.array(
  z.looseObject({ id: z.string(), image: z.string(), path: z.string().nullable(), createdAt: time }),
);
export const failure = z.strictObject({ error });
