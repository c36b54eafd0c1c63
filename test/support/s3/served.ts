import { createHash, randomBytes } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import type { TestContext } from 'node:test';
import { gzipSync } from 'node:zlib';
import type { DiffId, Digest } from '#core/ids';
import type { LayerRef } from '#core/image';
import type { S3Source } from '#core/source';
import { type S3LogEntry, type S3ServerOptions, startS3Server } from '#infra/s3-server';

export function tempFolder(t: TestContext): string {
  const path = mkdtempSync(join(tmpdir(), 'flyd-s3-'));
  t.after(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

/** A layer as it is stored, and what it must turn out to be. */
export interface SampleLayer {
  stored: Buffer;
  size: number;
  digest: Digest;
  diffId: DiffId;
  rawSize: number;
  etag: string;
}

/** Bytes that do not compress, as a gzip layer: so its stored size is about `rawBytes`. */
export function sampleLayer(rawBytes: number): SampleLayer {
  const raw = randomBytes(rawBytes);
  const stored = gzipSync(raw, { level: 1 });
  return {
    stored,
    size: stored.length,
    digest: sha256(stored) as Digest,
    diffId: sha256(raw) as DiffId,
    rawSize: raw.length,
    etag: createHash('md5').update(stored).digest('hex'),
  };
}

export const sha256 = (bytes: Buffer): string => `sha256:${createHash('sha256').update(bytes).digest('hex')}`;

export const sourceAt = (endpoint: string, more: Partial<S3Source> = {}): S3Source => ({
  endpoint,
  region: 'us-east-1',
  bucket: 'bucket',
  prefix: '',
  anonymous: true,
  insecure: false,
  ...more,
});

export const layerAt = (
  key: string,
  { etag, size }: SampleLayer,
  digest: Digest | null = null,
): LayerRef => ({
  key,
  etag,
  size,
  digest,
});

/** The embedded server over a new folder with these files (`bucket/key` to content), closed when the test ends. */
export async function served(
  t: TestContext,
  files: Record<string, string | Buffer>,
  options: Partial<S3ServerOptions> = {},
): Promise<{ dir: string; endpoint: string; source: S3Source; log: S3LogEntry[] }> {
  const dir = tempFolder(t);
  for (const [path, content] of Object.entries({ 'bucket/.keep': '', ...files })) {
    mkdirSync(join(dir, dirname(path)), { recursive: true });
    if (!path.endsWith('.keep')) writeFileSync(join(dir, path), content);
  }
  const log: S3LogEntry[] = [];
  const server = await startS3Server({ dir, log: (entry) => void log.push(entry), ...options });
  t.after(() => server.close());
  return { dir, endpoint: server.endpoint, source: sourceAt(server.endpoint), log };
}

/** For `assert.rejects`: a FlydError of this code and kind. */
export const failsWith = (code: string, kind?: string) => (error: unknown) => {
  const { code: found, kind: foundKind } = error as { code?: unknown; kind?: unknown };
  if (found === code && (kind === undefined || foundKind === kind)) return true;
  throw error;
};
