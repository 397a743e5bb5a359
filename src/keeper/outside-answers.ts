import type { RegistrationIndex } from "../base/ids.ts";
import { Algorithm, algorithmName, algorithmOf, type KnownAlgorithmId, hexChars } from "../sip/auth/algorithm.ts";
import { type Challenge, chooseChallenges, readChallenges } from "../sip/auth/challenge.ts";
import { credentialsHeader, digestResponse } from "../sip/auth/digest.ts";
import { writeHex8 } from "../sip/auth/digest-writer.ts";
import { latin1 } from "../sip/message/chars.ts";
import type { SipView } from "../sip/message/view.ts";
import type { Profile } from "./profile.ts";
import type { RandomPool } from "./random-pool.ts";
import type { Realms } from "./realms.ts";
import { ha1Of, type Secrets } from "./secrets.ts";
import { KeptFlag, type VolatileRows } from "./volatile-rows.ts";

/** Realms that one request carries credentials for; a registrar and the proxies before it are two or three. */
const answersMax = 4;

/** A credential that does not fit the columns: -sess, auth-int, a long nonce, or one of several realms. */
export interface KeptAnswer {
  readonly challenge: Challenge;
  readonly ha1: string;
  readonly cnonce: string;
  nonceCount: number;
  nonce: string;
}

const cnonceBytes = new Uint8Array(8);

/** Credentials of the few accounts whose registrars ask for more than a row's columns hold. */
export class OutsideAnswers {
  readonly #volatile: VolatileRows;
  readonly #realms: Realms;
  readonly #secrets: Secrets;
  readonly #pool: RandomPool;
  readonly #byRow = new Map<RegistrationIndex, KeptAnswer[]>();

  constructor(options: {
    readonly volatile: VolatileRows;
    readonly realms: Realms;
    readonly secrets: Secrets;
    readonly pool: RandomPool;
  }) {
    this.#volatile = options.volatile;
    this.#realms = options.realms;
    this.#secrets = options.secrets;
    this.#pool = options.pool;
  }

  of(row: RegistrationIndex): readonly KeptAnswer[] {
    return this.#byRow.get(row) ?? [];
  }
  forget(row: RegistrationIndex): void {
    this.#byRow.delete(row);
  }
  move(from: RegistrationIndex, to: RegistrationIndex): void {
    const answers = this.#byRow.get(from);
    if (answers !== undefined) this.#byRow.set(to, answers);
    this.#byRow.delete(from);
  }

  /** The next request counts as one more use of each nonce. */
  use(row: RegistrationIndex): void {
    for (const answer of this.of(row)) answer.nonceCount++;
  }

  /** A new nonce, when it is clear whose it is. */
  nextNonce(row: RegistrationIndex, nonce: string): void {
    const [only, ...others] = this.of(row);
    if (only === undefined || others.length > 0) return;
    only.nonce = nonce;
    only.nonceCount = 0;
  }

  /** The challenges that may be answered, one a realm: the strongest there is a secret for. "none" when none is offered that we would ever answer. */
  choose(row: RegistrationIndex, view: SipView, floor: number): readonly Challenge[] | "none" {
    const pinned = floor === 0 ? undefined : algorithmName(floor as KnownAlgorithmId);
    const challenges = readChallenges(view);
    if (chooseChallenges(challenges, { pinned }).length === 0) return "none";
    return chooseChallenges(challenges, { pinned, accepts: (one) => this.#ha1(row, one) !== undefined }).slice(
      0,
      answersMax,
    );
  }

  /** Credentials for these challenges, and those of `used` for other realms. */
  keep(row: RegistrationIndex, challenges: readonly Challenge[], used: readonly KeptAnswer[]): void {
    const kept = used.filter((answer) => !challenges.some((one) => isSameRealm(answer.challenge, one)));
    for (const challenge of challenges) {
      const ha1 = this.#ha1(row, challenge);
      if (ha1 === undefined) continue;
      kept.push({ challenge, ha1, cnonce: this.cnonce(), nonce: challenge.nonce, nonceCount: 0 });
    }
    this.#byRow.set(row, kept.slice(-answersMax));
    this.#volatile.setKeptFlag(row, KeptFlag.outside, true);
  }

  /** The credentials in use as objects, whether they stand in the columns or outside. */
  lift(row: RegistrationIndex): readonly KeptAnswer[] {
    const volatile = this.#volatile;
    if (volatile.kept(row, KeptFlag.outside)) return this.of(row);
    const realm = this.#realms.get(volatile.realm(row));
    if (realm === undefined || volatile.nonceLength(row) === 0) return [];
    const algorithm = volatile.keptAlgorithm(row) as KnownAlgorithmId;
    const at = volatile.nonceAt(row);
    const nonceTo = at + volatile.nonceLength(row);
    const nonce = latin1(volatile.bytes, at, nonceTo);
    const challenge: Challenge = {
      proxy: volatile.kept(row, KeptFlag.proxy),
      scheme: "Digest",
      realm: realm.text,
      nonce,
      opaque: volatile.kept(row, KeptFlag.opaque)
        ? latin1(volatile.bytes, nonceTo, nonceTo + volatile.opaqueLength(row))
        : undefined,
      algorithm: algorithmName(algorithm),
      algorithmGiven: volatile.kept(row, KeptFlag.algorithmGiven),
      qop: volatile.kept(row, KeptFlag.qopAuth) ? ["auth"] : [],
      stale: false,
      domain: undefined,
      usable: true,
    };
    const ha1 = Buffer.from(volatile.bytes.buffer, volatile.ha1At(row), hexChars(algorithm) / 2).toString("hex");
    writeHex8(volatile.cnonce(row), cnonceBytes, 0);
    return [{ challenge, ha1, cnonce: latin1(cnonceBytes, 0, 8), nonce, nonceCount: volatile.nonceCount(row) }];
  }

  /** Writes a line for each; returns the offset behind. */
  write(row: RegistrationIndex, profile: Profile, out: Uint8Array, at: number): number {
    const username = this.#secrets.proof(row)?.username ?? "";
    let to = at;
    for (const { challenge, ha1, cnonce, nonce, nonceCount } of this.of(row)) {
      const value = digestResponse({
        challenge: { ...challenge, nonce },
        username,
        ha1,
        method: "REGISTER",
        uri: profile.requestUri,
        cnonce,
        nonceCount,
        body: new Uint8Array(0),
      });
      const line = `${credentialsHeader(challenge)}: ${value}\r\n`;
      for (let n = 0; n < line.length; n++) out[to++] = line.charCodeAt(n);
    }
    return to;
  }

  /** The line for a challenge to another request than REGISTER; undefined without a secret for it. */
  answer(row: RegistrationIndex, challenge: Challenge, method: string, uri: string): string | undefined {
    const username = this.#secrets.proof(row)?.username;
    const ha1 = this.#ha1(row, challenge);
    if (username === undefined || ha1 === undefined) return undefined;
    const value = digestResponse({ challenge, username, ha1, method, uri, cnonce: this.cnonce(), nonceCount: 1 });
    return `${credentialsHeader(challenge)}: ${value}`;
  }

  cnonce(): string {
    writeHex8(this.#pool.word(), cnonceBytes, 0);
    return latin1(cnonceBytes, 0, 8);
  }

  #ha1(row: RegistrationIndex, challenge: Challenge): string | undefined {
    const algorithm = algorithmOf(challenge.algorithm);
    const proof = this.#secrets.proof(row);
    if (algorithm === Algorithm.unknown || proof === undefined) return undefined;
    return ha1Of(proof, challenge.realm, algorithm);
  }
}

export function isSameRealm(a: Challenge, b: Challenge): boolean {
  return a.realm === b.realm && a.proxy === b.proxy;
}
