import { type BlobCells, type BlobView, listBlobCells, listBlobs } from '#db/images/blob-list';
import { exitCodes } from './exit.ts';
import { bytesText, padded, timeText } from './output.ts';
import { openReading } from './reading.ts';
import type { Session } from './session.ts';

/** `flyd blobs`: there are hundreds of times as many as images, so each costs a microsecond or two. */
export async function showBlobs(session: Session): Promise<number> {
  const { out } = session;
  return openReading(session, (db) => {
    const time = minuteByMinute();
    if (out.json) out.array(texts(listBlobs(db), time));
    else out.sayAll(lines(listBlobCells(db), time));
    return exitCodes.done;
  });
}

/** All cells of a column are of one length or nearly so: none has to be seen before the first is told. */
const widths = ['sha256:'.length + 64, 8, 8, 'tar+gzip'.length, 6] as const;

function* lines(blobs: Iterable<BlobCells>, time: (ms: number) => string): Iterable<string> {
  const [, sizeWidth, rawWidth, typeWidth, imagesWidth] = widths;
  let any = false;
  for (const [digest, size, rawSize, mediaType, usedAt, references] of blobs) {
    if (!any) yield padded(['BLOB', 'SIZE', 'UNPACKED', 'TYPE', 'IMAGES', 'USED'], widths);
    any = true;
    const type = mediaType.slice(mediaType.lastIndexOf('.tar') + 1);
    yield `${digest}  ${bytesText(size).padEnd(sizeWidth)}  ${bytesText(rawSize).padEnd(rawWidth)}  ` +
      `${type.padEnd(typeWidth)}  ${String(references).padEnd(imagesWidth)}  ${time(usedAt)}`;
  }
  if (!any) yield 'no blobs';
}

function* texts(blobs: Iterable<BlobView>, time: (ms: number) => string): Iterable<string> {
  for (const blob of blobs) yield textOf(blob, time);
}

/** As JSON.stringify would say it: digests, states and times have nothing that JSON writes otherwise. */
const textOf = (blob: BlobView, time: (ms: number) => string): string =>
  `{"digest":"${blob.digest}","size":${blob.size},"diffId":"${blob.diffId}","rawSize":${blob.rawSize},` +
  `"mediaType":${JSON.stringify(blob.mediaType)},"state":"${blob.state}","references":${blob.references},` +
  `"createdAt":"${time(blob.createdAt)}","usedAt":"${time(blob.usedAt)}"}`;

/** timeText for times of which many fall into the same minute: the most of the text stays. */
function minuteByMinute(): (ms: number) => string {
  const ofMinute = new Map<number, string>();
  return (ms) => {
    const minute = Math.floor(ms / 60_000);
    let start = ofMinute.get(minute);
    if (start === undefined) {
      start = timeText(minute * 60_000).slice(0, 'YYYY-MM-DDTHH:MM:'.length);
      ofMinute.set(minute, start);
    }
    const rest = ms - minute * 60_000;
    return `${start}${String(Math.floor(rest / 1000)).padStart(2, '0')}.${String(rest % 1000).padStart(3, '0')}Z`;
  };
}
