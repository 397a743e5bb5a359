/** The bounds of the call side of a shard, each with its reason. Times are milliseconds of the monotonic clock unless said. */

// ---- how much at once

/** Calls of one account that run at the same time, parked ones included; the next is answered 486. A person holds a few. */
export const callsPerAccountMax = 16;
/** What a 503 to a call tells the server that sent it while we do not keep up (RFC 3261 §21.5.4): strain that ends is over sooner. */
export const overloadRetrySec = 2;
/** Calls of a shard; the next is answered 503. At 100 calls/s of 3 min each 18,000 run. */
export const callsMax = 24_000;
/** Legs of one call: `devices_per_account` may be raised, this may not. RFC 5393 §5.3.3.2: forks are an amplifier. */
export const legsMax = 16;
/** Early dialogs that one INVITE of a phone may raise downstream; 18x of further branches pass but leave no state. */
export const dialogsPerCallMax = 16;
/** Dialogs of one device (calls and subscriptions: a presence list of a desk phone is a hundred). */
export const dialogsPerDeviceMax = 512;
/** Requests of one phone that wait for an answer of the server; the next is answered 503. */
export const relaysPerDeviceMax = 128;
/** Frames held for a device without a tunnel; a full call set-up is under 20. The oldest goes first. */
export const heldFramesMax = 64;
/** Bytes of those. */
export const heldBytesMax = 262_144;
/** Final answers to a phone's requests that its next tunnel brings again while the phone may wait for them; the oldest goes first. */
export const answersKeptMax = 16;
/** Bytes of those. */
export const answersKeptBytesMax = 65_536;
/** A BYE or CANCEL without an answer is begun anew on later tunnels so many times; a phone that then says nothing never will. */
export const owedRepeatsMax = 3;
/** Out-of-call messages of one account that wait for a phone to wake; the next is answered 480. */
export const messagesPerAccountMax = 8;
/** ... that are under way at all, phones with an open tunnel included. */
export const messagesUnderWayMax = 64;
/** Requests of one phone that wait for the account's server to be resolved. */
export const pendingPerDeviceMax = 8;
/** MWI subscriptions of a shard that we hold ourselves or are about to ask for, about 1 KB each. Servers beyond send NOTIFY unasked, or not. */
export const mwiSubscriptionsMax = 20_000;
/** Accounts whose count of new voicemail is remembered, so that the same news is pushed once. */
export const mwiCountsKeptMax = 20_000;
/** A server that has refused MWI for so many accounts and accepted it for none is left alone. */
export const mwiRefusalsMax = 3;
/** Calls whose ladder is kept after their end. */
export const laddersKeptMax = 500;
/** Entries of one ladder: a long call with re-INVITEs every 90 s keeps its first hour. */
export const ladderEntriesMax = 256;
/** Characters of the messages in one ladder; further entries keep their label only. */
export const ladderCharsMax = 96_000;
/** Accounts traced at one time in a shard. */
export const tracesMax = 64;
/** Characters of a caller's URI or name in an event. */
export const callerCharsMax = 255;
/** Characters of a text message shown in a push; APNs and FCM end at 4 KB. */
export const previewCharsMax = 500;

/** INVITEs refused for want of room whose repetitions are known: 32 s of 1,000 a second, about 150 bytes each. */
export const refusedKeptMax = 32_768;

/** Calls remembered past their end: 70 s of 100 calls/s, about 3 KB each. */
export const goneCallsMax = 7_000;

// ---- how long

/** A device with an open tunnel gets a push as well when its phone does not answer with any 1xx by then. */
export const tunnelSilenceMs = 1_000;
/** A phone that had the call and lost its tunnel is woken once more when it has not come back by then: its app may have been ended. */
export const tunnelLostMs = 1_000;
/** Pushes for one call and device: a phone whose tunnel breaks each time it rings is left alone after that. */
export const wakesMax = 3;
/**
 * RFC 3261 §16.6 step 11 (timer C): over 3 minutes. Ten, because callers do listen longer to early media (queues that are not
 * charged) from servers that never repeat their 183.
 */
export const timerCMs = 600_000;
/** After a 6xx the other legs have this long to end before it is passed on (§16.7 step 5: a 2xx may still come). */
export const declineGraceMs = 500;
/** A call that is gone is remembered this long past its end, and at least to its deadline, for a phone that comes late. */
export const goneCallKeptMs = 30_000;
/** A MESSAGE waits this long for a tunnel; the sender's transaction ends at 32 s (timer F). */
export const messageHoldMs = 25_000;
/** ... and this long for the answer of a phone that has it. */
export const messageAnswerMs = 31_000;
/** A phone answers the challenge to its INVITE or BYE within this, or its call is over; a person may be asked for the password. */
export const challengedKeptMs = 32_000;
/** A request of a phone waits this long for its server's address: twice the resolver's bound. */
export const serverUnknownMs = 6_000;
/** A far end that could not be reached by itself is spoken to by its server for so long. */
export const farEndDownMs = 600_000;
/** A route's local address is looked up again this often. */
export const routeRetryMs = 50;
/** A phone in a running call with something to deliver to it is given up after this long without a tunnel: the far end is waiting. */
export const phoneLostMs = 60_000;
/** With nothing to deliver: media may be fine, so only what no phone in reach would do counts. */
export const phoneLostQuietMs = 600_000;
/** A dialog in which nothing was said for so long is forgotten; session timers (RFC 4028) speak every 30 min at most. */
export const dialogIdleMs = 24 * 3_600_000;
/** After BYE: the far end's retransmissions (timer J, 32 s) and the last NOTIFY of a transfer still find the dialog. */
export const dialogLingerMs = 33_000;
/** A subscription that names no expiry (the implicit one of REFER, RFC 3515 §2.4.4) lasts this long. */
export const subscriptionDefaultSec = 180;
/** What is held for a device goes this long after its tunnel closed, dialogs or not. */
export const linkKeptMs = 900_000;
/** Accounts that became registered are first looked at after this time, then so many at once as often as one SUBSCRIBE leaves. */
export const mwiAskMs = 1_000;
export const mwiAskedMax = 32;
/** One MWI SUBSCRIBE leaves the shard in this time: 20 a second. */
export const mwiStartMs = 50;
/** An account is subscribed so long after it has registered: by then servers that tell unasked have done so. */
export const mwiSettleMs = 5_000;
/** What MWI SUBSCRIBEs ask for: RFC 3842 §3.4 says hours. */
export const mwiExpiresSec = 3_600;
/** A server that knows no MWI is asked again after this. */
export const mwiServerPauseMs = 6 * 3_600_000;
/** A REGISTER through the tunnel is granted at least this: a stock stack would otherwise come back every second before a refresh of ours. */
export const tunnelExpiresSecMin = 30;
/** ... and this while we hold no binding (the phone itself is registered, or the registrar is silent). */
export const tunnelExpiresSecUnregistered = 60;
