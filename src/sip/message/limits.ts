/** The bounds of one SIP message. Each has a defined outcome; none can be passed by any sender. */

/** The largest message, head and body together, on a stream, in a tunnel frame or in a datagram (which holds 65,507 bytes at most). */
export const messageBytesMax = 65_536;
/** Header lines a message may have. RFC 4475 needs 52; the largest seen in the field had 71. More is `tooManyHeaders`. */
export const headersMax = 256;
/** CSeq, Expires and every other delta-seconds: 2**32 - 1 (RFC 3261 §8.1.1.5, §20.19). */
export const uint32Max = 4_294_967_295;
/** RFC 3261 §20.22. */
export const maxForwardsMax = 255;
/** Via values a message may have. Max-Forwards starts at 70, so no honest message has more. */
export const viasMax = 128;
/** What a writer may grow to: the largest message and room for the headers that we add. */
export const writtenBytesMax = 98_304;
