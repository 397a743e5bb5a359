import type { RegistrationIndex } from "../base/ids.ts";
import type { Source } from "../net/network.ts";
import { Counter, type CounterName, type Lane } from "../observe/lanes.ts";
import type { Log } from "../observe/log.ts";
import { NonceRange, readNextNonce } from "../sip/auth/authentication-info.ts";
import { Header } from "../sip/message/header.ts";
import { Method } from "../sip/message/method.ts";
import { addressesOf } from "../sip/message/read-address.ts";
import { readCSeq, readCSeqMethod } from "../sip/message/read-cseq.ts";
import { listValues } from "../sip/message/read-list.ts";
import { readNumber } from "../sip/message/read-number.ts";
import type { SipView } from "../sip/message/view.ts";
import { parseUriText, uriParam } from "../sip/uri.ts";
import type { Attempts } from "./attempts.ts";
import type { Conduct } from "./conduct.ts";
import { ChallengeOutcome } from "./credentials.ts";
import type { Ledger } from "./ledger.ts";
import { grantedSecMax, Happening, judge, refreshAfterSec } from "./machine.ts";
import { branchAt, branchRow, isBranch } from "./names.ts";
import type { ProfileKey } from "./profile.ts";
import { Bindings, type OtherBinding, type OwnContact, readBindings, readOwnBinding } from "./read-bindings.ts";
import { removalOf } from "./transmission.ts";
import { ChainFlag, Purpose, type PurposeId, TxState } from "./volatile-rows.ts";
import { Flag, ModeId } from "./row-flags.ts";

/** Answers to challenges in one attempt. */
const challengeAnswersMax = 2;
/** Attempts in a row that may end in a loop of stale nonces before it counts as a refusal. */
const staleLoopsMax = 3;
/** Bindings that one REGISTER removes. */
const removalsMax = 8;
/** Contacts of a 3xx that are looked at. */
const redirectsMax = 8;
const serviceRoutesMax = 8;
const serviceRouteCharsMax = 512;
const retryAfterMaxSec = 3600;
/** Troubles of a server in a row, in answers to anybody, after which the next one is used. */
const troublesToSwitch = 3;

/** Words by which registrars say that there are too many bindings. */
const crowdedWords =
  /too many|max(imum)?[ -]?(number of )?(contacts|bindings|registrations)|contact limit|already registered/i;

/** The counter of each status; classes that are not named are counted together. */
const counterOf = new Int16Array(700).fill(Counter.registerAnswersOther);
for (const status of [200, 301, 302, 401, 403, 404, 407, 408, 423, 480, 500, 503] as const) {
  counterOf[status] = Counter[`registerAnswers${status}` satisfies CounterName];
}
counterOf.fill(Counter.registerAnswers1xx, 100, 200);

/** Reads what comes back to REGISTERs and does what it calls for. A network byte never throws. */
export class Answers {
  readonly #ledger: Ledger;
  readonly #attempts: Attempts;
  readonly #conduct: Conduct;
  readonly #lane: Lane;
  readonly #log: Log;
  readonly #bindings = new Bindings();
  readonly #nonce = new NonceRange();
  readonly #troubles = new Map<number, number>();

  constructor(ledger: Ledger, attempts: Attempts, conduct: Conduct, log: Log) {
    this.#ledger = ledger;
    this.#attempts = attempts;
    this.#conduct = conduct;
    this.#lane = ledger.lane;
    this.#log = log;
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
    registrar.lastStatus = status;
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
    if (this.#troubles.size > 0) this.#troubles.delete(registrar.id);
    if (ledger.credentials.accepted(row)) {
      this.#log.warn("registration.realmChanged", {
        account: ledger.columns.accountId(row),
        registrar: registrar.target.host,
      });
    }
    if (readNextNonce(view, this.#nonce)) ledger.credentials.nextNonce(row, view.bytes, this.#nonce);
    switch (purpose) {
      case Purpose.bind:
        this.#bound(row, view);
        return;
      case Purpose.unbind:
        this.#attempts.endChain(row);
        this.#conduct.removed(row);
        return;
      case Purpose.query:
        this.#listed(row, view);
        return;
      case Purpose.none:
        this.#attempts.endChain(row);
        return;
      default:
        purpose satisfies never;
    }
  }

  #bound(row: RegistrationIndex, view: SipView): void {
    const ledger = this.#ledger;
    const { columns, volatile, removals } = ledger;
    const now = this.#attempts.nowMs;
    const bindings = this.#bindings;
    let others: readonly OtherBinding[] = [];
    if (!readOwnBinding(view, columns, row, bindings))
      others = readBindings(view, columns, row, this.#own(row, true), bindings);
    let grantedSec = bindings.grantedSec;
    if (bindings.count === 0) {
      // A registrar that lists nothing at all (RFC 2543, and some since): its Expires, or what was asked.
      grantedSec = readNumber(view, Header.expires);
    } else if (!bindings.isFound || grantedSec === 0) {
      // It took the request and not the binding, and one that was there is there no more.
      columns.set(row, Flag.bound, false);
      columns.setExpiresMs(row, 0);
      ledger.setReason(row, "registrar did not keep our Contact");
      this.#lose(row, 0);
      return;
    }
    if (grantedSec < 0 || (bindings.count === 0 && grantedSec === 0)) grantedSec = volatile.askedSec(row);
    grantedSec = Math.min(grantedSec, grantedSecMax);

    // Its time runs from some moment after the request left; the safe reading is that moment itself.
    const sentAtMs = now - ledger.ageMs(row, now);
    const wallMs = ledger.wallOf(sentAtMs);
    columns.setExpiresMs(row, wallMs + grantedSec * 1000);
    columns.setMayEndSec(row, Math.ceil(wallMs / 1000) + grantedSec);
    columns.set(row, Flag.bound, true);
    columns.set(row, Flag.denied, false);
    if (bindings.hasLine) columns.set(row, Flag.keepsLine, true);
    columns.setFailures(row, 0);
    if (removals.size > 0) removals.delete(row);
    ledger.clearReason(row);
    const registrar = ledger.registrar(row);
    if (volatile.chain(row, ChainFlag.refresh)) this.#lane.add(Counter.registerRefreshed, 1);
    else registrar.breaker.accepted(now);
    this.#keepServiceRoute(row, view);
    const flowTimerAt = view.find(Header.flowTimer);
    if (flowTimerAt >= 0) registrar.setFlowTimer(readNumber(view, Header.flowTimer));
    if (others.length > 0) this.#learnFromOthers(row, others);

    const crowded = registrar.isCrowded(now, Math.max(grantedSec, 1)) && volatile.chain(row, ChainFlag.waited);
    const leftovers = others.length === 0 ? others : others.filter((other) => this.#isLeftover(row, other));
    if (leftovers.length > 0 && !volatile.chain(row, ChainFlag.cleaned)) {
      this.#remove(row, leftovers);
      ledger.happen(row, Happening.bound, now);
      return;
    }
    this.#attempts.endChain(row);
    const afterMs = refreshAfterSec(grantedSec, ledger.pool.between(0, 1), crowded) * 1000;
    this.#attempts.schedule(row, Math.max(sentAtMs + afterMs, now));
    ledger.happen(row, Happening.bound, now);
    this.#conduct.boundOrRemoved(row);
  }

  /** A binding that nobody answers at any more: ours of old, or, where one device moves, the phone's. */
  #isLeftover(row: RegistrationIndex, other: OtherBinding): boolean {
    if (other.isStale) return true;
    const ledger = this.#ledger;
    const isShared = ledger.mode(row) === ModeId.singleDevice && ledger.instances.has(row);
    return isShared && other.instance === ledger.instance(row);
  }

  /** One more REGISTER: our Contact, and these with expires=0. */
  #remove(row: RegistrationIndex, others: readonly OtherBinding[]): void {
    const { removals, volatile } = this.#ledger;
    // What cannot stand between < and > never came from a header, but a writer trusts nobody.
    const uris = others.map((other) => other.uri).filter((uri) => !/[<>\s]/.test(uri));
    removals.set(row, removalOf(uris.slice(0, removalsMax)));
    volatile.setChain(row, ChainFlag.cleaned, true);
    this.#attempts.transmit(row, Purpose.bind);
  }

  #learnFromOthers(row: RegistrationIndex, others: readonly OtherBinding[]): void {
    if (others.every((other) => other.isStale)) return;
    if (this.#ledger.isUndecided(row)) this.#conduct.learnMode(row, ModeId.alternate);
  }

  /** The bindings there are: asked before ours is removed, or after a second one was refused. */
  #listed(row: RegistrationIndex, view: SipView): void {
    const ledger = this.#ledger;
    const { columns, volatile } = ledger;
    const isLikelyAlone = !volatile.chain(row, ChainFlag.queried) && !columns.is(row, Flag.keepsLine);
    const others = readBindings(view, columns, row, this.#own(row, isLikelyAlone), this.#bindings);
    const { isFound, count } = this.#bindings;
    if (volatile.chain(row, ChainFlag.queried)) {
      this.#remove(row, others);
      return;
    }
    if (columns.is(row, Flag.wanted)) {
      // Wanted again meanwhile.
      this.#attempts.endChain(row);
      this.#conduct.settle(row, true);
      return;
    }
    const strangers = others.some((other) => !other.isStale);
    if (isFound) {
      if (strangers) this.#learnFromOthers(row, others);
      this.#attempts.transmit(row, Purpose.unbind);
      return;
    }
    this.#attempts.endChain(row);
    // The phone's REGISTER took the place of ours: to remove "ours" now might remove the phone's.
    if (count > 0 && strangers) this.#conduct.learnMode(row, ModeId.singleDevice);
    this.#conduct.removed(row);
  }

  #keepServiceRoute(row: RegistrationIndex, view: SipView): void {
    const { serviceRoutes } = this.#ledger;
    if (view.find(Header.serviceRoute) < 0) {
      if (serviceRoutes.size > 0) serviceRoutes.delete(row);
      return;
    }
    const values = listValues(view, Header.serviceRoute)
      .filter((value) => value.startsWith("<") && value.length <= serviceRouteCharsMax)
      .slice(0, serviceRoutesMax);
    const known = serviceRoutes.get(row);
    if (known?.join() !== values.join()) serviceRoutes.set(row, values);
  }

  // ---- 401, 407

  #challenged(row: RegistrationIndex, view: SipView, purpose: PurposeId): void {
    const ledger = this.#ledger;
    const { volatile, columns } = ledger;
    ledger.registrar(row).budget.answered(this.#attempts.nowMs, this.#attempts.roundTripMs(row));
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
        this.#refuse(row, view.status, view.reason());
        return;
      case ChallengeOutcome.staleAgain:
        this.#loop(row, view);
        return;
      case ChallengeOutcome.unanswerable:
        this.#log.warn("registration.challengeUnanswerable", { account: columns.accountId(row), status: view.status });
        this.#refuse(row, view.status, "no challenge that may be answered");
        return;
      case ChallengeOutcome.noSecret:
        this.#refuse(row, view.status, "no credentials for this realm");
        return;
      default:
        outcome satisfies never;
    }
  }

  /** The server calls every nonce stale. Perhaps its servers do not share them; perhaps it means the password. */
  #loop(row: RegistrationIndex, view: SipView): void {
    this.#ledger.credentials.forgetNonce(row);
    if (this.#ledger.columns.failures(row) + 1 >= staleLoopsMax) this.#refuse(row, view.status, view.reason());
    else {
      this.#ledger.setReason(row, view.reason());
      this.#lose(row, 0);
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
      speaksOfOthers: purpose === Purpose.bind && this.#speaksOfOthers(row, view),
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
        this.#attempts.endChain(row);
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
        this.#crowded(row, view);
        return;
      case "denied":
        this.#refuse(row, status, reason);
        return;
      case "busy":
        this.#busy(row, view, purpose);
        return;
      case "later":
        // It was not the extensions.
        if (volatile.chain(row, ChainFlag.simplified)) columns.set(row, Flag.plain, false);
        this.#lose(row, this.#retryAfterMs(view));
        return;
      case "accepted":
      case "challenged":
        this.#lose(row, 0);
        return;
      default:
        verdict satisfies never;
    }
  }

  #withoutList(row: RegistrationIndex, status: number, reason: string): void {
    if (this.#ledger.volatile.chain(row, ChainFlag.queried)) {
      this.#ledger.setReason(row, `${status} ${reason}`);
      this.#lose(row, 0);
    } else this.#attempts.transmit(row, Purpose.unbind);
  }

  /** 423 (RFC 3261 §10.2.8): once more with the time it wants, or twice what was asked. */
  #tooBrief(row: RegistrationIndex, view: SipView): void {
    const { volatile } = this.#ledger;
    const profile = this.#ledger.profile(row);
    const wantedSec = readNumber(view, Header.minExpires);
    if (volatile.chain(row, ChainFlag.raised)) {
      this.#lose(row, 0);
      return;
    }
    volatile.setChain(row, ChainFlag.raised, true);
    profile.raiseExpires(wantedSec > volatile.askedSec(row) ? wantedSec : volatile.askedSec(row) * 2);
    if (profile.expiresSec <= volatile.askedSec(row)) this.#lose(row, 0);
    else this.#attempts.transmit(row, Purpose.bind);
  }

  /** 3xx (RFC 3261 §8.1.3.4): to the first Contact that we may follow, once. */
  #redirected(row: RegistrationIndex, view: SipView): void {
    const ledger = this.#ledger;
    const profile = ledger.profile(row);
    const target = profile.base === undefined ? redirectTarget(view, profile.key) : undefined;
    this.#attempts.endChain(row);
    if (target === undefined) {
      this.#lose(row, this.#retryAfterMs(view));
      return;
    }
    ledger.credentials.forgetNonce(row);
    this.#conduct.moveTo(row, target, profile);
    if (ledger.registrar(row).reach.isSilent) this.#lose(row, 0);
    else this.#attempts.enqueue(row, true);
  }

  /** A second binding is refused. */
  #crowded(row: RegistrationIndex, view: SipView): void {
    const ledger = this.#ledger;
    const { columns, volatile } = ledger;
    if (ledger.isUndecided(row)) this.#conduct.learnMode(row, ModeId.singleDevice);
    if (ledger.mode(row) !== ModeId.singleDevice || volatile.chain(row, ChainFlag.cleaned)) {
      this.#lose(row, this.#retryAfterMs(view));
      return;
    }
    // One device that moves: what is there is the phone's, or ours of old.
    const others = readBindings(view, columns, row, this.#own(row, false), this.#bindings);
    if (others.length > 0) this.#remove(row, others);
    else if (volatile.chain(row, ChainFlag.queried)) this.#lose(row, this.#retryAfterMs(view));
    else {
      volatile.setChain(row, ChainFlag.queried, true);
      this.#attempts.transmit(row, Purpose.query);
    }
  }

  /** 503, 408 and the like: the next server if there is one (RFC 3263 §4.3), else later. */
  #busy(row: RegistrationIndex, view: SipView, purpose: PurposeId): void {
    const ledger = this.#ledger;
    const { volatile } = ledger;
    const registrar = ledger.registrar(row);
    const now = this.#attempts.nowMs;
    const startedMs = now - ledger.ageMs(row, now);
    const waitMs = this.#retryAfterMs(view);
    const troubles = (this.#troubles.get(registrar.id) ?? 0) + 1;
    this.#troubles.set(registrar.id, troubles);
    const isOverload = view.status === 503;
    if (isOverload) {
      // One account's 503 slows us; a row of them with Retry-After stops us (RFC 3261 §21.5.4).
      registrar.budget.overloaded(now, startedMs, troubles >= troublesToSwitch ? waitMs : 0);
    } else registrar.budget.answered(now, -1);
    if (troubles >= troublesToSwitch && registrar.reach.passOver(volatile.peer(row), now, waitMs)) {
      this.#troubles.delete(registrar.id);
      registrar.budget.restart(now);
      volatile.setPassedOver(row, 0);
      this.#attempts.transmit(row, purpose);
      return;
    }
    const passedOver = volatile.passedOver(row) + 1;
    if (view.status !== 500 && passedOver < Math.min(registrar.reach.count, 8)) {
      volatile.setPassedOver(row, passedOver);
      this.#attempts.transmit(row, purpose);
      return;
    }
    this.#lose(row, waitMs);
  }

  /** The attempt ends without a binding; another one follows. `waitMs` 0: after the usual back-off. */
  #lose(row: RegistrationIndex, waitMs: number): void {
    this.#attempts.endChain(row);
    this.#conduct.failed(row, waitMs);
  }

  #refuse(row: RegistrationIndex, status: number, reason: string): void {
    this.#attempts.endChain(row);
    this.#conduct.denied(row, status, reason);
  }

  #retryAfterMs(view: SipView): number {
    const sec = readNumber(view, Header.retryAfter);
    return sec > 0 ? Math.min(sec, retryAfterMaxSec) * 1000 : 0;
  }

  /** The answer names another binding, or says that there are too many. */
  #speaksOfOthers(row: RegistrationIndex, view: SipView): boolean {
    const said = view.value(Header.pRegistrarError);
    if (said !== undefined && crowdedWords.test(said)) return true;
    if (crowdedWords.test(view.reason())) return true;
    const warning = view.value(Header.warning);
    if (warning !== undefined && crowdedWords.test(warning)) return true;
    if (view.find(Header.contact) < 0 || view.status < 400) return false;
    return readBindings(view, this.#ledger.columns, row, this.#own(row, false), this.#bindings).length > 0;
  }

  /** `isLikelyAlone`: the answer is to a REGISTER of ours that made a binding, or may as well be. */
  #own(row: RegistrationIndex, isLikelyAlone: boolean): OwnContact {
    const ledger = this.#ledger;
    const peer = ledger.volatile.peer(row);
    const local = ledger.network.localAddress(peer, ledger.profile(row).key.natEmulation);
    const host = local?.host ?? "";
    return {
      user: ledger.userBytes(row),
      host: (host.startsWith("[") ? host.slice(1, -1) : host).toLowerCase(),
      port: ledger.columns.contactPort(row),
      instance: !isLikelyAlone && ledger.instances.has(row) ? undefined : ledger.instance(row),
      isLikelyAlone,
    };
  }
}

/** The first Contact of a 3xx that may be followed, as the key of a profile; undefined when there is none. */
function redirectTarget(view: SipView, key: ProfileKey): ProfileKey | undefined {
  for (const contact of addressesOf(view, Header.contact).slice(0, redirectsMax)) {
    const uri = parseUriText(contact.uri);
    if (uri === undefined || (uri.scheme !== "sip" && uri.scheme !== "sips") || uri.host === "") continue;
    const named = uriParam(uri, "transport")?.toLowerCase();
    const isTls = uri.scheme === "sips" || named === "tls";
    // A TLS account never leaves TLS.
    if (key.secure && !isTls) continue;
    const transport = isTls ? "tls" : named === "tcp" || named === "udp" ? named : "auto";
    const place = uri.host.includes(":") ? `[${uri.host}]` : uri.host;
    const requestUri = `sip:${place}${uri.port === undefined ? "" : `:${uri.port}`}`;
    return {
      ...key,
      target: { host: uri.host, port: uri.port, transport },
      secure: key.secure || isTls,
      // 305 names a proxy: the same request, Request-URI and all, goes by it (§21.3.4).
      redirectedUri: view.status === 305 ? key.redirectedUri : requestUri,
    };
  }
  return undefined;
}
