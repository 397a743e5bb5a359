import type { AccountId } from "../base/ids.ts";
import type { AccountRecord, Secret } from "../base/records.ts";
import type { LocalAddress, Network, PeerId, SendOutcome, Source } from "../net/network.ts";
import { algorithmOf, Algorithm, type KnownAlgorithmId } from "../sip/auth/algorithm.ts";
import { type Challenge, chooseChallenges, readChallenges } from "../sip/auth/challenge.ts";
import { credentialsHeader, digestResponse } from "../sip/auth/digest.ts";
import { Method } from "../sip/message/method.ts";
import { readCSeq, readCSeqMethod } from "../sip/message/read-cseq.ts";
import { topBranch } from "../sip/message/read-via.ts";
import type { SipView } from "../sip/message/view.ts";
import { t1Ms, t2Ms } from "../sip/transaction/timers.ts";
import { escapeUser } from "../sip/uri.ts";
import type { ProofAnswer } from "../workers/protocol.ts";
import { datagramBytesMax, sendLarge } from "./large-request.ts";
import { isServerTrouble } from "./machine.ts";
import { branchPrefix } from "./names.ts";
import { domainText, type Profile } from "./profile.ts";
import type { RandomPool } from "./random-pool.ts";
import { ha1Of } from "./secrets.ts";

/** Behind the prefix, where a row's branch has a base32 digit. */
const proofBranchPrefix = `${branchPrefix}0`;
/** Each holds some kB for at most 8 s; a device has sixteen at a time (edge). */
const proofsMax = 4_096;
/** Who asks stands before a form and waits. */
const patienceMs = 8000;
/** The server, or the way to it, is not known yet: look again. */
const routeRetryMs = 100;
const challengeAnswersMax = 2;
/** Servers that are tried after the first. */
const serversMax = 7;

type ProofOutcome = ProofAnswer["outcome"];

export interface ProofRequest {
  readonly requestId: number;
  readonly record: AccountRecord;
  readonly secret: Secret;
  /** The secret on file, to compare with when a registrar asks for none. */
  readonly stored: Secret | undefined;
  readonly profile: Profile;
}

interface Proof extends ProofRequest {
  readonly untilMs: number;
  readonly callId: string;
  readonly tag: string;
  readonly cnonce: string;
  cseq: number;
  branch: string;
  bytes: Uint8Array | undefined;
  peer: PeerId | undefined;
  nextSendMs: number;
  intervalMs: number;
  answers: number;
  staleExcused: boolean;
  passedOver: number;
  /** By kind and realm. */
  readonly credentials: Map<string, Credential>;
}

interface Credential {
  readonly challenge: Challenge;
  readonly ha1: string;
  nonceCount: number;
}

/**
 * Tries credentials without touching a binding: a REGISTER without Contact is a query (RFC 3261 §10.2.3), challenged like any other. Each is
 * an object of its own, apart from the account's registration.
 */
export class Proofs {
  readonly #network: Network;
  readonly #pool: RandomPool;
  readonly #done: (request: ProofRequest, outcome: ProofOutcome, status: number, reason: string) => void;
  readonly #byBranch = new Map<string, Proof>();
  readonly #running = new Set<Proof>();

  constructor(
    network: Network,
    pool: RandomPool,
    done: (request: ProofRequest, outcome: ProofOutcome, status: number, reason: string) => void,
  ) {
    this.#network = network;
    this.#pool = pool;
    this.#done = done;
  }

  get size(): number {
    return this.#running.size;
  }

  /** The outcome comes within 8 s, perhaps at once. */
  begin(request: ProofRequest, nowMs: number): void {
    // Of one account one at one place: who names a place of his own keeps nobody else from asking at another.
    const { accountId } = request.record;
    const isDouble = this.#running
      .values()
      .some(({ record, profile }) => record.accountId === accountId && profile === request.profile);
    if (this.#running.size >= proofsMax || isDouble) {
      this.#done(
        request,
        "unavailable",
        0,
        isDouble ? "another check of this account is running" : "too many checks at once",
      );
      return;
    }
    const proof: Proof = {
      ...request,
      untilMs: nowMs + patienceMs,
      callId: this.#name(4),
      tag: this.#name(2),
      cnonce: this.#name(2),
      cseq: 0,
      branch: "",
      bytes: undefined,
      peer: undefined,
      nextSendMs: nowMs,
      intervalMs: t1Ms,
      answers: 0,
      staleExcused: false,
      passedOver: 0,
      credentials: new Map(),
    };
    this.#running.add(proof);
    this.#advance(proof, nowMs);
  }

  tick(nowMs: number): void {
    for (const proof of this.#running) this.#advance(proof, nowMs);
  }

  /** The account whose credentials the request with this branch tries out. */
  accountOf(branch: string): AccountId | undefined {
    return this.#byBranch.get(branch)?.record.accountId;
  }

  /** Whether the response's branch is one of a proof; what it says is done. */
  onResponse(view: SipView, source: Source, nowMs: number): boolean {
    const branch = topBranch(view);
    if (!branch.startsWith(proofBranchPrefix)) return false;
    const proof = this.#byBranch.get(branch);
    if (proof === undefined || proof.peer === undefined || !this.#network.isFrom(proof.peer, source)) return true;
    if (readCSeq(view) !== proof.cseq || readCSeqMethod(view) !== Method.register) return true;
    if (view.status < 200) proof.intervalMs = t2Ms;
    else this.#answered(proof, view, nowMs);
    return true;
  }

  #answered(proof: Proof, view: SipView, nowMs: number): void {
    const { status } = view;
    const reason = view.reason();
    if (status < 300) {
      // A registrar that trusts our address accepts anybody: then the only proof is what is on file.
      if (proof.credentials.size > 0 || isSameSecret(proof.secret, proof.stored))
        this.#end(proof, "accepted", status, reason);
      else this.#end(proof, "refused", status, "the registrar asked for no credentials");
      return;
    }
    if (status === 401 || status === 407) {
      this.#challenged(proof, view, nowMs);
      return;
    }
    if (isServerTrouble(status) && this.#triesNext(proof, nowMs)) return;
    const isRefusal = status === 403 || status === 404 || status === 410 || status >= 600;
    this.#end(proof, isRefusal ? "refused" : "unavailable", status, reason);
  }

  #challenged(proof: Proof, view: SipView, nowMs: number): void {
    const who = { username: usernameOf(proof), secret: proof.secret };
    const chosen = chooseChallenges(readChallenges(view), {
      accepts: (challenge) => {
        const algorithm = algorithmOf(challenge.algorithm);
        return algorithm !== Algorithm.unknown && ha1Of(who, challenge.realm, algorithm) !== undefined;
      },
    }).slice(0, challengeAnswersMax);
    // A proxy and then the registrar, each for a realm of its own, have refused nobody yet.
    const repeated = chosen.filter((challenge) => proof.credentials.has(realmKey(challenge)));
    if (repeated.length > 0) {
      if (proof.staleExcused || !repeated.every((challenge) => challenge.stale)) {
        this.#end(proof, "refused", view.status, view.reason());
        return;
      }
      proof.staleExcused = true;
    }
    if (chosen.length === 0 || proof.answers >= challengeAnswersMax) {
      const reason = chosen.length === 0 ? "no credentials for this challenge" : view.reason();
      this.#end(proof, "refused", view.status, reason);
      return;
    }
    proof.answers++;
    for (const challenge of chosen) {
      const ha1 = ha1Of(who, challenge.realm, algorithmOf(challenge.algorithm) as KnownAlgorithmId)!;
      proof.credentials.set(realmKey(challenge), { challenge, ha1, nonceCount: 0 });
    }
    this.#transmit(proof, nowMs);
  }

  /** Header lines for every realm that has asked, each nonce counted once more. */
  #credentialLines(proof: Proof): string {
    let lines = "";
    for (const credential of proof.credentials.values()) {
      const { challenge, ha1 } = credential;
      const value = digestResponse({
        challenge,
        username: usernameOf(proof),
        ha1,
        method: "REGISTER",
        uri: proof.profile.requestUri,
        cnonce: proof.cnonce,
        nonceCount: ++credential.nonceCount,
        body: new Uint8Array(0),
      });
      lines += `${credentialsHeader(challenge)}: ${value}\r\n`;
    }
    return lines;
  }

  /** The next server of the name, if there is one (RFC 3263 §4.3); it knows nothing of the nonces of the one before. */
  #triesNext(proof: Proof, nowMs: number): boolean {
    const next = proof.profile.registrar.reach.peerAfter(++proof.passedOver);
    if (next === undefined || next === proof.peer || proof.passedOver > serversMax) return false;
    proof.peer = next;
    proof.credentials.clear();
    this.#transmit(proof, nowMs);
    return true;
  }

  /** Time passes: the server may be known by now, a retransmission due, patience at its end. */
  #advance(proof: Proof, nowMs: number): void {
    if (nowMs >= proof.untilMs) {
      const reason = proof.bytes === undefined ? proof.profile.registrar.lastReason || "no server found" : "no answer";
      this.#end(proof, "unavailable", 0, reason);
      return;
    }
    if (nowMs < proof.nextSendMs) return;
    if (proof.bytes === undefined) {
      const { registrar } = proof.profile;
      if (!registrar.reach.isKnown) registrar.locate(nowMs);
      this.#transmit(proof, nowMs);
      return;
    }
    if (proof.peer === undefined || this.#network.endpoint(proof.peer).transport !== "udp") return;
    const local = this.#network.localAddress(proof.peer, proof.profile.key.natEmulation);
    if (local !== undefined) this.#put(proof.peer, local, proof.bytes, true);
    proof.nextSendMs = nowMs + proof.intervalMs;
    proof.intervalMs = Math.min(proof.intervalMs * 2, t2Ms);
  }

  #transmit(proof: Proof, nowMs: number): void {
    const { profile, record } = proof;
    proof.bytes = undefined;
    const peer = proof.peer ?? profile.registrar.reach.current;
    const local = peer === undefined ? undefined : this.#network.localAddress(peer, profile.key.natEmulation);
    if (peer === undefined || local === undefined) {
      proof.nextSendMs = nowMs + routeRetryMs;
      return;
    }
    this.#byBranch.delete(proof.branch);
    proof.peer = peer;
    proof.cseq++;
    proof.branch = `${proofBranchPrefix}${this.#name(3)}`;
    this.#byBranch.set(proof.branch, proof);
    const { transport } = this.#network.endpoint(peer);
    const aor = `sip:${escapeUser(record.username)}@${domainText(profile.key.domain)}`;
    const text =
      `REGISTER ${profile.requestUri} SIP/2.0\r\n` +
      `Via: SIP/2.0/${transport.toUpperCase()} ${local.host}:${local.port};rport;branch=${proof.branch}\r\n` +
      `Max-Forwards: 70\r\nFrom: <${aor}>;tag=${proof.tag}\r\nTo: <${aor}>\r\nCall-ID: ${proof.callId}\r\n` +
      `CSeq: ${proof.cseq} REGISTER\r\n${this.#credentialLines(proof)}User-Agent: ${profile.key.userAgent}\r\nContent-Length: 0\r\n\r\n`;
    proof.bytes = Buffer.from(text, "latin1");
    proof.intervalMs = t1Ms * 2;
    proof.nextSendMs = nowMs + t1Ms;
    const outcome = this.#put(peer, local, proof.bytes, false);
    if (outcome === "failed") this.#end(proof, "unavailable", 0, "could not be sent");
  }

  /** Puts the request on the wire, over the transport that fits it. */
  #put(peer: PeerId, local: LocalAddress, bytes: Uint8Array, isRepeat: boolean): SendOutcome {
    const isLarge = bytes.length > datagramBytesMax && this.#network.endpoint(peer).transport === "udp";
    if (isLarge && sendLarge(this.#network, peer, local, bytes, isRepeat) !== "byUdp") return "sent";
    return this.#network.send(peer, bytes);
  }

  #end(proof: Proof, outcome: ProofOutcome, status: number, reason: string): void {
    if (!this.#running.delete(proof)) return;
    this.#byBranch.delete(proof.branch);
    this.#done(proof, outcome, status, reason);
  }

  #name(words: number): string {
    let name = "";
    for (let n = 0; n < words; n++) name += (this.#pool.word() >>> 0).toString(16).padStart(8, "0");
    return name;
  }
}

function usernameOf({ record }: ProofRequest): string {
  return record.authUsername ?? record.username;
}

function realmKey({ proxy, realm }: Challenge): string {
  return `${proxy} ${realm}`;
}

export function isSameSecret(a: Secret, b: Secret | undefined): boolean {
  if (b === undefined) return false;
  if (a.kind === "password") return b.kind === "password" && a.password === b.password;
  if (b.kind === "password") return false;
  return a.entries.every((one) =>
    b.entries.some((two) => one.realm === two.realm && one.algorithm === two.algorithm && one.hash === two.hash),
  );
}
