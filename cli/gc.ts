import { Command, InvalidArgumentError } from 'commander';
import { parseBytes, parseSpan } from '#infra/config/values';
import { lookersAhead } from './lookers-ahead.ts';
import { type CommonFlags, withCommon, withWork } from './options.ts';
import type { Act, Session } from './session.ts';

const help = `
Removes blobs that no image needs, volumes without an image, leftovers of crashes and temp files.
Images, activations and what a live run relies on stay.

--max-bytes and --keep-within first let images go, the one that was used longest ago first: until no more
than so much is in use (layers as stored and unpacked; what images share counts once), and never one that
was used within the time, is pinned (\`flyd pin\`), or has activations. With --keep-within alone, all that
were not used for so long go.

Examples:
  flyd gc
  flyd gc --max-bytes 50G                      at most 50 GiB, the least recently used first
  flyd gc --max-bytes 50G --keep-within 7d     ... but nothing of the last seven days
  flyd gc --keep-within 30d                    whatever was not used for a month`;

export interface GcFlags {
  maxBytes?: number;
  keepWithin?: number;
}

export function gcCommand(act: Act): Command {
  const command = new Command('gc')
    .description('remove what nothing needs any more')
    .option('--max-bytes <size>', 'let images go until no more than this is in use', bytes)
    .option('--keep-within <time>', 'but none that was used within this time: 12h, 7d', span);
  withCommon(withWork(command));
  return command.addHelpText('after', help).action(
    act(async (session: Session, flags: CommonFlags & GcFlags) => {
      await lookersAhead(session, 'names');
      return (await import('./gc-work.ts')).collect(session, flags);
    }),
  );
}

function bytes(text: string): number {
  const size = parseBytes(text);
  if (size === undefined) throw new InvalidArgumentError('write a size: 500M, 50G');
  return size;
}

function span(text: string): number {
  const ms = parseSpan(text);
  if (ms === undefined) throw new InvalidArgumentError('write a time: 30m, 12h, 7d');
  return ms;
}
