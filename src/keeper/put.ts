/** Parts no longer than this are copied byte by byte, which is quicker than a call. */
const loopBytesMax = 24;

/** HOT. Copies `part` to out[at, …); returns the offset behind. */
export function put(out: Uint8Array, at: number, part: Uint8Array): number {
  const { length } = part;
  if (length > loopBytesMax) out.set(part, at);
  else for (let n = 0; n < length; n++) out[at + n] = part[n]!;
  return at + length;
}

/** HOT. Copies from[start, end) to out[at, …); returns the offset behind. */
export function copy(out: Uint8Array, at: number, from: Uint8Array, start: number, end: number): number {
  let to = at;
  for (let n = start; n < end; n++) out[to++] = from[n]!;
  return to;
}
