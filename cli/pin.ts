import { Command } from 'commander';
import { type CommonFlags, withCommon } from './options.ts';
import type { Act, Session } from './session.ts';

const help = `
A pinned image is never let go by \`flyd gc --max-bytes\` or \`--keep-within\`. \`flyd rm\` removes it all the
same: that names it.

Examples:
  flyd pin golang
  flyd unpin golang`;

export const pinCommand = (act: Act): Command =>
  pinning(act, 'pin', 'keep an image, however long it is not used', true);
export const unpinCommand = (act: Act): Command =>
  pinning(act, 'unpin', 'let `flyd gc` evict an image again', false);

function pinning(act: Act, name: string, description: string, pinned: boolean): Command {
  const command = new Command(name)
    .description(description)
    .argument('<image>', 'its id, the start of it, or its family');
  return withCommon(command)
    .addHelpText('after', help)
    .action(
      act(async (session: Session, wanted: string, _: CommonFlags) => {
        const { openReading } = await import('./reading.ts');
        const { imageNotFound } = await import('./not-found.ts');
        const { createImageStore } = await import('#db/images/index');
        return openReading(session, (db) => {
          const { images } = createImageStore(db);
          const image = images.search(wanted);
          if (image === null || !images.pin(image.id, pinned)) throw imageNotFound(wanted);
          session.out.document({ image: image.id, family: image.family, pinned });
          session.out.say(`${image.family} (${image.id}) is ${pinned ? 'pinned' : 'not pinned any more'}`);
          return 0;
        });
      }),
    );
}
