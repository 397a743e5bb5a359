/** Lower-case hexadecimal digits as bytes, for hot writers. */
export const hexDigits = new TextEncoder().encode("0123456789abcdef");

/** First and second digit of each byte: a look-up a digit. */
export const hexHigh = new Uint8Array(256);
export const hexLow = new Uint8Array(256);
for (let byte = 0; byte < 256; byte++) {
  hexHigh[byte] = hexDigits[byte >>> 4]!;
  hexLow[byte] = hexDigits[byte & 15]!;
}
