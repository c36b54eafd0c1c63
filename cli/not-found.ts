import { type FlydError, unrecoverable } from '#core/errors';

export const imageNotFound = (wanted: string): FlydError =>
  unrecoverable('image_not_found', `there is no complete image ${wanted}`, {
    subject: wanted,
    hint: 'list them: flyd images',
  });

export const activationNotFound = (wanted: string): FlydError =>
  unrecoverable('activation_not_found', `there is no activation ${wanted}`, {
    subject: wanted,
    hint: 'list them: flyd activations',
  });
