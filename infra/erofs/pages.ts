import fs from 'node:fs';

/** A page of this cache, in bytes: several blocks, for names and inodes that belong together stand together. */
export const pageBytes = 64 * 1024;
const pagesMax = 128;
/** Page numbers of an image stay below: 2^32 pages are more than EROFS can address (kernel, erofs_fs.h). */
const pagesOfImage = 2 ** 32;

/** The pages read last, of all images that are looked at together: what they take does not grow with their number. */
export class Pages {
  readonly #pages = new Map<number, Buffer>();
  #images = 0;

  /** A reader of the pages of one image by their number: shorter than `pageBytes` at its end. Not to be changed. */
  of(fd: number): (index: number) => Buffer {
    const image = this.#images++;
    return (index) => this.#page(image * pagesOfImage + index, fd, index);
  }

  #page(key: number, fd: number, index: number): Buffer {
    const known = this.#pages.get(key);
    if (known !== undefined) {
      this.#pages.delete(key);
      this.#pages.set(key, known);
      return known;
    }
    const page = readPage(fd, index);
    for (const oldest of this.#pages.keys()) {
      if (this.#pages.size < pagesMax) break;
      this.#pages.delete(oldest);
    }
    this.#pages.set(key, page);
    return page;
  }
}

function readPage(fd: number, index: number): Buffer {
  const page = Buffer.alloc(pageBytes);
  let filled = 0;
  for (let read = -1; read !== 0 && filled < pageBytes; filled += read)
    read = fs.readSync(fd, page, filled, pageBytes - filled, index * pageBytes + filled);
  return page.subarray(0, filled);
}
