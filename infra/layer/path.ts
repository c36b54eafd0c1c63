import type { Limits } from '#core/limits';
import { exceeded, unsupported } from './errors.ts';

/**
 * Names inside a layer are bytes. As keys of maps they are latin1 strings: one character a byte, so
 * nothing is lost, folded or normalised on the way (cases 55 and 56).
 */
export interface InnerPath {
  /** The parts from the root down; none for the root itself. Neither empty nor `.` nor `..`. */
  parts: string[];
  /** `..` led above the root and was stopped there. */
  clamped: boolean;
}

export type PathLimits = Pick<Limits, 'pathDepthMax'>;

const nameBytesMax = 255; // NAME_MAX of every file system that flyd uses

/**
 * A path of a layer as parts below its root: absolute is the same as relative, `..` stops at the root
 * as in a chroot (cases 1 and 2). `limit_exceeded` for more parts than `pathDepthMax`,
 * `layer_unsupported` for a part that no file system holds.
 */
export function innerPath(path: Buffer, limits: PathLimits): InnerPath {
  const parts: string[] = [];
  let clamped = false;
  for (const part of path.toString('latin1').split('/')) {
    if (part === '' || part === '.') continue;
    if (part === '..') {
      if (parts.pop() === undefined) clamped = true;
      continue;
    }
    if (part.length > nameBytesMax) throw unsupported(`a name of more than ${nameBytesMax} bytes`, path);
    parts.push(part);
    if (parts.length > limits.pathDepthMax) throw exceeded('pathDepthMax', limits.pathDepthMax, path);
  }
  return { parts, clamped };
}

/** A key as the bytes that it stands for. */
export const bytesOf = (name: string): Buffer => Buffer.from(name, 'latin1');

/** Bytes as a key. */
export const keyOf = (name: Buffer): string => name.toString('latin1');
