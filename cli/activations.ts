import { Command } from 'commander';
import { withCommon } from './options.ts';
import { table, timeText } from './output.ts';
import type { Act, Session } from './session.ts';

export function activationsCommand(act: Act): Command {
  const command = new Command('activations').description('mounted or attached snapshots');
  return withCommon(command).action(
    act(async (session: Session) => {
      const { openReading } = await import('./reading.ts');
      const { createImageStore } = await import('#db/images/index');
      return openReading(session, (db) => {
        const { out } = session;
        const activations = createImageStore(db).activations.list();
        out.document(
          activations.map((activation) => ({
            id: activation.id,
            name: activation.name,
            image: activation.image,
            family: activation.family,
            driver: activation.driver,
            state: activation.state,
            path: activation.path,
            rootfs: activation.rootfs,
            device: activation.devicePath,
            options: activation.options,
            createdAt: timeText(activation.createdAt),
          })),
        );
        const rows = activations.map((activation) => [
          activation.id,
          activation.name ?? '',
          activation.family,
          activation.driver,
          activation.state,
          activation.path ?? activation.devicePath ?? activation.rootfs ?? '',
          timeText(activation.createdAt),
        ]);
        if (rows.length === 0) out.say('no activations');
        else
          for (const line of table(
            ['ACTIVATION', 'NAME', 'FAMILY', 'DRIVER', 'STATE', 'AT', 'CREATED'],
            rows,
          ))
            out.say(line);
        return 0;
      });
    }),
  );
}
