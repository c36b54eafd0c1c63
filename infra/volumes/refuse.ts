import { type FlydError, unrecoverable } from '#core/errors';
import type { ActivationSpec, DriverName, VolumeDriver } from './driver.ts';

/** The error for a wish that this driver cannot grant, with what would. */
export const unsupported = (message: string, activation: ActivationSpec, hint: string): FlydError =>
  unrecoverable('driver_unsupported', message, { op: 'activation.snapshot', subject: activation.id, hint });

/** Throws when the activation wants what `can` denies. */
export function checkWishes(name: DriverName, can: VolumeDriver['can'], activation: ActivationSpec): void {
  if (activation.attach === 'device' && !can.attachDevice)
    throw unsupported(`the ${name} driver has no device to attach`, activation, 'use --driver devmapper');
  if (activation.sizeBytes !== null && !can.grow)
    throw unsupported(
      `the ${name} driver cannot set a size`,
      activation,
      'use --driver devmapper, or no --size',
    );
}
