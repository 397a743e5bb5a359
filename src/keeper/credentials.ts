import type { RegistrationIndex } from "../base/ids.ts";
import { Algorithm, algorithmOf, type KnownAlgorithmId, hexChars } from "../sip/auth/algorithm.ts";
import { type NonceRange } from "../sip/auth/authentication-info.ts";
import { chooseChallenges, readChallenges } from "../sip/auth/challenge.ts";
import { DigestWriter, writeHex8 } from "../sip/auth/digest-writer.ts";
import { ChallengeView, scanChallenge } from "../sip/auth/scan-challenge.ts";
import { equalBytes, latin1 } from "../sip/message/chars.ts";
import { Header } from "../sip/message/header.ts";
import type { SipView } from "../sip/message/view.ts";
import type { Arena } from "./arena.ts";
import type { Columns } from "./columns.ts";
import { isSameRealm, OutsideAnswers } from "./outside-answers.ts";
import type { Profile } from "./profile.ts";
import type { RandomPool } from "./random-pool.ts";
import type { Realm, Realms } from "./realms.ts";
import { RealmPins } from "./realm-pins.ts";
import type { CredentialMarks } from "./register-shape.ts";
import type { Secrets } from "./secrets.ts";
import { copy, put } from "./put.ts";
import { ChainFlag, keptBytesMax, KeptFlag, type VolatileRows } from "./volatile-rows.ts";

/** What became of a challenge. */
export const ChallengeOutcome = {
  /** Credentials are kept: send the request again. */
  answered: 0,
  /** They were computed for a nonce of this chain, and refused: the password is wrong. */
  rejected: 1,
  /** The server says that the nonce was stale, twice in a row: a loop. */
  staleAgain: 2,
  /** Nothing offered may be answered: Basic, unknown, or weaker than what this account has used. */
  unanswerable: 3,
  /** There is no secret for what is asked. */
  noSecret: 4,
} as const;
export type ChallengeOutcomeId = (typeof ChallengeOutcome)[keyof typeof ChallengeOutcome];

const encoder = new TextEncoder();
const text = (value: string): Uint8Array => encoder.encode(value);
const authorizationUser = text(`Authorization: Digest username="`);
const proxyUser = text(`Proxy-Authorization: Digest username="`);
const algorithmParts = ["", ", algorithm=MD5", ", algorithm=SHA-256", ", algorithm=SHA-512-256"];
const afterResponse = algorithmParts.map((part) => text(`"${part}`));
const untilCnonce = algorithmParts.map((part) => text(`"${part}, cnonce="`));
const untilCount = text(`", qop=auth, nc=`);
const untilOpaque = text(`, opaque="`);
const endOpaque = text(`"`);

/** Secrets read ahead in one go; fewer than `prepareMin` are as well read one by one when they are asked for. */
const prepareMax = 32;
const prepareMin = 4;

const scanned = new ChallengeView();
const best = new ChallengeView();
const ha1Bytes = new Uint8Array(32);

/**
 * What proves the accounts of a shard: HA1 and nonce in memory, loaded from the directory when a challenge asks, never before. Answers
 * only Digest, the strongest algorithm offered and none weaker than one used before (RFC 8760), for REGISTER to the account's own registrar.
 */
export class Credentials {
  readonly #columns: Columns;
  readonly #volatile: VolatileRows;
  readonly #arena: Arena;
  readonly #realms: Realms;
  readonly #secrets: Secrets;
  readonly #pool: RandomPool;
  readonly #digest = new DigestWriter();
  readonly #outside: OutsideAnswers;
  readonly #pins: RealmPins;
  /** Rows whose REGISTER left without credentials, to a registrar that asks for them. */
  #expected: RegistrationIndex[] = [];

  constructor(options: {
    readonly columns: Columns;
    readonly volatile: VolatileRows;
    readonly arena: Arena;
    readonly realms: Realms;
    readonly secrets: Secrets;
    readonly pool: RandomPool;
  }) {
    this.#columns = options.columns;
    this.#volatile = options.volatile;
    this.#arena = options.arena;
    this.#realms = options.realms;
    this.#secrets = options.secrets;
    this.#outside = new OutsideAnswers(options);
    this.#pins = new RealmPins(options.columns);
    this.#pool = options.pool;
  }

  /** HOT. Whether the next REGISTER of the row can carry credentials at once. A server whose nonces serve once is not bothered. */
  isReady(row: RegistrationIndex): boolean {
    const volatile = this.#volatile;
    if (volatile.kept(row, KeptFlag.outside)) return this.#outside.of(row).length > 0;
    return (
      volatile.nonceLength(row) > 0 && volatile.kept(row, KeptFlag.ha1) && !volatile.kept(row, KeptFlag.staleTwice)
    );
  }

  /** HOT. A challenge of the row is on its way that its secret is needed for. */
  expect(row: RegistrationIndex): void {
    if (this.#volatile.kept(row, KeptFlag.ha1) || this.#volatile.kept(row, KeptFlag.outside)) return;
    this.#expected.push(row);
    if (this.#expected.length === prepareMax) this.prepare();
  }

  /** Reads ahead what the challenges will ask for that have not come yet. */
  prepare(): void {
    if (this.#expected.length === 0) return;
    const rows = this.#expected.filter((row) => !this.#volatile.kept(row, KeptFlag.ha1) && this.#columns.isUsed(row));
    this.#expected = [];
    if (rows.length >= prepareMin) this.#secrets.prepare(rows);
  }

  /** HOT. The next request counts as one more use of the kept nonce. */
  use(row: RegistrationIndex): void {
    if (this.#volatile.kept(row, KeptFlag.outside)) this.#outside.use(row);
    else this.#volatile.setNonceCount(row, this.#volatile.nonceCount(row) + 1);
  }

  /** HOT. What kind of credentials `write` would write, in a number: equal ones differ only where `marks` say. -1: of no kind. */
  kind(row: RegistrationIndex): number {
    const volatile = this.#volatile;
    if (volatile.kept(row, KeptFlag.outside)) return -1;
    const entry = volatile.entry(row);
    // Another name in the credentials than in the URI.
    if (this.#arena.lengthAt(this.#arena.partAt(entry) + this.#arena.lengthAt(entry)) !== 0) return -1;
    return (
      volatile.nonceLength(row) |
      (volatile.opaqueLength(row) << 8) |
      (volatile.keptAlgorithm(row) << 16) |
      (volatile.kept(row, KeptFlag.qopAuth) ? 1 << 20 : 0) |
      (volatile.kept(row, KeptFlag.proxy) ? 1 << 21 : 0) |
      (volatile.kept(row, KeptFlag.opaque) ? 1 << 22 : 0) |
      (volatile.kept(row, KeptFlag.algorithmGiven) ? 1 << 23 : 0) |
      (1 << 24)
    );
  }

  /** HOT. The realm of the kept credentials. */
  realm(row: RegistrationIndex): Realm | undefined {
    return this.#realms.get(this.#volatile.realm(row));
  }

  /**
   * Writes the credential lines of the request in hand at out[at, …); returns the offset behind. The same columns give the same bytes.
   * `marks` is told where what is.
   */
  write(row: RegistrationIndex, profile: Profile, out: Uint8Array, at: number, marks: CredentialMarks): number {
    const volatile = this.#volatile;
    if (volatile.kept(row, KeptFlag.outside)) return this.#outside.write(row, profile, out, at);
    const algorithm = volatile.keptAlgorithm(row);
    const nonceLength = volatile.nonceLength(row);
    let to = put(out, at, volatile.kept(row, KeptFlag.proxy) ? proxyUser : authorizationUser);
    marks.user = to;
    to = this.#writeUsername(row, out, to);
    to = put(out, to, this.realm(row)!.untilNonce);
    marks.nonce = to;
    to = put(out, to + nonceLength, profile.untilResponse);
    marks.response = to;
    to += hexChars(algorithm as KnownAlgorithmId);
    const algorithmPart = volatile.kept(row, KeptFlag.algorithmGiven) ? algorithm : 0;
    if (volatile.kept(row, KeptFlag.qopAuth)) {
      to = put(out, to, untilCnonce[algorithmPart]!);
      marks.cnonce = to;
      to = put(out, to + 8, untilCount);
      marks.count = to;
      to += 8;
    } else to = put(out, to, afterResponse[algorithmPart]!);
    if (volatile.kept(row, KeptFlag.opaque)) {
      to = put(out, to, untilOpaque);
      marks.opaque = to;
      to = put(out, to + volatile.opaqueLength(row), endOpaque);
    }
    out[to] = 0x0d;
    out[to + 1] = 0x0a;
    this.fill(row, profile, out, marks);
    return to + 2;
  }

  /** HOT. Writes what differs between answers of one kind into out, at the places that `marks` names. */
  fill(row: RegistrationIndex, profile: Profile, out: Uint8Array, marks: CredentialMarks): void {
    const volatile = this.#volatile;
    const digest = this.#digest;
    const algorithm = volatile.keptAlgorithm(row) as KnownAlgorithmId;
    const { bytes } = volatile;
    const nonceAt = volatile.nonceAt(row);
    const nonceTo = nonceAt + volatile.nonceLength(row);
    copy(out, marks.nonce, bytes, nonceAt, nonceTo);
    digest.ha1Raw(algorithm, bytes, volatile.ha1At(row));
    digest.nonce(bytes, nonceAt, nonceTo);
    if (volatile.kept(row, KeptFlag.qopAuth)) {
      const count = volatile.nonceCount(row);
      writeHex8(volatile.cnonce(row), out, marks.cnonce);
      writeHex8(count, out, marks.count);
      digest.auth(count, out, marks.cnonce, marks.cnonce + 8);
    }
    digest.write(profile.ha2(algorithm), 0, out, marks.response);
    if (volatile.kept(row, KeptFlag.opaque))
      copy(out, marks.opaque, bytes, nonceTo, nonceTo + volatile.opaqueLength(row));
  }

  /**
   * HOT. Takes the challenge of a 401 or 407 to the row's REGISTER. On `answered` the credentials for the next one are kept; otherwise
   * what was kept is as before.
   */
  challenged(row: RegistrationIndex, view: SipView): ChallengeOutcomeId {
    if (this.#volatile.kept(row, KeptFlag.outside) || !this.#readSimple(row, view))
      return this.#challengedOutside(row, view);
    const volatile = this.#volatile;
    const sameRealm =
      volatile.kept(row, KeptFlag.proxy) === this.#bestIsProxy &&
      this.#realms.is(volatile.realm(row), view.bytes, best.realmFrom, best.realmTo);
    if (volatile.chain(row, ChainFlag.credentials)) {
      // A second realm while credentials for a first are in use: both are needed from now on.
      if (!sameRealm) return this.#challengedOutside(row, view);
      const outcome = this.#excuse(row, best.stale);
      if (outcome !== ChallengeOutcome.answered) return outcome;
    }
    if (!sameRealm || !volatile.kept(row, KeptFlag.ha1) || volatile.keptAlgorithm(row) !== best.algorithm) {
      const algorithm = best.algorithm as KnownAlgorithmId;
      const { realmFrom, realmTo } = best;
      // Perhaps there is a hash for another of the challenges.
      if (!this.#secrets.writeHa1(row, algorithm, view.bytes, realmFrom, realmTo, ha1Bytes, 0)) {
        return this.#challengedOutside(row, view);
      }
      if (!sameRealm && !this.#keepRealm(row, latin1(view.bytes, realmFrom, realmTo))) {
        return ChallengeOutcome.unanswerable;
      }
      copy(volatile.bytes, volatile.ha1At(row), ha1Bytes, 0, ha1Bytes.length);
      volatile.setKeptFlag(row, KeptFlag.ha1, true);
    }
    const nonceLength = best.nonceTo - best.nonceFrom;
    const opaqueLength = best.opaqueTo - best.opaqueFrom;
    volatile.setKept(row, best.algorithm, nonceLength, opaqueLength);
    const at = volatile.nonceAt(row);
    copy(volatile.bytes, at, view.bytes, best.nonceFrom, best.nonceTo);
    copy(volatile.bytes, at + nonceLength, view.bytes, best.opaqueFrom, best.opaqueTo);
    volatile.setKeptFlag(row, KeptFlag.opaque, best.hasOpaque);
    volatile.setKeptFlag(row, KeptFlag.proxy, this.#bestIsProxy);
    volatile.setKeptFlag(row, KeptFlag.qopAuth, best.hasQop);
    volatile.setKeptFlag(row, KeptFlag.algorithmGiven, best.hasAlgorithm);
    volatile.setKeptFlag(row, KeptFlag.pinned, false);
    volatile.setNonceCount(row, 0);
    volatile.setCnonce(row, this.#pool.word());
    volatile.setChain(row, ChainFlag.fresh, true);
    return ChallengeOutcome.answered;
  }

  /** The server took the credentials of the request in hand: remembers what it took them for. Returns the realm when it is another than it was. */
  accepted(row: RegistrationIndex): string | undefined {
    const volatile = this.#volatile;
    if (!volatile.chain(row, ChainFlag.credentials)) return undefined;
    if (volatile.kept(row, KeptFlag.outside)) {
      const answers = this.#outside.of(row);
      // The newest: a server whose realm has changed is still sent what the old one asked for.
      const own = answers.findLast((answer) => !answer.challenge.proxy) ?? answers.at(-1);
      if (own === undefined) return undefined;
      this.#raiseFloor(row, Math.min(...answers.map((answer) => algorithmOf(answer.challenge.algorithm))));
      return this.#pin(row, own.challenge.realm);
    }
    if (!volatile.chain(row, ChainFlag.fresh)) {
      volatile.setKeptFlag(row, KeptFlag.staleOnce, false);
    }
    if (volatile.kept(row, KeptFlag.pinned)) return undefined;
    volatile.setKeptFlag(row, KeptFlag.pinned, true);
    this.#raiseFloor(row, volatile.keptAlgorithm(row));
    return this.#pin(row, this.#realms.get(volatile.realm(row))!.text);
  }

  #pin(row: RegistrationIndex, realm: string): string | undefined {
    return this.#pins.pin(row, realm) ? realm : undefined;
  }

  /** HOT. A nonce for the next request (RFC 7616 §3.5, nextnonce), in place of the kept one. */
  nextNonce(row: RegistrationIndex, bytes: Uint8Array, range: NonceRange): void {
    const volatile = this.#volatile;
    if (volatile.kept(row, KeptFlag.outside)) {
      this.#outside.nextNonce(row, latin1(bytes, range.from, range.to));
      return;
    }
    const length = range.to - range.from;
    const opaqueLength = volatile.opaqueLength(row);
    if (length + opaqueLength > keptBytesMax) return;
    const at = volatile.nonceAt(row);
    volatile.bytes.copyWithin(
      at + length,
      at + volatile.nonceLength(row),
      at + volatile.nonceLength(row) + opaqueLength,
    );
    copy(volatile.bytes, at, bytes, range.from, range.to);
    volatile.setKept(row, volatile.keptAlgorithm(row), length, opaqueLength);
    volatile.setNonceCount(row, 0);
  }

  /** The kept nonce is no longer good for anything; the secret stays. */
  forgetNonce(row: RegistrationIndex): void {
    this.#outside.forget(row);
    this.#volatile.setKeptFlag(row, KeptFlag.outside, false);
    this.#volatile.setKept(row, this.#volatile.keptAlgorithm(row), 0, 0);
  }

  /** Forgets everything about the row but, when asked, its pinned algorithm and realm. */
  forget(row: RegistrationIndex): void {
    this.#realms.release(this.#volatile.realm(row));
    this.#outside.forget(row);
    this.#secrets.release(row);
    this.#volatile.wipeSecrets(row);
  }

  /** Moves what is held of a row to another one, for a farewell. */
  move(from: RegistrationIndex, to: RegistrationIndex): void {
    this.#outside.move(from, to);
    this.#secrets.move(from, to);
  }

  /** Whether the secret in the directory still is the one whose HA1 is kept; undefined when none is kept. */
  isUnchanged(row: RegistrationIndex): boolean | undefined {
    const volatile = this.#volatile;
    const realm = this.#realms.get(volatile.realm(row));
    if (realm === undefined || !volatile.kept(row, KeptFlag.ha1)) return undefined;
    const algorithm = volatile.keptAlgorithm(row) as KnownAlgorithmId;
    const { bytes } = realm;
    if (!this.#secrets.writeHa1(row, algorithm, bytes, 0, bytes.length, ha1Bytes, 0)) return false;
    const at = volatile.ha1At(row);
    return equalBytes(volatile.bytes, at, at + hexChars(algorithm) / 2, ha1Bytes, 0, hexChars(algorithm) / 2);
  }

  /**
   * The line that answers a challenge to another request that we originated for the account, or undefined: only in the realm that the account proved
   * itself in at its registrar, and with no weaker algorithm (facts of SIP digest leaks: ES2021-05, CVE-2021-41158).
   */
  authorize(row: RegistrationIndex, view: SipView, method: string, uri: string): string | undefined {
    const floor = this.#columns.algorithmFloor(row);
    const chosen = chooseChallenges(readChallenges(view), {
      accepts: (one) => algorithmOf(one.algorithm) >= floor && this.#pins.is(row, one.realm),
    });
    for (const challenge of chosen) {
      const line = this.#outside.answer(row, challenge, method, uri);
      if (line !== undefined) return line;
    }
    return undefined;
  }

  // ---- challenges in the columns

  #bestIsProxy = false;

  /**
   * Finds the one challenge to answer, when it fits the columns: one realm, one kind of challenge, no -sess, qop auth or none. Leaves it in
   * `best`.
   */
  #readSimple(row: RegistrationIndex, view: SipView): boolean {
    const { bytes } = view;
    const floor = Math.max(this.#columns.algorithmFloor(row), Algorithm.md5);
    let found = false;
    for (let i = 0; i < view.headerCount; i++) {
      const id = view.id(i);
      if (id !== Header.wwwAuthenticate && id !== Header.proxyAuthenticate) continue;
      const isProxy = id === Header.proxyAuthenticate;
      const to = view.valueTo(i);
      for (
        let at = scanChallenge(bytes, view.valueFrom(i), to, scanned);
        at >= 0;
        at = scanChallenge(bytes, at, to, scanned)
      ) {
        if (!scanned.usable || scanned.algorithm < floor) continue;
        if (!found) {
          copyChallenge(scanned, best);
          this.#bestIsProxy = isProxy;
          found = true;
          continue;
        }
        const sameRealm =
          isProxy === this.#bestIsProxy &&
          equalBytes(bytes, scanned.realmFrom, scanned.realmTo, bytes, best.realmFrom, best.realmTo);
        if (!sameRealm) return false;
        // Of equals the topmost (RFC 8760 §2.4); -sess ranks behind its plain form.
        const stronger =
          scanned.algorithm > best.algorithm || (scanned.algorithm === best.algorithm && best.sess && !scanned.sess);
        if (stronger) copyChallenge(scanned, best);
      }
    }
    if (!found || best.sess || (best.hasQop && !best.qopAuth)) return false;
    return best.nonceTo - best.nonceFrom + best.opaqueTo - best.opaqueFrom <= keptBytesMax;
  }

  /** The request carried credentials and was challenged all the same. */
  #excuse(row: RegistrationIndex, stale: boolean): ChallengeOutcomeId {
    const volatile = this.#volatile;
    if (!volatile.chain(row, ChainFlag.fresh)) {
      // A kept nonce ran out; some servers do not say stale (Kamailio). Learn those whose nonces serve once.
      if (volatile.kept(row, KeptFlag.staleOnce)) volatile.setKeptFlag(row, KeptFlag.staleTwice, true);
      volatile.setKeptFlag(row, KeptFlag.staleOnce, true);
      return ChallengeOutcome.answered;
    }
    if (!stale) return ChallengeOutcome.rejected;
    if (volatile.chain(row, ChainFlag.stale)) return ChallengeOutcome.staleAgain;
    volatile.setChain(row, ChainFlag.stale, true);
    return ChallengeOutcome.answered;
  }

  #keepRealm(row: RegistrationIndex, realm: string): boolean {
    const id = this.#realms.acquire(realm);
    if (id === 0) return false;
    this.#realms.release(this.#volatile.realm(row));
    this.#volatile.setRealm(row, id);
    return true;
  }

  #writeUsername(row: RegistrationIndex, out: Uint8Array, at: number): number {
    const arena = this.#arena;
    const user = this.#volatile.entry(row);
    const userFrom = arena.partAt(user);
    const digestUser = userFrom + arena.lengthAt(user);
    const length = arena.lengthAt(digestUser);
    if (length === 0) return copy(out, at, arena.bytes, userFrom, digestUser);
    const from = arena.partAt(digestUser);
    return copy(out, at, arena.bytes, from, from + length);
  }

  // ---- challenges outside the columns

  #challengedOutside(row: RegistrationIndex, view: SipView): ChallengeOutcomeId {
    const volatile = this.#volatile;
    const chosen = this.#outside.choose(row, view, this.#columns.algorithmFloor(row));
    if (chosen === "none") return ChallengeOutcome.unanswerable;
    if (chosen.length === 0) return ChallengeOutcome.noSecret;
    const used = volatile.chain(row, ChainFlag.credentials) ? this.#outside.lift(row) : [];
    const repeated = chosen.filter((challenge) => used.some((answer) => isSameRealm(answer.challenge, challenge)));
    if (repeated.length > 0) {
      const isStale = repeated.every((challenge) => challenge.stale);
      const outcome = this.#excuse(row, isStale);
      if (outcome !== ChallengeOutcome.answered) return outcome;
    }
    this.#outside.keep(row, chosen, used);
    volatile.setChain(row, ChainFlag.fresh, true);
    return ChallengeOutcome.answered;
  }

  #raiseFloor(row: RegistrationIndex, algorithm: number): void {
    if (algorithm > this.#columns.algorithmFloor(row)) this.#columns.setAlgorithmFloor(row, algorithm);
  }
}

function copyChallenge(from: ChallengeView, to: ChallengeView): void {
  to.realmFrom = from.realmFrom;
  to.realmTo = from.realmTo;
  to.nonceFrom = from.nonceFrom;
  to.nonceTo = from.nonceTo;
  to.hasOpaque = from.hasOpaque;
  to.opaqueFrom = from.opaqueFrom;
  to.opaqueTo = from.opaqueTo;
  to.hasAlgorithm = from.hasAlgorithm;
  to.algorithm = from.algorithm;
  to.sess = from.sess;
  to.hasQop = from.hasQop;
  to.qopAuth = from.qopAuth;
  to.stale = from.stale;
}
