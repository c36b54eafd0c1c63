import assert from 'node:assert/strict';
import { existsSync, readdirSync, statfsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { FlydError } from '#core/errors';
import type { OpenVolume } from '#infra/volumes/driver';
import type { Subject } from './subject.ts';

/** A name in the tree of an open volume. */
export const at = (open: OpenVolume, path: string): string => join(open.root, 'rootfs', path);
export const put = (path: string) => (open: OpenVolume) => writeFileSync(at(open, path), path);

/** Mounts and gives the folder of its tree. */
export async function rootfsOf(
  subject: Subject,
  activation: Awaited<ReturnType<Subject['activation']>>,
): Promise<string> {
  const { rootfs } = await subject.driver.mount(activation);
  assert.ok(rootfs, 'a mounted activation has a rootfs');
  return rootfs;
}

export const hasCode = (code: string) => (error: unknown) =>
  error instanceof FlydError && error.code === code;

/** One file of its own and one that each layer writes anew. */
export const layer = (n: number) => (open: OpenVolume) => {
  writeFileSync(at(open, `n${n}`), '');
  writeFileSync(at(open, 'last'), String(n));
};

/** VFS_CAP_REVISION_2, cap_net_bind_service permitted and effective (linux/capability.h). */
export const capability = Buffer.from('010000020004000000000000000000000000000000', 'hex').subarray(0, 20);

/** Everything below the driver's folder and the mount root, but for folders that stay. */
export function filesLeft(s: Subject): string[] {
  const folder = join(s.stateDir, 'volumes', s.driver.name);
  const names = existsSync(folder) ? readdirSync(folder, { recursive: true }).map(String) : [];
  return [...names.filter((name) => name !== 'mnt'), ...readdirSync(s.mountRoot)];
}

export function statfsBytes(path: string): number {
  const fs = statfsSync(path);
  return fs.blocks * fs.bsize;
}

/** Registers one test of the suite, over a fresh subject. */
export type Check = (title: string, body: (subject: Subject, t: TestContext) => Promise<void>) => void;
