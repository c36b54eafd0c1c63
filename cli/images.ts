import { Command } from 'commander';
import { type CommonFlags, withCommon } from './options.ts';
import type { Act, Session } from './session.ts';

export function imagesCommand(act: Act): Command {
  const images = new Command('images').description('images: families whose layers and base are complete');
  images.addHelpText('after', '\nExamples:\n  flyd images\n  flyd images show golang --json');
  const list = new Command('list').description('all of them (the same as `flyd images`)');
  images.addCommand(
    withCommon(list).action(
      act(async (session: Session, _flags: CommonFlags) =>
        (await import('./images-look.ts')).listImages(session),
      ),
    ),
    { isDefault: true },
  );
  const show = new Command('show')
    .description('one image with its layers and activations')
    .argument('<image>', 'its id, the start of it, or its family');
  images.addCommand(
    withCommon(show).action(
      act(async (session: Session, image: string) =>
        (await import('./image-show.ts')).showImage(session, image),
      ),
    ),
  );
  return images;
}
