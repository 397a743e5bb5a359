/** The timers of RFC 3261 §17 and Table 4 (Appendix A), of RFC 6026 §7 and RFC 4320 §4.1. Milliseconds. */

/** §17.1.1.1: estimate of the round trip. Timers A, E and G, which repeat over unreliable transports, begin with it. */
export const t1Ms = 500;
/** §17.1.2.2: longest interval of retransmission of non-INVITE requests and INVITE responses. */
export const t2Ms = 4_000;
/**
 * §17.1.2.2: how long a message may stay in the network. Timers I (repeated ACKs, §17.2.1) and K (repeated responses, §17.1.2.2)
 * wait so long over unreliable transports.
 */
export const t4Ms = 5_000;

/** §17.1.1.2: an INVITE without any answer ends. */
export const timerBMs = 64 * t1Ms;
/** §17.1.1.2: absorbs repeated final responses to INVITE, unreliable transports; "at least 32 seconds", whatever T1 is. */
export const timerDMs = 32_000;
/** §17.1.2.2: a non-INVITE request without final answer ends. */
export const timerFMs = 64 * t1Ms;
/** §17.2.1: no ACK came. */
export const timerHMs = 64 * t1Ms;
/** §17.2.2: absorbs repeated non-INVITE requests, unreliable transports. */
export const timerJMs = 64 * t1Ms;
/** RFC 6026 §7.1: how long an INVITE answered by 2xx is remembered by its server. */
export const timerLMs = 64 * t1Ms;
/** RFC 6026 §7.2: the same at its client. */
export const timerMMs = 64 * t1Ms;

/** §17.2.1: a 100 leaves when the transaction user has not answered an INVITE by then. */
export const inviteTryingMs = 200;
/** RFC 4320 §4.1: a 100 to non-INVITE leaves when timer E would have reached T2 (0.5 + 1 + 2 s), not before on unreliable transports. */
export const nonInviteTryingMs = 3_500;
/** RFC 4320 §4.2: by then the sender has given up (timer F); no final response is sent any more. */
export const nonInviteExpiryMs = 64 * t1Ms;
/** §9.1: an INVITE that our CANCEL did not end by then is taken as cancelled. */
export const cancelledMs = 64 * t1Ms;

/** A timer that fired: `afterMs` is what it was armed for, so that the next interval follows from it. */
export interface TimerEvent<Name extends string> {
  readonly kind: Name;
  readonly afterMs: number;
}
