import type { FileHandle } from 'node:fs/promises';
import { type XmlElement, xmlDocument } from './xml.ts';

/** What a handler wants to be answered. */
export interface Reply {
  status: number;
  headers?: Record<string, string | number>;
  body?: string | FileSlice;
}

/** Bytes `start` to `end`, both included, of a file; whoever sends the reply closes it. */
export interface FileSlice {
  file: FileHandle;
  start: number;
  end: number;
}

export const xmlReply = (
  root: string,
  children: XmlElement[],
  headers: Record<string, string> = {},
): Reply => ({
  status: 200,
  headers: { 'Content-Type': 'application/xml', ...headers },
  body: xmlDocument(root, children),
});
