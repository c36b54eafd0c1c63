import { listBlobLines, listBlobsAsJson } from '#db/images/blob-list';
import { exitCodes } from './exit.ts';
import { padded, type Text } from './output.ts';
import { openReading } from './reading.ts';
import type { Session } from './session.ts';

/** `flyd blobs`: there are hundreds of times as many as images, so each costs a microsecond or two. */
export async function showBlobs(session: Session): Promise<number> {
  const { out } = session;
  return openReading(session, (db) => {
    if (out.json) out.array(listBlobsAsJson(db));
    else out.sayAll(withHead(listBlobLines(db)));
    return exitCodes.done;
  });
}

/** All cells of a column are of one length or nearly so: none has to be seen before the first is told. */
const widths = ['sha256:'.length + 64, 8, 8, 'tar+gzip'.length, 6] as const;

function* withHead(lines: Iterable<Text>): Iterable<Text> {
  let any = false;
  for (const some of lines) {
    if (!any) yield padded(['BLOB', 'SIZE', 'UNPACKED', 'TYPE', 'IMAGES', 'USED'], widths);
    any = true;
    yield some;
  }
  if (!any) yield 'no blobs';
}
