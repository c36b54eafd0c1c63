import { type FlydError, unrecoverable } from '#core/errors';

type Facts = Record<string, string | number | boolean | null>;

/** An image on this host is not what was written: its disk, or somebody else, changed it. */
export const damaged = (message: string, facts?: Facts): FlydError =>
  unrecoverable('volume_damaged', message, {
    op: 'volume.unpack',
    hint: 'remove the image and pull it again',
    ...(facts === undefined ? {} : { facts }),
  });
