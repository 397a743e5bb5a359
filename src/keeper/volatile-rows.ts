import type { RegistrationIndex } from "../base/ids.ts";
import type { PeerId } from "../net/network.ts";
import type { AlgorithmId } from "../sip/auth/algorithm.ts";

/**
 * The half of a registration that dies with the process: its secrets (HA1, nonce) and its running transaction. Rows beside
 * those of `Columns`, with the same numbers; memory is taken by the system only for rows in use.
 */

const rowWords = 44;
const rowBytes = rowWords * 4;
const lineWords = 16;

/** Bytes of a hash; MD5 takes the first 16. */
const ha1Bytes = 32;
/** Nonce and opaque together; longer ones are kept outside. Asterisk's take 59, Kamailio's 32 to 44, OpenSIPS's 64. */
export const keptBytesMax = 80;

const Field = {
  profile: 0,
  entry: 1,
  branch: 2,
  startedMs: 4,
  /** state 0-7, purpose 8-15, retransmissions 16-23, answers to challenges 24-31. */
  transaction: 5,
  chain: 6,
  /** algorithm 0-7, nonce length 8-15, opaque length 16-23. */
  kept: 7,
  /** realm 0-15, flags 16-31. */
  realm: 8,
  nonceCount: 9,
  cnonce: 10,
  peer: 11,
  queued: 12,
  next: 13,
  previous: 14,
  askedSec: 15,
  ha1: 16,
  nonce: 24,
} as const;

export const TxState = {
  none: 0,
  /** Sent, nothing heard (RFC 3261 §17.1.2.2, Trying). */
  trying: 1,
  /** A 1xx came (Proceeding). */
  proceeding: 2,
  /** Given up to spare a silent server; an answer is still welcome. */
  parked: 3,
} as const;
export type TxStateId = (typeof TxState)[keyof typeof TxState];

export const Purpose = {
  none: 0,
  /** Makes or refreshes our binding. */
  bind: 1,
  /** Removes our binding, and it alone. */
  unbind: 2,
  /** Asks which bindings there are: a REGISTER without Contact (RFC 3261 §10.2.3). */
  query: 3,
} as const;
export type PurposeId = (typeof Purpose)[keyof typeof Purpose];

/** What has been tried in this chain: from a first REGISTER over challenges and corrections to the answer that ends it. */
export const ChainFlag = {
  /** Counts in its registrar's budget. */
  inFlight: 1 << 0,
  /** Expires was raised after a 423. */
  raised: 1 << 1,
  /** Extensions were dropped after a 420 or the like. */
  simplified: 1 << 2,
  /** Stale bindings were removed. */
  cleaned: 1 << 4,
  /** Other bindings were asked for after a refused second one. */
  queried: 1 << 5,
  /** The credentials sent were computed for a nonce of this very chain: a further 401 means that they are wrong. */
  fresh: 1 << 6,
  /** The request in hand carries credentials. */
  credentials: 1 << 7,
  /** A stale nonce has been excused already. */
  stale: 1 << 8,
  /** Retransmission has begun: the round trip is not to be measured (Karn). */
  ambiguous: 1 << 9,
  /** Somebody waits for this: a change of presence, an operator. */
  urgent: 1 << 10,
  /** This attempt refreshes a binding that is there. */
  refresh: 1 << 11,
  /** Came from the queue of a crowded or recovering server: spread its next refresh. */
  waited: 1 << 12,
  /** Three bits: servers passed over in this chain. */
  passedOver: 7 << 13,
} as const;
const passedOverShift = 13;
/** Servers that one attempt tries: the first, and as many as three bits count. */
export const serversTriedMax = 8;

/** Bits of the kept credentials. */
export const KeptFlag = {
  ha1: 1 << 16,
  qopAuth: 1 << 17,
  proxy: 1 << 18,
  /** Credentials for this row are objects outside: -sess, auth-int, two realms, a long nonce. */
  outside: 1 << 19,
  /** A kept nonce was refused at the last refresh. */
  staleOnce: 1 << 20,
  /** …and at the one before: this server's nonces serve once. */
  staleTwice: 1 << 21,
  opaque: 1 << 22,
  algorithmGiven: 1 << 23,
  /** The realm of the kept credentials is the pinned one. */
  pinned: 1 << 24,
} as const;

export class VolatileRows {
  #words: Uint32Array<ArrayBuffer>;
  /** The same words, signed: an engine computes with these as they are, with a word over 2**31 by way of a float. */
  #ints: Int32Array<ArrayBuffer>;
  /** For hot readers and writers: hash and nonce lie here at `ha1At` and `nonceAt`. Replaced by `ensure`. */
  bytes: Uint8Array<ArrayBuffer>;

  constructor(capacity: number) {
    this.#words = new Uint32Array(Math.max(capacity, 1) * rowWords);
    this.#ints = new Int32Array(this.#words.buffer);
    this.bytes = new Uint8Array(this.#words.buffer);
  }

  /**
   * Makes room for `row`, doubling. Not all at once at the start: what is reserved counts as used in the collector's plans, and
   * a shard of ten accounts would let garbage of hundreds of megabytes lie.
   */
  ensure(row: RegistrationIndex): void {
    const need = (row + 1) * rowWords;
    if (need <= this.#words.length) return;
    let length = this.#words.length;
    while (length < need) length *= 2;
    const words = new Uint32Array(length);
    words.set(this.#words);
    // The old ones held secrets.
    this.#words.fill(0);
    this.#words = words;
    this.#ints = new Int32Array(words.buffer);
    this.bytes = new Uint8Array(words.buffer);
  }

  /** HOT. Reads a word of each cache line of the row: see `RowTimers.advance`. */
  touch(row: RegistrationIndex): number {
    const at = row * rowWords;
    const words = this.#words;
    return words[at]! ^ words[at + lineWords]! ^ words[at + 2 * lineWords]! ^ words[at + rowWords - 1]!;
  }

  clear(row: RegistrationIndex): void {
    this.#words.fill(0, row * rowWords, (row + 1) * rowWords);
  }

  copy(from: RegistrationIndex, to: RegistrationIndex): void {
    this.#words.copyWithin(to * rowWords, from * rowWords, (from + 1) * rowWords);
  }

  profile(row: RegistrationIndex): number {
    return this.#words[row * rowWords + Field.profile]!;
  }
  setProfile(row: RegistrationIndex, profile: number): void {
    this.#words[row * rowWords + Field.profile] = profile;
  }

  /** Entry of the account's names in the arena. */
  entry(row: RegistrationIndex): number {
    return this.#words[row * rowWords + Field.entry]!;
  }
  setEntry(row: RegistrationIndex, entry: number): void {
    this.#words[row * rowWords + Field.entry] = entry;
  }

  /** One of the two random words of the transaction's branch, signed. */
  branchWord(row: RegistrationIndex, n: 0 | 1): number {
    return this.#ints[row * rowWords + Field.branch + n]!;
  }
  setBranch(row: RegistrationIndex, first: number, second: number): void {
    this.#ints[row * rowWords + Field.branch] = first;
    this.#ints[row * rowWords + Field.branch + 1] = second;
  }

  /** When the last REGISTER was first sent, in milliseconds since the keeper's start; 0: none yet. */
  startedMs(row: RegistrationIndex): number {
    return this.#words[row * rowWords + Field.startedMs]!;
  }
  setStartedMs(row: RegistrationIndex, atMs: number): void {
    this.#words[row * rowWords + Field.startedMs] = atMs;
  }

  txState(row: RegistrationIndex): TxStateId {
    return (this.#words[row * rowWords + Field.transaction]! & 0xff) as TxStateId;
  }
  setTxState(row: RegistrationIndex, state: TxStateId): void {
    const at = row * rowWords + Field.transaction;
    this.#words[at] = (this.#words[at]! & ~0xff) | state;
  }
  purpose(row: RegistrationIndex): PurposeId {
    return ((this.#words[row * rowWords + Field.transaction]! >>> 8) & 0xff) as PurposeId;
  }
  retransmissions(row: RegistrationIndex): number {
    return (this.#words[row * rowWords + Field.transaction]! >>> 16) & 0xff;
  }
  setRetransmissions(row: RegistrationIndex, count: number): void {
    const at = row * rowWords + Field.transaction;
    this.#words[at] = (this.#words[at]! & ~0xff0000) | (count << 16);
  }
  /** Challenges answered in this chain. */
  answers(row: RegistrationIndex): number {
    return this.#words[row * rowWords + Field.transaction]! >>> 24;
  }
  setAnswers(row: RegistrationIndex, count: number): void {
    const at = row * rowWords + Field.transaction;
    this.#words[at] = (this.#words[at]! & 0xffffff) | (count << 24);
  }
  /** A transaction begins: nothing sent yet. */
  beginTransaction(row: RegistrationIndex, purpose: PurposeId): void {
    const at = row * rowWords + Field.transaction;
    this.#words[at] = (this.#words[at]! & 0xff000000) | TxState.trying | (purpose << 8);
  }

  chain(row: RegistrationIndex, flag: number): boolean {
    return (this.#words[row * rowWords + Field.chain]! & flag) !== 0;
  }
  setChain(row: RegistrationIndex, flag: number, on: boolean): void {
    const at = row * rowWords + Field.chain;
    this.#words[at] = on ? this.#words[at]! | flag : this.#words[at]! & ~flag;
  }
  clearChain(row: RegistrationIndex): void {
    this.#words[row * rowWords + Field.chain] = 0;
    this.setAnswers(row, 0);
  }
  passedOver(row: RegistrationIndex): number {
    return (this.#words[row * rowWords + Field.chain]! >>> passedOverShift) & 7;
  }
  setPassedOver(row: RegistrationIndex, count: number): void {
    const at = row * rowWords + Field.chain;
    this.#words[at] = (this.#words[at]! & ~ChainFlag.passedOver) | ((count & 7) << passedOverShift);
  }

  keptAlgorithm(row: RegistrationIndex): AlgorithmId {
    return (this.#words[row * rowWords + Field.kept]! & 0xff) as AlgorithmId;
  }
  nonceLength(row: RegistrationIndex): number {
    return (this.#words[row * rowWords + Field.kept]! >>> 8) & 0xff;
  }
  opaqueLength(row: RegistrationIndex): number {
    return (this.#words[row * rowWords + Field.kept]! >>> 16) & 0xff;
  }
  setKept(row: RegistrationIndex, algorithm: AlgorithmId, nonceLength: number, opaqueLength: number): void {
    this.#words[row * rowWords + Field.kept] = algorithm | (nonceLength << 8) | (opaqueLength << 16);
  }

  /** Number of the realm that HA1 and nonce belong to. */
  realm(row: RegistrationIndex): number {
    return this.#words[row * rowWords + Field.realm]! & 0xffff;
  }
  setRealm(row: RegistrationIndex, realm: number): void {
    const at = row * rowWords + Field.realm;
    this.#words[at] = (this.#words[at]! & ~0xffff) | realm;
  }
  kept(row: RegistrationIndex, flag: number): boolean {
    return (this.#words[row * rowWords + Field.realm]! & flag) !== 0;
  }
  setKeptFlag(row: RegistrationIndex, flag: number, on: boolean): void {
    const at = row * rowWords + Field.realm;
    this.#words[at] = on ? this.#words[at]! | flag : this.#words[at]! & ~flag;
  }

  nonceCount(row: RegistrationIndex): number {
    return this.#words[row * rowWords + Field.nonceCount]!;
  }
  setNonceCount(row: RegistrationIndex, count: number): void {
    this.#words[row * rowWords + Field.nonceCount] = count;
  }
  /** Random, signed. */
  cnonce(row: RegistrationIndex): number {
    return this.#ints[row * rowWords + Field.cnonce]!;
  }
  setCnonce(row: RegistrationIndex, cnonce: number): void {
    this.#ints[row * rowWords + Field.cnonce] = cnonce;
  }

  /** Where the last REGISTER went; 0 before the first. */
  peer(row: RegistrationIndex): PeerId {
    return this.#words[row * rowWords + Field.peer] as PeerId;
  }
  setPeer(row: RegistrationIndex, peer: PeerId): void {
    this.#words[row * rowWords + Field.peer] = peer;
  }

  /** Place in its registrar's waiting queue, plus one; 0: not waiting. */
  queued(row: RegistrationIndex): number {
    return this.#words[row * rowWords + Field.queued]!;
  }
  setQueued(row: RegistrationIndex, place: number): void {
    this.#words[row * rowWords + Field.queued] = place;
  }

  /** Neighbours in the list of a registrar's rows, plus one; 0: none. */
  next(row: RegistrationIndex): number {
    return this.#words[row * rowWords + Field.next]!;
  }
  setNext(row: RegistrationIndex, link: number): void {
    this.#words[row * rowWords + Field.next] = link;
  }
  previous(row: RegistrationIndex): number {
    return this.#words[row * rowWords + Field.previous]!;
  }
  setPrevious(row: RegistrationIndex, link: number): void {
    this.#words[row * rowWords + Field.previous] = link;
  }

  /** Seconds that the REGISTER in hand asks for. */
  askedSec(row: RegistrationIndex): number {
    return this.#words[row * rowWords + Field.askedSec]!;
  }
  setAskedSec(row: RegistrationIndex, sec: number): void {
    this.#words[row * rowWords + Field.askedSec] = sec;
  }

  ha1At(row: RegistrationIndex): number {
    return row * rowBytes + Field.ha1 * 4;
  }
  /** Nonce, and the opaque behind it. */
  nonceAt(row: RegistrationIndex): number {
    return row * rowBytes + Field.nonce * 4;
  }

  /** Overwrites what could prove the account, so that it is in no core file. */
  wipeSecrets(row: RegistrationIndex): void {
    const at = row * rowWords;
    this.#words.fill(0, at + Field.ha1, at + Field.ha1 + ha1Bytes / 4);
    this.#words.fill(0, at + Field.nonce, at + rowWords);
    this.#words[at + Field.kept] = 0;
    this.#words[at + Field.realm] = 0;
    this.#words[at + Field.nonceCount] = 0;
  }
}
