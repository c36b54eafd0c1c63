import { unrecoverable } from '#core/errors';
import type { QueueSetting } from '#db/engine/index';
import type { Queues } from './queue.ts';
import type { Registry } from './registry.ts';

/** The queues as they are stored. Throws `usage` on a number that makes no sense. */
export function queueSettings(queues: Queues): Map<string, QueueSetting> {
  return new Map(
    Object.entries(queues).map(([name, given]) => {
      const {
        places,
        order = 'priority',
        keepNewest,
      } = typeof given === 'number' ? { places: given } : given;
      for (const count of [places, ...(keepNewest === undefined ? [] : [keepNewest])])
        if (!Number.isSafeInteger(count) || count < 1)
          throw unrecoverable('usage', `queue '${name}' is given ${count}`, {
            subject: name,
            hint: 'places and keepNewest are whole numbers from 1 up',
          });
      return [name, { places, ordering: order, keepNewest: keepNewest ?? null }];
    }),
  );
}

/** Throws `machine_refused` for a machine whose queue has no places: its runs would never begin. */
export function refuseUnknownQueues(registry: Registry, settings: ReadonlyMap<string, QueueSetting>): void {
  for (const { definition } of registry.all())
    if (definition.queue !== null && !settings.has(definition.queue))
      throw unrecoverable('machine_refused', `machine '${definition.name}' names a queue without places`, {
        subject: definition.queue,
        hint: `give openEngine({ queues: { ${definition.queue}: 4 } })`,
      });
}
