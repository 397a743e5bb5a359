import { latin1, unfold } from "../message/chars.ts";
import { Header } from "../message/header.ts";
import type { SipView } from "../message/view.ts";
import { Algorithm, type AlgorithmName, algorithmName, algorithmOf, isSess } from "./algorithm.ts";
import { challengesMax } from "./limits.ts";
import { ChallengeView, scanChallenge } from "./scan-challenge.ts";

/** One challenge of a 401 or 407 (RFC 3261 §22, RFC 7616 §3.3, RFC 8760). Strings are latin1, a character a byte. */
export interface Challenge {
  /** Proxy-Authenticate: to be answered in Proxy-Authorization. */
  readonly proxy: boolean;
  /** "Digest"; any other scheme as it was written, and never answered. */
  readonly scheme: string;
  /** As between the quotes, backslashes kept: what is hashed and sent back. */
  readonly realm: string;
  readonly nonce: string;
  readonly opaque: string | undefined;
  /** "MD5", "SHA-256-sess" and so on; an unknown one as it was written; "MD5" when the challenge names none. */
  readonly algorithm: string;
  /** Whether the challenge named its algorithm; then the answer does, too. */
  readonly algorithmGiven: boolean;
  /** Lower case, in the order given; empty for the form without qop (RFC 2069). */
  readonly qop: readonly string[];
  readonly stale: boolean;
  readonly domain: string | undefined;
  /** An answer can be computed: Digest with realm and nonce, known algorithm and qop, no value beyond its bound. */
  readonly usable: boolean;
}

const view = new ChallengeView();

function challengeOf(bytes: Uint8Array, proxy: boolean): Challenge {
  const text = (from: number, to: number): string => unfold(latin1(bytes, from, to));
  const qop = text(view.qopFrom, view.qopTo).toLowerCase();
  return {
    proxy,
    scheme: view.isDigest ? "Digest" : text(view.schemeFrom, view.schemeTo),
    realm: text(view.realmFrom, view.realmTo),
    nonce: text(view.nonceFrom, view.nonceTo),
    opaque: view.hasOpaque ? text(view.opaqueFrom, view.opaqueTo) : undefined,
    algorithm:
      view.algorithm === Algorithm.unknown
        ? text(view.algorithmFrom, view.algorithmTo)
        : `${algorithmName(view.algorithm)}${view.sess ? "-sess" : ""}`,
    algorithmGiven: view.hasAlgorithm,
    qop: qop.split(/[\s,]+/).filter((option) => option !== ""),
    stale: view.stale,
    domain: view.hasDomain ? text(view.domainFrom, view.domainTo) : undefined,
    usable: view.usable,
  };
}

/** All challenges, WWW-Authenticate before Proxy-Authenticate, at most `challengesMax`; what is no challenge is skipped. Never throws. */
export function readChallenges(message: SipView): Challenge[] {
  const found: Challenge[] = [];
  for (const id of [Header.wwwAuthenticate, Header.proxyAuthenticate] as const) {
    for (let i = message.find(id); i >= 0; i = message.find(id, i)) {
      const to = message.valueTo(i);
      let at = scanChallenge(message.bytes, message.valueFrom(i), to, view);
      for (; at >= 0; at = scanChallenge(message.bytes, at, to, view)) {
        if (view.schemeFrom === view.schemeTo) continue;
        if (found.length === challengesMax) return found;
        found.push(challengeOf(message.bytes, id === Header.proxyAuthenticate));
      }
    }
  }
  return found;
}

export interface ChallengePolicy {
  /** Weakest algorithm to be answered: an account that once used SHA-256 never falls back to MD5. */
  readonly pinned?: AlgorithmName | undefined;
  /** Further conditions: the learned realm, or the (realm, algorithm) pairs for which there is a stored hash. */
  readonly accepts?: ((challenge: Challenge) => boolean) | undefined;
}

/** `-sess` ranks just behind its plain form: as strong, but understood by fewer servers that offer both. */
function strength(challenge: Challenge): number {
  return algorithmOf(challenge.algorithm) * 2 - (isSess(challenge.algorithm) ? 1 : 0);
}

/**
 * The challenges to answer, one for each realm of 401 and of 407 (RFC 3261 §22.3): the strongest whose algorithm is known
 * and not below the pin; of equals the topmost (RFC 8760 §2.4). Basic is never answered (RFC 8760 §2.6).
 */
export function chooseChallenges(challenges: readonly Challenge[], policy: ChallengePolicy = {}): Challenge[] {
  const floor = policy.pinned === undefined ? Algorithm.md5 : algorithmOf(policy.pinned);
  const chosen: Challenge[] = [];
  for (const challenge of challenges) {
    if (!challenge.usable || algorithmOf(challenge.algorithm) < floor) continue;
    if (policy.accepts !== undefined && !policy.accepts(challenge)) continue;
    const rival = chosen.findIndex((other) => other.realm === challenge.realm && other.proxy === challenge.proxy);
    if (rival < 0) chosen.push(challenge);
    else if (strength(challenge) > strength(chosen[rival]!)) chosen[rival] = challenge;
  }
  return chosen;
}

/** The strongest of `chooseChallenges`, for a peer that has one realm; undefined when none may be answered. */
export function chooseChallenge(challenges: readonly Challenge[], policy: ChallengePolicy = {}): Challenge | undefined {
  let best: Challenge | undefined;
  for (const challenge of chooseChallenges(challenges, policy)) {
    if (best === undefined || strength(challenge) > strength(best)) best = challenge;
  }
  return best;
}
