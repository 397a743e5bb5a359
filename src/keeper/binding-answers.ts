import type { RegistrationIndex } from "../base/ids.ts";
import { Counter } from "../observe/lanes.ts";
import { Header } from "../sip/message/header.ts";
import { listValues } from "../sip/message/read-list.ts";
import { readNumber } from "../sip/message/read-number.ts";
import type { SipView } from "../sip/message/view.ts";
import type { Attempts } from "./attempts.ts";
import type { Conduct } from "./conduct.ts";
import type { Ledger } from "./ledger.ts";
import { grantedSecMax, Happening, refreshAfterSec } from "./machine.ts";
import { Bindings, type OtherBinding, type OwnContact, readBindings, readOwnBinding } from "./read-bindings.ts";
import { retryAfterMs } from "./retry-after.ts";
import { Flag, ModeId } from "./row-flags.ts";
import { removalOf } from "./transmission.ts";
import { ChainFlag, Purpose } from "./volatile-rows.ts";

/** Bindings that one REGISTER removes. */
const removalsMax = 8;
const serviceRoutesMax = 8;
const serviceRouteCharsMax = 512;

/** Words by which registrars say that there are too many bindings. */
const crowdedWords =
  /too many|max(imum)?[ -]?(number of )?(contacts|bindings|registrations)|contact limit|already registered/i;

/** What registrars say of bindings (RFC 3261 §10.3), ours and others': granted, listed, too many; and what follows from it. */
export class BindingAnswers {
  readonly #ledger: Ledger;
  readonly #attempts: Attempts;
  readonly #conduct: Conduct;
  readonly #bindings = new Bindings();

  constructor(ledger: Ledger, attempts: Attempts, conduct: Conduct) {
    this.#ledger = ledger;
    this.#attempts = attempts;
    this.#conduct = conduct;
  }

  /** HOT. A 200 to a REGISTER that makes or refreshes our binding. */
  bound(row: RegistrationIndex, view: SipView): void {
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
      this.#conduct.failed(row, 0);
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
    const isNew = !volatile.chain(row, ChainFlag.refresh);
    if (isNew) registrar.breaker.accepted(now);
    else ledger.lane.add(Counter.registerRefreshed, 1);
    this.#keepServiceRoute(row, view);
    const flowTimerAt = view.find(Header.flowTimer);
    if (flowTimerAt >= 0) registrar.setFlowTimer(readNumber(view, Header.flowTimer));
    if (others.length > 0) this.#learnFromOthers(row, others);

    const crowded = registrar.isCrowded(now, Math.max(grantedSec, 1), isNew) && volatile.chain(row, ChainFlag.waited);
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
  listed(row: RegistrationIndex, view: SipView): void {
    const ledger = this.#ledger;
    const { columns, volatile } = ledger;
    const isLikelyAlone = !volatile.chain(row, ChainFlag.queried) && !columns.is(row, Flag.keepsLine);
    const others = readBindings(view, columns, row, this.#own(row, isLikelyAlone), this.#bindings);
    const { isFound, count } = this.#bindings;
    if (volatile.chain(row, ChainFlag.queried)) {
      this.#noteKeptOut(row, others);
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

  /** A second binding is refused. */
  crowded(row: RegistrationIndex, view: SipView): void {
    const ledger = this.#ledger;
    const { columns, volatile } = ledger;
    if (ledger.isUndecided(row)) this.#conduct.learnMode(row, ModeId.singleDevice);
    if (ledger.mode(row) !== ModeId.singleDevice || volatile.chain(row, ChainFlag.cleaned)) {
      this.#conduct.failed(row, retryAfterMs(view));
      return;
    }
    // One device that moves: what is there is the phone's, or ours of old.
    const others = readBindings(view, columns, row, this.#own(row, false), this.#bindings);
    this.#noteKeptOut(row, others);
    if (others.length > 0) this.#remove(row, others);
    else if (volatile.chain(row, ChainFlag.queried)) this.#conduct.failed(row, retryAfterMs(view));
    else {
      volatile.setChain(row, ChainFlag.queried, true);
      this.#attempts.transmit(row, Purpose.query);
    }
  }

  /**
   * We were refused because of `others`: so would be the phone because of us, unless it shows the instance that we show and the registrar knows
   * devices by theirs. It does not when it refused us beside that very instance.
   */
  #noteKeptOut(row: RegistrationIndex, others: readonly OtherBinding[]): void {
    const ledger = this.#ledger;
    const isBlind = !ledger.instances.has(row) || others.some((other) => other.instance === ledger.instance(row));
    if (isBlind) ledger.columns.set(row, Flag.keepsOut, true);
  }

  /** The answer names another binding, or says that there are too many. */
  speaksOfOthers(row: RegistrationIndex, view: SipView): boolean {
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
