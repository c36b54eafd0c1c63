import { createHash } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';

const digestOf = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');

/** Writes an OCI image layout (image-spec, image-layout.md) of uncompressed layers, with one image under a tag. */
export function writeOciLayout(folder: string, tag: string, layers: readonly Buffer[]): void {
  const blobs = path.join(folder, 'blobs/sha256');
  fs.mkdirSync(blobs, { recursive: true });
  const put = (mediaType: string, bytes: Buffer) => {
    const hex = digestOf(bytes);
    fs.writeFileSync(path.join(blobs, hex), bytes);
    return { mediaType, digest: `sha256:${hex}`, size: bytes.length };
  };
  const json = (value: unknown) => Buffer.from(JSON.stringify(value));
  const descriptors = layers.map((layer) => put('application/vnd.oci.image.layer.v1.tar', layer));
  const config = put(
    'application/vnd.oci.image.config.v1+json',
    json({
      architecture: 'amd64',
      os: 'linux',
      config: {},
      rootfs: { type: 'layers', diff_ids: descriptors.map(({ digest }) => digest) },
    }),
  );
  const manifestType = 'application/vnd.oci.image.manifest.v1+json';
  const manifest = put(
    manifestType,
    json({ schemaVersion: 2, mediaType: manifestType, config, layers: descriptors }),
  );
  const annotations = { 'org.opencontainers.image.ref.name': tag };
  fs.writeFileSync(
    path.join(folder, 'index.json'),
    json({ schemaVersion: 2, manifests: [{ ...manifest, annotations }] }),
  );
  fs.writeFileSync(path.join(folder, 'oci-layout'), json({ imageLayoutVersion: '1.0.0' }));
}
