/** Character classes of RFC 3261 §25.1 and the few byte routines that every reader needs. Nothing here allocates but `latin1`. */

export const HTAB = 0x09;
export const LF = 0x0a;
export const CR = 0x0d;
export const SP = 0x20;
export const DQUOTE = 0x22;
export const LPAREN = 0x28;
export const STAR = 0x2a;
export const COMMA = 0x2c;
export const HYPHEN = 0x2d;
export const DOT = 0x2e;
export const SLASH = 0x2f;
export const ZERO = 0x30;
const NINE = 0x39;
export const COLON = 0x3a;
export const SEMICOLON = 0x3b;
export const LESS = 0x3c;
export const EQUAL = 0x3d;
export const GREATER = 0x3e;
export const QUESTION = 0x3f;
export const AT = 0x40;
export const LBRACKET = 0x5b;
export const BACKSLASH = 0x5c;
export const RBRACKET = 0x5d;
export const DEL = 0x7f;

function classOf(members: string): Uint8Array {
  const table = new Uint8Array(256);
  for (let i = 0; i < members.length; i++) table[members.charCodeAt(i)] = 1;
  return table;
}

const alphanum = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
/** `token`: header names, methods, parameter names. 1 for members. */
export const tokenClass: Readonly<Uint8Array> = classOf(`${alphanum}-.!%*_+\`'~`);
/** Hexadecimal digits to their value plus one; 0 elsewhere. */
export const hexValue: Readonly<Uint8Array> = (() => {
  const table = new Uint8Array(256);
  for (let i = 0; i < 10; i++) table[ZERO + i] = i + 1;
  for (let i = 0; i < 6; i++) table[0x41 + i] = table[0x61 + i] = i + 11;
  return table;
})();

/** What ends or spoils a run of bytes: 0 goes on, 1 ends it, 2 makes it malformed. One look instead of a chain of comparisons. */
export const goesOn = 0;
export const ends = 1;
function runClass(ending: string, spoiling: string): Readonly<Uint8Array> {
  const table = new Uint8Array(256).fill(2, 0, SP + 1);
  table[DEL] = 2;
  for (let i = 0; i < spoiling.length; i++) table[spoiling.charCodeAt(i)] = 2;
  for (let i = 0; i < ending.length; i++) table[ending.charCodeAt(i)] = 1;
  return table;
}
/** An unquoted parameter value: up to `;`, `,` or white space. */
export const parameterRun = runClass(";, \t\r\n", '"<>');
/** A URI in `<>`: up to `>`. */
export const bracketedRun = runClass(">", '<"');
/** A display name without quotes or a bare URI: up to `<`, `;` or `,`. White space belongs to it. */
export const unquotedRun = (() => {
  const table = new Uint8Array(256);
  table[LESS] = table[SEMICOLON] = table[COMMA] = 1;
  table[DQUOTE] = table[GREATER] = 2;
  return table as Readonly<Uint8Array>;
})();

/** White space inside a value as `scan` delimits it: SP, HTAB, and CR LF, which can only be those of a fold. */
export function isLws(byte: number): boolean {
  return byte === SP || byte === HTAB || byte === CR || byte === LF;
}

export function isDigit(byte: number): boolean {
  return byte >= ZERO && byte <= NINE;
}

export function skipLws(bytes: Uint8Array, from: number, to: number): number {
  let at = from;
  while (at < to && isLws(bytes[at]!)) at++;
  return at;
}

/** The offset after the last byte of [from, to) that is not white space. */
export function trimEnd(bytes: Uint8Array, from: number, to: number): number {
  let at = to;
  while (at > from && isLws(bytes[at - 1]!)) at--;
  return at;
}

/** Offset after the closing quote of the quoted string that opens at `from`, or -1 when it never closes. */
export function skipQuoted(bytes: Uint8Array, from: number, to: number): number {
  for (let at = from + 1; at < to; at++) {
    const byte = bytes[at]!;
    if (byte === BACKSLASH) at++;
    else if (byte === DQUOTE) return at + 1;
  }
  return -1;
}

/** Whether bytes[from, to) spells `lower` (given in lower case), ignoring the case of ASCII letters. */
export function equalsIgnoreCase(bytes: Uint8Array, from: number, to: number, lower: string): boolean {
  if (to - from !== lower.length) return false;
  for (let i = 0; i < lower.length; i++) {
    const byte = bytes[from + i]!;
    const folded = byte >= 0x41 && byte <= 0x5a ? byte | 0x20 : byte;
    if (folded !== lower.charCodeAt(i)) return false;
  }
  return true;
}

/** Whether two byte ranges are identical. */
export function equalBytes(
  a: Uint8Array,
  aFrom: number,
  aTo: number,
  b: Uint8Array,
  bFrom: number,
  bTo: number,
): boolean {
  if (aTo - aFrom !== bTo - bFrom) return false;
  for (let i = aFrom, j = bFrom; i < aTo; i++, j++) if (a[i] !== b[j]) return false;
  return true;
}

/** 1*DIGIT of [from, to), nothing else, at most `max` (itself at most 2**48); -1 otherwise. Leading zeros do no harm. */
export function readDigits(bytes: Uint8Array, from: number, to: number, max: number): number {
  if (from >= to) return -1;
  let value = 0;
  for (let at = from; at < to; at++) {
    const byte = bytes[at]!;
    if (byte < ZERO || byte > NINE) return -1;
    value = value * 10 + (byte - ZERO);
    if (value > max) return -1;
  }
  return value;
}

interface Latin1Slicer {
  latin1Slice(this: Uint8Array, from: number, to: number): string;
}
// Works on any Uint8Array without making a Buffer of it (1 us less than TextDecoder, which has no lossless single-byte decoder).
// oxlint-disable-next-line typescript/unbound-method -- called with the array as `this`
const latin1Slice = (Buffer.prototype as unknown as Latin1Slicer).latin1Slice;

/** Bytes to a string of the same length, one character a byte: lossless, whatever the bytes are. */
export function latin1(bytes: Uint8Array, from: number, to: number): string {
  return from < to ? latin1Slice.call(bytes, from, to) : "";
}

const utf8 = new TextDecoder("utf-8", { fatal: true });

/** What a latin1 string says when its bytes are read as UTF-8 (RFC 3261 §7.3.1); itself when they are not UTF-8. */
export function utf8Text(text: string): string {
  let ascii = true;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code > 0xff) return text;
    if (code > 0x7f) ascii = false;
  }
  if (ascii) return text;
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  try {
    return utf8.decode(bytes);
  } catch {
    return text;
  }
}

/** The inside of a quoted string (quotes excluded) without its backslashes; LWS of folds becomes one space. */
export function unquote(bytes: Uint8Array, from: number, to: number): string {
  const raw = unfold(latin1(bytes, from, to));
  return raw.includes("\\") ? raw.replace(/\\([\s\S])/g, "$1") : raw;
}

/** A value with each fold (CR LF and white space around it) turned into one space (RFC 3261 §7.3.1). */
export function unfold(text: string): string {
  if (!text.includes("\n") && !text.includes("\r")) return text;
  let out = "";
  let at = 0;
  while (at < text.length) {
    let runEnd = at;
    let folded = false;
    while (runEnd < text.length && isLws(text.charCodeAt(runEnd))) {
      const code = text.charCodeAt(runEnd++);
      if (code === CR || code === LF) folded = true;
    }
    if (runEnd > at) {
      out += folded ? " " : text.slice(at, runEnd);
      at = runEnd;
      continue;
    }
    let end = at;
    while (end < text.length && !isLws(text.charCodeAt(end))) end++;
    out += text.slice(at, end);
    at = end;
  }
  return out;
}
