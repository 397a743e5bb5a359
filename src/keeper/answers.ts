import type { RegistrationIndex } from "../base/ids.ts";
import type { Source } from "../net/network.ts";
import { Counter, type CounterName, type Lane } from "../observe/lanes.ts";
import type { Log } from "../observe/log.ts";
import { NonceRange, readNextNonce } from "../sip/auth/authentication-info.ts";
import { Header } from "../sip/message/header.ts";
import { Method } from "../sip/message/method.ts";
import { readCSeq, readCSeqMethod } from "../sip/message/read-cseq.ts";
import { readNumber } from "../sip/message/read-number.ts";
import type { SipView } from "../sip/message/view.ts";
import type { Attempts } from "./attempts.ts";
import { BindingAnswers } from "./binding-answers.ts";
import type { Conduct } from "./conduct.ts";
import { ChallengeOutcome } from "./credentials.ts";
import type { Ledger } from "./ledger.ts";
import { judge } from "./machine.ts";
import { branchAt, branchRow, isBranch } from "./names.ts";
import { redirectTarget } from "./redirects.ts";
import { retryAfterMs } from "./retry-after.ts";
import { Flag } from "./row-flags.ts";
import { ServerTroubles } from "./server-troubles.ts";
import { ChainFlag, Purpose, type PurposeId, TxState } from "./volatile-rows.ts";

/** Answers to challenges in one attempt. */
const challengeAnswersMax = 2;
/** Attempts in a row that may end in a loop of stale nonces before it counts as a refusal. */
const staleLoopsMax = 3;
/** The counter of each status; classes that are not named are counted together. */
const counterOf = new Int16Array(700).fill(Counter.registerAnswersOther);
for (const status of [200, 301, 302, 401, 403, 404, 407, 408, 423, 480, 500, 503] as const) {
  counterOf[status] = Counter[`registerAnswers${status}` satisfies CounterName];
}
counterOf.fill(Counter.registerAnswers1xx, 100, 200);

/** Reads what comes back to REGISTERs: whose it is, and who acts on it. A network byte never throws. */
export class Answers {
  readonly #ledger: Ledger;
  readonly #attempts: Attempts;
  readonly #conduct: Conduct;
  readonly #lane: Lane;
  readonly #log: Log;
  readonly #bindings: BindingAnswers;
  readonly #troubles: ServerTroubles;
  readonly #nonce = new NonceRange();

  constructor(ledger: Ledger, attempts: Attempts, conduct: Conduct, log: Log) {
    this.#ledger = ledger;
    this.#attempts = attempts;
    this.#conduct = conduct;
    this.#lane = ledger.lane;
    this.#log = log;
    this.#bindings = new BindingAnswers(ledger, attempts, conduct);
    this.#troubles = new ServerTroubles(ledger, attempts, conduct);
  }

  /** HOT. Takes a scanned response; false when its branch is none of ours. What is ours but forged, late or repeated is dropped. */
  onResponse(view: SipView, source: Source): boolean {
    const branch = branchAt(view);
    if (branch < 0) return false;
    const row = branchRow(view.bytes, branch) as RegistrationIndex;
    if (row < 0) return false;
    const ledger = this.#ledger;
    const { columns, volatile } = ledger;
    if (
      view.find(Header.via, view.find(Header.via)) >= 0 ||
      !columns.isUsed(row) ||
      volatile.profile(row) === 0 ||
      !isBranch(columns, row, volatile.branchWord(row, 0), volatile.branchWord(row, 1), view.bytes, branch) ||
      !ledger.network.isFrom(volatile.peer(row), source) ||
      readCSeq(view) !== columns.cseq(row) ||
      readCSeqMethod(view) !== Method.register
    ) {
      this.#lane.add(Counter.unmatchedDropped, 1);
      return true;
    }
    // Completed: a final answer that comes again is absorbed (RFC 3261 §17.1.2.2, timer K).
    if (volatile.txState(row) === TxState.none) return true;
    const { status } = view;
    this.#lane.add(counterOf[status]!, 1);
    if (status < 200) {
      this.#attempts.proceed(row);
      return true;
    }
    this.#attempts.heardFinal(row);
    columns.setLastStatus(row, status);
    const registrar = ledger.registrar(row);
    registrar.answered(status);
    const purpose = volatile.purpose(row);
    if (status < 300) this.#accepted(row, view, purpose);
    else if (status === 401 || status === 407) this.#challenged(row, view, purpose);
    else this.#other(row, view, purpose);
    // A row without accounts may be gone by now.
    if (columns.isUsed(row)) columns.seal(row);
    if (registrar.queue.size > 0) this.#attempts.pump(registrar);
    return true;
  }

  // ---- 2xx

  #accepted(row: RegistrationIndex, view: SipView, purpose: PurposeId): void {
    const ledger = this.#ledger;
    const now = this.#attempts.nowMs;
    const registrar = ledger.registrar(row);
    registrar.budget.answered(now, this.#attempts.roundTripMs(row));
    this.#troubles.over(registrar);
    const newRealm = ledger.credentials.accepted(row);
    if (newRealm !== undefined) this.#conduct.realmChanged(row, newRealm);
    if (readNextNonce(view, this.#nonce)) ledger.credentials.nextNonce(row, view.bytes, this.#nonce);
    switch (purpose) {
      case Purpose.bind:
        this.#bindings.bound(row, view);
        return;
      case Purpose.unbind:
        this.#conduct.removed(row);
        return;
      case Purpose.query:
        this.#bindings.listed(row, view);
        return;
      case Purpose.none:
        this.#attempts.endChain(row);
        return;
      default:
        purpose satisfies never;
    }
  }

  // ---- 401, 407

  #challenged(row: RegistrationIndex, view: SipView, purpose: PurposeId): void {
    const ledger = this.#ledger;
    const { volatile, columns } = ledger;
    ledger.registrar(row).budget.answered(this.#attempts.nowMs, this.#attempts.roundTripMs(row));
    ledger.registrar(row).challenges = true;
    const outcome = ledger.credentials.challenged(row, view);
    switch (outcome) {
      case ChallengeOutcome.answered:
        if (volatile.answers(row) >= challengeAnswersMax) {
          this.#loop(row, view);
          return;
        }
        volatile.setAnswers(row, volatile.answers(row) + 1);
        this.#attempts.transmit(row, purpose);
        return;
      case ChallengeOutcome.rejected:
        ledger.credentials.forgetNonce(row);
        this.#conduct.denied(row, view.status, view.reason());
        return;
      case ChallengeOutcome.staleAgain:
        this.#loop(row, view);
        return;
      case ChallengeOutcome.unanswerable:
        this.#log.warn("registration.challengeUnanswerable", { account: columns.accountId(row), status: view.status });
        this.#conduct.denied(row, view.status, "no challenge that may be answered");
        return;
      case ChallengeOutcome.noSecret:
        this.#conduct.denied(row, view.status, "no credentials for this realm");
        return;
      default:
        outcome satisfies never;
    }
  }

  /** The server calls every nonce stale. Perhaps its servers do not share them; perhaps it means the password. */
  #loop(row: RegistrationIndex, view: SipView): void {
    this.#ledger.credentials.forgetNonce(row);
    if (this.#ledger.columns.failures(row) + 1 >= staleLoopsMax) this.#conduct.denied(row, view.status, view.reason());
    else {
      this.#ledger.setReason(row, view.reason());
      this.#conduct.failed(row, 0);
    }
  }

  // ---- other finals

  #other(row: RegistrationIndex, view: SipView, purpose: PurposeId): void {
    const ledger = this.#ledger;
    const { columns, volatile } = ledger;
    const { status } = view;
    const reason = view.reason();
    const isUnbind = purpose === Purpose.unbind;
    const verdict = judge({
      status,
      isUnbind,
      isPlain: columns.is(row, Flag.plain),
      // Only who asked for a binding can be told that there are too many.
      speaksOfOthers: purpose === Purpose.bind && this.#bindings.speaksOfOthers(row, view),
    });
    const { budget } = ledger.registrar(row);
    if (verdict !== "busy") budget.answered(this.#attempts.nowMs, this.#attempts.roundTripMs(row));
    ledger.setReason(row, reason);
    if (purpose === Purpose.query && verdict !== "busy" && verdict !== "later") {
      // No list is to be had. What was meant is done without.
      this.#withoutList(row, status, reason);
      return;
    }
    switch (verdict) {
      case "gone":
        this.#conduct.removed(row);
        return;
      case "redirected":
        this.#redirected(row, view);
        return;
      case "tooBrief":
        this.#tooBrief(row, view);
        return;
      case "simplify":
        columns.set(row, Flag.plain, true);
        volatile.setChain(row, ChainFlag.simplified, true);
        this.#attempts.transmit(row, purpose);
        return;
      case "crowded":
        this.#bindings.crowded(row, view);
        return;
      case "denied":
        this.#conduct.denied(row, status, reason);
        return;
      case "busy":
        this.#troubles.busy(row, view, purpose);
        return;
      case "later":
        // It was not the extensions.
        if (volatile.chain(row, ChainFlag.simplified)) columns.set(row, Flag.plain, false);
        this.#conduct.failed(row, retryAfterMs(view));
        return;
      case "accepted":
      case "challenged":
        this.#conduct.failed(row, 0);
        return;
      default:
        verdict satisfies never;
    }
  }

  #withoutList(row: RegistrationIndex, status: number, reason: string): void {
    if (this.#ledger.volatile.chain(row, ChainFlag.queried)) {
      this.#ledger.setReason(row, `${status} ${reason}`);
      this.#conduct.failed(row, 0);
    } else this.#attempts.transmit(row, Purpose.unbind);
  }

  /** 423 (RFC 3261 §10.2.8): once more with the time it wants, or twice what was asked. */
  #tooBrief(row: RegistrationIndex, view: SipView): void {
    const { volatile } = this.#ledger;
    const profile = this.#ledger.profile(row);
    const wantedSec = readNumber(view, Header.minExpires);
    if (volatile.chain(row, ChainFlag.raised)) {
      this.#conduct.failed(row, 0);
      return;
    }
    volatile.setChain(row, ChainFlag.raised, true);
    profile.raiseExpires(wantedSec > volatile.askedSec(row) ? wantedSec : volatile.askedSec(row) * 2);
    if (profile.expiresSec <= volatile.askedSec(row)) this.#conduct.failed(row, 0);
    else this.#attempts.transmit(row, Purpose.bind);
  }

  /** 3xx (RFC 3261 §8.1.3.4): to the first Contact that we may follow, once. */
  #redirected(row: RegistrationIndex, view: SipView): void {
    const ledger = this.#ledger;
    const profile = ledger.profile(row);
    const target = profile.base === undefined ? redirectTarget(view, profile.key) : undefined;
    this.#attempts.endChain(row);
    if (target === undefined) {
      this.#conduct.failed(row, retryAfterMs(view));
      return;
    }
    ledger.credentials.forgetNonce(row);
    this.#conduct.moveTo(row, target, profile);
    if (ledger.registrar(row).reach.isSilent) this.#conduct.failed(row, 0);
    else this.#attempts.enqueue(row, true);
  }
}
