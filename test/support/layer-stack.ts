import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { FlydError } from '#core/errors';
import { defaultLimits, type Limits } from '#core/limits';
import { applyToImage } from '#infra/erofs/apply';
import { rootName } from '#infra/erofs/lowers';
import { type Applied, applyLayer } from '#infra/layer/apply';
import { NeedsBelow } from '#infra/layer/loose-tree';
import { prepareLayer } from '#infra/layer/prepare';
import { settleLayer } from '#infra/layer/settle';
import { BlockReader, sourceOf } from '#infra/layer/source';
import * as sys from '#infra/sys';

export const isRoot = process.geteuid?.() === 0;

/** Applies raw layers in temporary folders, in every form, and shows the merged tree. Call `remove` at the end. */
export class LayerStack {
  readonly base = fs.mkdtempSync(path.join(os.tmpdir(), 'flyd-layers-'));
  readonly #mounts: string[] = [];
  #count = 0;

  /** A fresh folder beside the others. */
  folder(name: string): string {
    const at = path.join(this.base, `${this.#count++}-${name}`);
    fs.mkdirSync(at, { mode: 0o755 });
    return at;
  }

  /** All layers into one folder, as the copy and devmapper drivers do. */
  flat(layers: readonly Buffer[], limits: Partial<Limits> = {}, privileged = isRoot) {
    const rootfs = this.folder('flat');
    const applied = layers.map((layer) => apply(layer, rootfs, 'flat', [], limits, privileged));
    return { rootfs, applied };
  }

  /** A folder a layer, in overlay's form; `lowers` is nearest first, the top one included. */
  overlay(layers: readonly Buffer[], limits: Partial<Limits> = {}, privileged = isRoot) {
    const lowers: string[] = [];
    const applied: Applied[] = [];
    for (const layer of layers) {
      const rootfs = this.folder('overlay');
      applied.push(apply(layer, rootfs, 'overlay', lowers, limits, privileged));
      lowers.unshift(rootfs);
    }
    return { lowers, applied };
  }

  /**
   * A folder a layer, in overlay's form, each unpacked without those below and then put onto them; `redone`
   * are the layers that had to be applied anew.
   */
  prepared(layers: readonly Buffer[], limits: Partial<Limits> = {}) {
    const all = { ...defaultLimits, ...limits };
    const lowers: string[] = [];
    const applied: Applied[] = [];
    const redone: number[] = [];
    for (const [index, layer] of layers.entries()) {
      let rootfs = this.folder('prepared');
      const target = { rootfs, form: 'overlay' as const, lowers: [...lowers], privileged: true };
      let done = attemptPart(() => settleLayer(prepareLayer(blocksOf(layer), rootfs, all), target, all));
      if (done === null) {
        redone.push(index);
        rootfs = this.folder('overlay');
        done = apply(layer, rootfs, 'overlay', lowers, limits, true);
      }
      applied.push(done);
      lowers.unshift(rootfs);
    }
    return { lowers, applied, redone };
  }

  /** An EROFS image a layer, as the erofs driver makes them; nearest first, the top one included. */
  images(layers: readonly Buffer[], limits: Partial<Limits> = {}) {
    const lowers: string[] = [];
    const applied: Applied[] = [];
    for (const layer of layers) {
      const path = `${this.folder('image')}/layer.erofs`;
      const target = { form: 'image' as const, path, lowers: [...lowers] };
      applied.push(applyToImage(blocksOf(layer), target, { ...defaultLimits, ...limits }));
      lowers.unshift(path);
    }
    return { lowers, applied };
  }

  /** Mounts images and an overlay over them, read-only, by the kernel. */
  mergeImages(images: readonly string[]): string {
    const folders = images.map((image) => {
      const at = this.folder('erofs');
      mountImage(image, at);
      this.#mounts.push(at);
      return `${at}/${rootName}`;
    });
    return this.merge(folders);
  }

  /** Mounts folders in overlay's form, nearest first, read-only, by the kernel. */
  merge(lowers: readonly string[], options = ''): string {
    const merged = this.folder('merged');
    // One layer alone is no overlay to the kernel: an empty one below changes nothing.
    const all = [...lowers, this.folder('empty')];
    sys.mount('overlay', merged, 'overlay', sys.MS_RDONLY, `lowerdir=${all.join(':')}${options}`);
    this.#mounts.push(merged);
    return merged;
  }

  remove(): void {
    for (const at of this.#mounts.splice(0).reverse()) sys.umount2(at, sys.MNT_DETACH);
    fs.rmSync(this.base, { recursive: true, force: true });
  }
}

/** What cannot be prepared is a layer like others: whoever applies it says what is wrong with it. */
function attemptPart(make: () => Applied | null): Applied | null {
  try {
    return make();
  } catch (error) {
    if (error instanceof NeedsBelow || error instanceof FlydError) return null;
    throw error;
  }
}

/** Odd pieces: nothing may depend on how the bytes arrive. */
const blocksOf = (layer: Buffer) => new BlockReader(sourceOf(layer, 700));

/** As a file where the kernel can (Linux 6.12), else by a loop device. */
function mountImage(image: string, at: string): void {
  try {
    sys.mount(image, at, 'erofs', sys.MS_RDONLY, null);
  } catch (error) {
    if (!sys.isErrno(error, 'ENOTBLK', 'ENODEV', 'EINVAL')) throw error;
    execFileSync('mount', ['-n', '-i', '-t', 'erofs', '-o', 'loop,ro', image, at], { stdio: 'pipe' });
  }
}

function apply(
  layer: Buffer,
  rootfs: string,
  form: 'flat' | 'overlay',
  lowers: readonly string[],
  limits: Partial<Limits>,
  privileged: boolean,
): Applied {
  const all = { ...defaultLimits, ...limits };
  return applyLayer(blocksOf(layer), { rootfs, form, lowers: [...lowers], privileged }, all);
}

/** Why the kernel mounts no EROFS images here, and what to do; false when it does. */
export function imageProblem(): string | false {
  const problem = overlayProblem();
  if (problem !== false) return problem;
  const stack = new LayerStack();
  try {
    stack.mergeImages(stack.images([Buffer.alloc(0)]).lowers);
    return false;
  } catch (error) {
    return `needs EROFS in the kernel (${error}): modprobe erofs`;
  } finally {
    stack.remove();
  }
}

/** Why the kernel mounts no overlay over temporary folders here, and what to do; false when it does. */
export function overlayProblem(): string | false {
  if (!isRoot) return 'needs root: run the tests as root';
  const stack = new LayerStack();
  try {
    stack.merge([stack.folder('probe')]);
    return false;
  } catch (error) {
    return `needs an overlay over temporary folders (${error}): modprobe overlay, and TMPDIR on ext4, xfs, btrfs or tmpfs`;
  } finally {
    stack.remove();
  }
}
