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
 * `golang-zstd` with the same layers as zstd, `python-own` (a tag alone) with only the layers that golang
 * lacks, and the family `golang-tenfold`, ten times all layers, each with one more file, so that none is there twice.
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

/** The layout as it is, and with the tags `golang-zstd` and `python-own` more. */
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
  const read = <Document>({ digest }: Descriptor): Document =>
    JSON.parse(readFileSync(join(blobs(from), digest.slice('sha256:'.length)), 'utf8')) as Document;
  const index = JSON.parse(readFileSync(join(from, 'index.json'), 'utf8')) as { manifests: Descriptor[] };
  const tagName = 'org.opencontainers.image.ref.name';
  const [golang, python] = ['golang', 'python'].map((tag) => {
    const found = index.manifests.find(({ annotations }) => annotations?.[tagName] === tag);
    if (found === undefined) throw new Error(`${from} has no tag ${tag}`);
    return { mediaType: found.mediaType, manifest: read<Manifest>(found) };
  }) as [Tagged, Tagged];
  const tag = (name: string, { mediaType, manifest }: Tagged, layers: Descriptor[]): void => {
    const diffIds = read<Config>(manifest.config).rootfs.diff_ids;
    // Of other layers the first differ: what is kept are the last.
    const config = {
      ...read<Config>(manifest.config),
      rootfs: { type: 'layers', diff_ids: diffIds.slice(-layers.length) },
    };
    const made = { ...manifest, config: put(json(config), manifest.config.mediaType), layers };
    index.manifests.push({ ...put(json(made), mediaType), annotations: { [tagName]: name } });
  };
  const asZstd = zstd.map((layer) => put(readFileSync(layer), 'application/vnd.oci.image.layer.v1.tar+zstd'));
  tag('golang-zstd', golang, asZstd);
  const known = new Set(golang.manifest.layers.map(({ digest }) => digest));
  const own = python.manifest.layers.filter(({ digest }) => !known.has(digest));
  tag('python-own', python, own);
  writeFileSync(join(to, 'index.json'), JSON.stringify(index));
}

interface Manifest {
  config: Descriptor;
  layers: Descriptor[];
}

interface Config {
  rootfs: { type: string; diff_ids: string[] };
}

interface Tagged {
  mediaType: string;
  manifest: Manifest;
}

const json = (document: unknown): Buffer => Buffer.from(JSON.stringify(document));

const shell = (script: string): void => void execFileSync('bash', ['-o', 'pipefail', '-ec', script]);

function linkOrCopy(from: string, to: string): void {
  try {
    linkSync(from, to);
  } catch {
    copyFileSync(from, to);
  }
}
