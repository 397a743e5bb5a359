import { closeSync, fdatasyncSync, openSync, readSync, statSync, writeSync } from "node:fs";

/**
 * Erases what SQLite's `secure_delete` leaves behind. It zeroes freed cells and pages, but when a b-tree is balanced, cells
 * move to other pages and their old bytes stay in the unallocated gap between a page's cell pointers and its cells; deleting the
 * row later does not reach them (measured: one row in a thousand after random inserts and deletes). So after each checkpoint
 * the gaps of the pages it wrote are zeroed in the file. SQLite never reads a gap, whoever holds the page in a cache; a stale
 * cached page that is written again is in the next checkpoint's list. File formats: sqlite.org/fileformat2.html §1.6, §4.1.
 *
 * Its descriptor stays open while the process lives: closing any descriptor of the database would drop the POSIX locks
 * that SQLite holds on it in this process.
 */
const walHeaderBytes = 32;
const frameHeaderBytes = 24;
const pagesAtOnce = 256;
/** From here on an overflow page's first byte could look like a b-tree page's type; at 4 KiB a page that is 128 GiB. */
const pagesMax = 1 << 25;

export class Scrub {
  readonly #file: string;
  readonly #descriptor: number;
  readonly #pageBytes: number;
  /** Pages written to the log since they were last scrubbed. */
  readonly #dirty = new Set<number>();

  constructor(file: string, pageBytes: number) {
    this.#file = file;
    this.#descriptor = openSync(file, "r+");
    this.#pageBytes = pageBytes;
  }

  /** Bytes of the write-ahead log. */
  walBytes(): number {
    return statSync(`${this.#file}-wal`, { throwIfNoEntry: false })?.size ?? 0;
  }

  /** Notes the pages in the write-ahead log; call before every attempt at a checkpoint, for it may restart the log. */
  note(): void {
    const bytes = this.walBytes();
    if (bytes <= walHeaderBytes) return;
    const descriptor = openSync(`${this.#file}-wal`, "r");
    // The log carries no POSIX locks (they are on -shm): closing this is harmless, but one left open per call is not.
    try {
      const frameBytes = frameHeaderBytes + this.#pageBytes;
      const chunk = Buffer.alloc(pagesAtOnce * frameBytes);
      for (let at = walHeaderBytes; at < bytes; at += chunk.length) {
        const got = readSync(descriptor, chunk, 0, chunk.length, at);
        for (let frame = 0; frame + frameHeaderBytes <= got; frame += frameBytes)
          this.#dirty.add(chunk.readUInt32BE(frame));
        if (got < chunk.length) return;
      }
    } finally {
      closeSync(descriptor);
    }
  }

  /** Zeroes the gaps of the pages noted; call after a checkpoint that emptied the log. Returns how many pages had something. */
  scrubNoted(): number {
    const pages = [...this.#dirty].sort((a, b) => a - b);
    this.#dirty.clear();
    const page = Buffer.alloc(this.#pageBytes);
    let found = 0;
    for (const number of pages) {
      if (readSync(this.#descriptor, page, 0, this.#pageBytes, (number - 1) * this.#pageBytes) < this.#pageBytes)
        continue;
      if (this.#scrub(page, number)) found++;
    }
    if (found > 0) fdatasyncSync(this.#descriptor);
    return found;
  }

  /**
   * Zeroes the gaps of pages `first` … (1 is the first) and returns the next page to go on from, 0 at the end. For a process
   * that died between a checkpoint and its scrub; right at any time, for a gap is a gap in every version of a page.
   */
  sweep(first: number): number {
    const chunk = Buffer.alloc(pagesAtOnce * this.#pageBytes);
    const got = readSync(this.#descriptor, chunk, 0, chunk.length, (first - 1) * this.#pageBytes);
    const whole = Math.floor(got / this.#pageBytes);
    for (let n = 0; n < whole; n++) {
      this.#scrub(chunk.subarray(n * this.#pageBytes, (n + 1) * this.#pageBytes), first + n);
    }
    return whole < pagesAtOnce ? 0 : first + whole;
  }

  /** When no handle of this process is in use any more: see above. */
  close(): void {
    closeSync(this.#descriptor);
  }

  #scrub(page: Buffer, number: number): boolean {
    if (number >= pagesMax) return false;
    const gap = gapOf(page, number === 1 ? 100 : 0);
    if (gap === undefined) return false;
    const [from, to] = gap;
    let at = from;
    while (at < to && page[at] === 0) at++;
    if (at === to) return false;
    page.fill(0, from, to);
    writeSync(this.#descriptor, page, from, to - from, (number - 1) * this.#pageBytes + from);
    return true;
  }
}

/** The unallocated bytes [from, to) of a b-tree page whose header is at `header`; undefined for any other page. */
function gapOf(page: Buffer, header: number): readonly [number, number] | undefined {
  const type = page[header];
  const interior = type === 2 || type === 5;
  if (!interior && type !== 10 && type !== 13) return undefined;
  const from = header + (interior ? 12 : 8) + 2 * page.readUInt16BE(header + 3);
  const to = page.readUInt16BE(header + 5);
  return from < to && to <= page.length ? [from, to] : undefined;
}
