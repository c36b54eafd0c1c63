import { Command } from 'commander';
import { withCommon } from './options.ts';
import { bytesText, table, timeText } from './output.ts';
import type { Act, Session } from './session.ts';

export function blobsCommand(act: Act): Command {
  const command = new Command('blobs').description('layer objects that are downloaded, whole and verified');
  return withCommon(command).action(
    act(async (session: Session) => {
      const { openReading } = await import('./reading.ts');
      return openReading(session, ({ images }) => {
        const { out } = session;
        const blobs = images.blobs.list();
        if (out.json)
          out.document(
            blobs.map(({ createdAt, usedAt, ...blob }) => ({
              ...blob,
              createdAt: timeText(createdAt),
              usedAt: timeText(usedAt),
            })),
          );
        const rows = (out.json ? [] : blobs).map((blob) => [
          blob.digest,
          bytesText(blob.size),
          bytesText(blob.rawSize),
          blob.mediaType.replace(/^.*\.tar/, 'tar'),
          String(blob.references),
          timeText(blob.usedAt),
        ]);
        if (rows.length === 0) out.say('no blobs');
        else
          for (const line of table(['BLOB', 'SIZE', 'UNPACKED', 'TYPE', 'IMAGES', 'USED'], rows))
            out.say(line);
        return 0;
      });
    }),
  );
}
