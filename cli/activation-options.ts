import { unrecoverable } from '#core/errors';
import { namePattern } from '#core/ids';
import type { ActivationOptions } from '#core/image';

/** The flags of `withActivation`. */
export interface ActivationFlags {
  name?: string;
  size?: number;
  readOnly?: true;
  owner?: { uid: number; gid: number };
  suid?: true;
  dev?: true;
  attach: 'mount' | 'device';
  ephemeral?: true;
}

/** How an activation is to be made, as the flags say. Fails with `usage`. */
export function activationOf(flags: ActivationFlags): ActivationOptions {
  const name = flags.name ?? null;
  if (name !== null && !namePattern.test(name))
    throw unrecoverable('usage', 'a name is lower-case letters, digits, dots, dashes and underscores', {
      op: 'activate',
      subject: name,
      hint: '--name web-1',
    });
  return {
    name,
    sizeBytes: flags.size ?? null,
    readOnly: flags.readOnly ?? false,
    suid: flags.suid ?? false,
    dev: flags.dev ?? false,
    owner: flags.owner ?? null,
    attach: flags.attach,
    ...(flags.ephemeral === true ? { ephemeral: true } : {}),
  };
}
