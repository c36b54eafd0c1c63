import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  copyFileSync,
  existsSync,
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { basename, join } from 'node:path';

/** Images to pull: families of a bucket, and the same as tags of an OCI layout. */
export interface Forms {
  /** For `flyd s3 serve`; the bucket is `images`. */
  s3: string;
  /** For a registry. */
  layout: string;
  /** The layers of a family as files, in order. */
  layersOf(family: string): string[];
}

export const formsOf = (image: string): Forms => ({
  s3: join(image, 's3'),
  layout: join(image, 'oci'),
  layersOf: (family) => {
    const folder = join(image, 's3/images', family);
    return readdirSync(folder)
      .sort()
      .map((name) => join(folder, name));
  },
});

/**
 * Other forms of a real image, made once and kept in `into`: `golang` and `python` as they are,
 * `golang-zstd` with the same layers as zstd, `python-own` with only those that golang lacks, and
 * `golang-tenfold`, ten times all layers, each with one more file, so that none is there twice.
 */
export function otherForms(image: string, into: string): Forms {
  if (existsSync(into)) return formsOf(into);
  const work = `${into}.part`;
  rmSync(work, { recursive: true, force: true });
  const from = formsOf(image);
  const bucket = join(work, 's3/images');
  const add = (family: string, name: string, layer: string): void => {
    mkdirSync(join(bucket, family), { recursive: true });
    linkOrCopy(layer, join(bucket, family, name));
  };
  const [golang, python] = ['golang', 'python'].map(from.layersOf) as [string[], string[]];
  for (const layer of golang) add('golang', basename(layer), layer);
  for (const layer of python) add('python', basename(layer), layer);
  const names = new Set(golang.map((layer) => basename(layer)));
  for (const layer of python) if (!names.has(basename(layer))) add('python-own', basename(layer), layer);
  mkdirSync(join(bucket, 'golang-zstd'));
  for (const layer of golang) {
    const target = join(bucket, 'golang-zstd', basename(layer).replace(/gz$/, 'zst'));
    shell(`gzip -dc ${layer} | zstd -q -T0 -o ${target}`);
  }
  mkdirSync(join(bucket, 'golang-tenfold'));
  for (let copy = 0; copy < 10; copy++)
    for (const [n, layer] of golang.entries()) {
      const mark = join(work, `mark-${copy}-${n}`);
      writeFileSync(mark, '');
      const name = `${String(copy * golang.length + n).padStart(2, '0')}.tar.gz`;
      // Members of one gzip file follow each other, and so do the headers of an archive without its end.
      shell(
        `(tar -C ${work} -cf - ${basename(mark)} | head -c 512 | gzip -c; cat ${layer}) > ${join(bucket, 'golang-tenfold', name)}`,
      );
    }
  layOut(from.layout, join(work, 'oci'), formsOf(work).layersOf('golang-zstd'));
  renameSync(work, into);
  return formsOf(into);
}

interface Descriptor {
  mediaType: string;
  digest: string;
  size: number;
  annotations?: Record<string, string>;
}

/** The layout as it is, and with a tag `golang-zstd` more. */
function layOut(from: string, to: string, zstd: readonly string[]): void {
  const blobs = (layout: string): string => join(layout, 'blobs/sha256');
  mkdirSync(blobs(to), { recursive: true });
  for (const name of readdirSync(blobs(from))) linkOrCopy(join(blobs(from), name), join(blobs(to), name));
  copyFileSync(join(from, 'oci-layout'), join(to, 'oci-layout'));
  const put = (bytes: Buffer, mediaType: string): Descriptor => {
    const hex = createHash('sha256').update(bytes).digest('hex');
    writeFileSync(join(blobs(to), hex), bytes);
    return { mediaType, digest: `sha256:${hex}`, size: bytes.length };
  };
  const index = JSON.parse(readFileSync(join(from, 'index.json'), 'utf8')) as { manifests: Descriptor[] };
  const tag = 'org.opencontainers.image.ref.name';
  const golang = index.manifests.find(({ annotations }) => annotations?.[tag] === 'golang');
  if (golang === undefined) throw new Error(`${from} has no tag golang`);
  const read = readFileSync(join(blobs(from), golang.digest.slice('sha256:'.length)), 'utf8');
  const manifest = JSON.parse(read) as { layers: Descriptor[] };
  manifest.layers = zstd.map((layer) =>
    put(readFileSync(layer), 'application/vnd.oci.image.layer.v1.tar+zstd'),
  );
  const made = put(Buffer.from(JSON.stringify(manifest)), golang.mediaType);
  index.manifests.push({ ...made, annotations: { [tag]: 'golang-zstd' } });
  writeFileSync(join(to, 'index.json'), JSON.stringify(index));
}

const shell = (script: string): void => void execFileSync('bash', ['-o', 'pipefail', '-ec', script]);

function linkOrCopy(from: string, to: string): void {
  try {
    linkSync(from, to);
  } catch {
    copyFileSync(from, to);
  }
}
