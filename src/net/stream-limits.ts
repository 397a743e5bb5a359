/** The bounds of TCP and TLS connections. Each ends with a counted outcome. */

/** Until a connection of ours is open, its handshake included: less than a transaction's 32 s, so that another server can be tried. */
export const connectMs = 8_000;
/** ... and when UDP would do as well: a firewall that drops what asks for TCP must not cost a call (RFC 3261 §18.1.1). */
export const trialConnectMs = 2_000;
/** A peer whose connection did not live so long is not dialled again sooner. */
export const redialFloorMs = 1_000;
/** From accept to the end of the TLS handshake. */
export const handshakeMs = 10_000;
/** From a message's first byte to the end of its head, and to its last byte, however it drips. */
export const headMs = 10_000;
export const messageMs = 30_000;
/** An accepted connection that brings no account's message is closed after this; one that did, after the longer time. */
export const idleMs = 120_000;
export const provenIdleMs = 600_000;
/** A connection of ours that neither sent nor received: nobody needs it (those in use are kept alive). */
export const outboundIdleMs = 600_000;
/** RFC 5626 §4.4.1: no pong by then, and the flow is dead. */
export const pongMs = 10_000;
/** A peer that takes nothing of what waits for it is gone. */
export const stalledMs = 30_000;
/** From our last byte to the peer's close; then it is cut. */
export const endingMs = 5_000;

/** Bytes of one connection handled in one turn of the loop; the rest waits for the next, so that nobody holds the thread. */
export const readBudgetBytes = 65_536;
/** What waits to be written: on our connections, which many accounts share, and on accepted ones. */
export const outboundQueueBytesMax = 4 * 1_048_576;
export const inboundQueueBytesMax = 262_144;
/** Connections we hold open to peers, and connections accepted, in all and from one address. */
export const outboundMax = 16_384;
export const inboundMax = 4_096;
export const inboundPerAddressMax = 100;
/** Unfinished messages of all accepted connections together. */
export const inboundHeldBytesMax = 64 * 1_048_576;
/** Accepted connections cut at a time: a close costs up to 0.1 ms, and thousands may be due together. */
export const cutsMax = 250;
