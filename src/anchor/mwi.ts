import type { AccountId, DeviceId, RegistrationIndex } from "../base/ids.ts";
import type { PeerId, Source } from "../net/network.ts";
import { Header } from "../sip/message/header.ts";
import { Method } from "../sip/message/method.ts";
import { tagOf } from "../sip/message/read-address.ts";
import { readNumber } from "../sip/message/read-number.ts";
import type { SipView } from "../sip/message/view.ts";
import type { ClientTransaction, ServerTransaction } from "../sip/transaction/transactions.ts";
import type { Alarm } from "./alarms.ts";
import { ServerAsker } from "./asker.ts";
import { newTag } from "./call-uuid.ts";
import type { Belonging, Core, Responder } from "./core.ts";
import { routeSetOf, targetOf } from "./dialog.ts";
import type { Flow } from "./flow.ts";
import {
  mwiAskedMax,
  mwiAskMs,
  mwiCountsKeptMax,
  mwiExpiresSec,
  mwiRefusalsMax,
  mwiServerPauseMs,
  mwiSettleMs,
  mwiStartMs,
  mwiSubscriptionsMax,
} from "./limits.ts";
import { readMessageSummary, summaryText } from "./message-summary.ts";
import { indifferent, writeOwnRequest } from "./own-requests.ts";
import { requestToPhone } from "./rewriting.ts";

const noDevice = "" as DeviceId;
const challengesMax = 2;
/** Answers that speak for the whole server: it does not know the package, the method, or us, or leads back to ourselves (482). */
const serverRefusals: ReadonlySet<number> = new Set([405, 420, 482, 489, 501]);

/** Our event subscription for one account. */
interface MwiSubscription {
  readonly accountId: AccountId;
  readonly peer: PeerId;
  readonly flow: Flow;
  readonly callId: string;
  readonly localTag: string;
  readonly address: string;
  remoteTag: string;
  target: string;
  routes: readonly string[];
  cseq: number;
  expiresSec: number;
  challenges: number;
  established: boolean;
  refresh: Alarm | undefined;
}

/** What a server has shown. */
interface ServerManners {
  accepted: boolean;
  probing: boolean;
  refusals: number;
  pausedUntilMs: number;
}

/**
 * Voicemail lamps for sleeping phones (RFC 3842): we subscribe for registered accounts some device of which wants to hear of voicemail, take
 * NOTIFYs that come with or without a subscription, and push when there is something new.
 *
 * A good citizen: one SUBSCRIBE every `mwiStartMs`, one at a time to a server that has not accepted any, and none for hours to one that refuses.
 * After a restart nothing is resent: the server's next NOTIFY for a forgotten subscription (its expiry at the latest) begins a new one.
 */
export class Mwi {
  readonly #core: Core;
  readonly #subscriptions = new Map<AccountId, MwiSubscription>();
  /** Accounts that are to be subscribed, in order, and from when. */
  readonly #queue = new Map<AccountId, number>();
  /** Rows that became registered, and when, of which nobody has asked yet whether somebody wants voicemail: half a million at a cold start. */
  readonly #fresh = new Map<RegistrationIndex, number>();
  /** Accounts whose server tells unasked: no subscription is needed. */
  readonly #unasked = new Set<AccountId>();
  readonly #servers = new Map<PeerId, ServerManners>();
  /** New messages at the last push, for accounts that have any. */
  readonly #counts = new Map<AccountId, number>();
  #pacer: Alarm | undefined;
  #asker: Alarm | undefined;

  constructor(core: Core) {
    this.#core = core;
  }

  get size(): number {
    return this.#subscriptions.size;
  }

  /** The account became registered, or is no longer. */
  onRegistration(accountId: AccountId, registered: boolean): void {
    const row = this.#core.rowOf(accountId);
    if (row !== undefined) this.#fresh.delete(row);
    if (!registered) {
      this.#queue.delete(accountId);
      this.#end(accountId);
    } else if (row !== undefined) {
      this.#fresh.set(row, this.#core.nowMs());
      this.#askAfter(mwiAskMs);
    }
  }

  /** A device left the account: nobody may be left to tell. */
  subscriptionRemoved(accountId: AccountId): void {
    if (!this.#isWanted(accountId)) this.onRegistration(accountId, false);
  }

  /** Nothing is remembered of it. */
  accountRemoved(accountId: AccountId): void {
    this.onRegistration(accountId, false);
    this.#unasked.delete(accountId);
    this.#counts.delete(accountId);
  }

  /** Whether a request is a NOTIFY of the package. */
  static isNotify(view: SipView): boolean {
    return view.method === Method.notify && /^message-summary\b/i.test(view.value(Header.event) ?? "");
  }

  /**
   * Whether a SUBSCRIBE is our own, come back: a proxy without a voicemail server sends it to the account's bindings, and ours is one of them.
   */
  isOwn(view: SipView, accountId: AccountId): boolean {
    const ours = this.#subscriptions.get(accountId);
    return (
      ours !== undefined && ours.callId === view.value(Header.callId) && ours.localTag === tagOf(view, Header.from)
    );
  }

  /** Such a NOTIFY from the account's server, in no dialog of a phone: asked for by us, or unasked as Asterisk sends them. */
  onNotify(tx: ServerTransaction, view: SipView, source: Source, row: RegistrationIndex): void {
    const { book } = this.#core.options;
    const accountId = book.accountId(row);
    const belonging: Belonging = { record: undefined, accountId, deviceId: noDevice };
    this.#core.received(belonging, "server", view);
    const flow = this.#core.flows.toSource(source, book.serverOf(row));
    const asker = new ServerAsker(this.#core, tx, belonging, `<${book.contactUri(row, flow.peer)}>`);
    const toTag = newTag(this.#core.options.random);
    asker.answer(200, "OK", { toTag, contact: asker.contact });
    const ours = this.#subscriptions.get(accountId);
    const isOurs =
      ours !== undefined && ours.callId === view.value(Header.callId) && ours.localTag === tagOf(view, Header.to);
    if (isOurs) this.#onState(ours, view);
    else if (tagOf(view, Header.to) !== undefined) this.#consider(accountId);
    const isRelayed = tagOf(view, Header.to) === undefined;
    if (isRelayed) {
      this.#noteUnasked(accountId);
      this.#copyToTunnels(view, accountId, row);
    }
    this.#tell(view, accountId, isRelayed);
  }

  // ---- pushes

  #tell(view: SipView, accountId: AccountId, isRelayed: boolean): void {
    const summary = readMessageSummary(view);
    if (summary === undefined) return;
    const before = this.#counts.get(accountId);
    this.#counts.delete(accountId);
    if (!summary.waiting || summary.newCount === 0) return;
    this.#counts.set(accountId, summary.newCount);
    if (this.#counts.size > mwiCountsKeptMax) {
      const oldest = this.#counts.keys().next().value;
      if (oldest !== undefined) this.#counts.delete(oldest);
    }
    // The same word again, or fewer than before: the person has been listening. No reason to light up a screen.
    if (before !== undefined && summary.newCount <= before) return;
    const targets = this.#core.options.directory
      .subscriptions(accountId)
      .filter(
        ({ deviceId, notify, wakeable }) =>
          notify.voicemail && wakeable && !(isRelayed && this.#core.links.find(deviceId)?.serves(accountId) === true),
      )
      .map(({ deviceId, subscriptionId }) => ({ deviceId, subscriptionId }));
    if (targets.length === 0) return;
    const text = summaryText(summary);
    this.#core.options.uplink.emit({
      kind: "notify",
      push: "voicemail",
      accountId,
      targets,
      ...(text === undefined ? {} : { text }),
    });
  }

  /** A phone that is here lights its own lamp. */
  #copyToTunnels(view: SipView, accountId: AccountId, row: RegistrationIndex): void {
    const { user, domain } = this.#core.options.book.aor(row);
    for (const { deviceId } of this.#core.options.directory.subscriptions(accountId)) {
      const link = this.#core.links.find(deviceId);
      if (link?.serves(accountId) !== true) continue;
      const branch = this.#core.transactions.newBranch();
      const uri = link.contacts.get(accountId) ?? `sip:${user}@${domain}`;
      const bytes = requestToPhone(this.#core.writer, view, this.#core.viaToPhone(branch), uri);
      this.#core.sent({ record: undefined, accountId, deviceId }, "device", bytes);
      this.#core.request(link, bytes, Method.notify, branch, indifferent);
    }
  }

  // ---- our subscriptions

  #isWanted(accountId: AccountId): boolean {
    return this.#core.options.directory
      .subscriptions(accountId)
      .some(({ notify, wakeable }) => notify.voicemail && wakeable);
  }

  #noteUnasked(accountId: AccountId): void {
    this.#queue.delete(accountId);
    if (this.#unasked.size < mwiCountsKeptMax) this.#unasked.add(accountId);
  }

  #consider(accountId: AccountId): void {
    // Last, since it reads the store.
    if (this.#isFull || !this.#isOpen(accountId) || !this.#isWanted(accountId)) return;
    this.#queue.set(accountId, this.#core.nowMs());
    this.#pace();
  }

  get #isFull(): boolean {
    return this.#subscriptions.size + this.#queue.size >= mwiSubscriptionsMax;
  }

  /** Whether a subscription for the account is neither there, nor on its way, nor of any use. */
  #isOpen(accountId: AccountId): boolean {
    if (this.#subscriptions.has(accountId) || this.#queue.has(accountId)) return false;
    return !this.#unasked.has(accountId) && !this.#isPaused(accountId);
  }

  #askAfter(afterMs: number): void {
    if (this.#asker !== undefined || this.#fresh.size === 0) return;
    this.#asker = this.#core.alarms.set(this.#core.nowMs() + afterMs, () => {
      this.#asker = undefined;
      // Those who are asked wait in line; who comes later may as well wait unasked.
      if (this.#queue.size < mwiAskedMax && !this.#isFull) this.#ask();
      this.#askAfter(this.#isFull ? mwiAskMs : mwiStartMs);
    });
  }

  /** One read for the next few of those who became registered. */
  #ask(): void {
    const { book, directory } = this.#core.options;
    const fresh = new Map<AccountId, number>();
    for (const [row, sinceMs] of this.#fresh) {
      if (fresh.size === mwiAskedMax) break;
      this.#fresh.delete(row);
      const accountId = book.accountId(row);
      if (book.rowOf(accountId) === row && book.secondsLeft(row) > 0 && this.#isOpen(accountId)) {
        fresh.set(accountId, sinceMs);
      }
    }
    if (fresh.size === 0) return;
    for (const accountId of directory.wantVoicemail([...fresh.keys()])) {
      this.#queue.set(accountId, (fresh.get(accountId) ?? 0) + mwiSettleMs);
    }
    this.#pace();
  }

  /** Whether the account's server has refused lately: nothing would be begun. */
  #isPaused(accountId: AccountId): boolean {
    const { book } = this.#core.options;
    const row = book.rowOf(accountId);
    const peer = row === undefined ? undefined : book.serverOf(row);
    const manners = peer === undefined ? undefined : this.#servers.get(peer);
    return manners !== undefined && this.#core.nowMs() + mwiSettleMs < manners.pausedUntilMs;
  }

  #pace(): void {
    const head = this.#queue.values().next().value;
    if (this.#pacer !== undefined || head === undefined) return;
    this.#pacer = this.#core.alarms.set(Math.max(head, this.#core.nowMs() + mwiStartMs), () => {
      this.#pacer = undefined;
      const [next] = this.#queue;
      if (next !== undefined && next[1] <= this.#core.nowMs()) {
        this.#queue.delete(next[0]);
        this.#begin(next[0]);
      }
      this.#pace();
    });
  }

  #begin(accountId: AccountId): void {
    const { book, random } = this.#core.options;
    const row = book.rowOf(accountId);
    if (row === undefined || book.secondsLeft(row) <= 0) return;
    const peer = book.serverOf(row);
    if (peer === undefined) return;
    const manners = this.#mannersOf(peer);
    if (this.#core.nowMs() < manners.pausedUntilMs) return;
    if (!manners.accepted && manners.probing) {
      this.#queue.set(accountId, this.#core.nowMs());
      return;
    }
    manners.probing = !manners.accepted;
    const { user, domain } = book.aor(row);
    const subscription: MwiSubscription = {
      accountId,
      peer,
      flow: this.#core.flows.toPeer(peer),
      callId: newTag(random) + newTag(random),
      localTag: newTag(random),
      address: `<sip:${user}@${domain}>`,
      remoteTag: "",
      target: `sip:${user}@${domain}`,
      routes: book.serviceRoute(row),
      cseq: 0,
      expiresSec: mwiExpiresSec,
      challenges: 0,
      established: false,
      refresh: undefined,
    };
    this.#subscriptions.set(accountId, subscription);
    this.#send(subscription, row, mwiExpiresSec, [], this.#responderOf(subscription));
  }

  #send(
    subscription: MwiSubscription,
    row: RegistrationIndex,
    expiresSec: number,
    lines: readonly string[],
    responder: Responder,
  ): void {
    const { flow, accountId, address, localTag, remoteTag } = subscription;
    const branch = this.#core.transactions.newBranch();
    const via = this.#core.viaToServer(flow, accountId, branch);
    if (via === undefined) return this.#lose(subscription);
    const bytes = writeOwnRequest(this.#core.writer, {
      method: Method.subscribe,
      uri: subscription.target,
      via,
      from: `${address};tag=${localTag}`,
      to: remoteTag === "" ? address : `${address};tag=${remoteTag}`,
      callId: subscription.callId,
      cseq: ++subscription.cseq,
      routes: subscription.routes,
      lines: [
        `Contact: <${this.#core.options.book.contactUri(row, flow.peer)}>`,
        "Event: message-summary",
        "Accept: application/simple-message-summary",
        `Expires: ${expiresSec}`,
        `User-Agent: ${this.#core.settings.userAgent}`,
        ...lines,
      ],
    });
    this.#core.sent({ record: undefined, accountId, deviceId: noDevice }, "server", bytes);
    this.#core.request(flow.hop, bytes, Method.subscribe, branch, responder);
  }

  #responderOf(subscription: MwiSubscription): Responder {
    return {
      onResponse: (tx, view, source) => this.#onResponse(subscription, tx, view, source),
      onFailure: () => {
        if (!subscription.established) this.#refused(subscription.peer, true);
        this.#lose(subscription);
      },
    };
  }

  #onResponse(subscription: MwiSubscription, tx: ClientTransaction, view: SipView, source: Source | undefined): void {
    const { accountId, peer } = subscription;
    this.#core.received({ record: undefined, accountId, deviceId: noDevice }, "server", view);
    if (view.status < 200 || this.#subscriptions.get(accountId) !== subscription) return;
    if (view.status < 300) return this.#accepted(subscription, view);
    const row = this.#core.rowOf(accountId);
    if (row === undefined) return this.#lose(subscription);
    if (
      (view.status === 401 || view.status === 407) &&
      source !== undefined &&
      ++subscription.challenges <= challengesMax
    ) {
      const uri = tx.request.requestUri();
      const line = this.#core.options.book.authorize(row, view, source, "SUBSCRIBE", uri);
      if (line !== undefined) {
        return this.#send(subscription, row, subscription.expiresSec, [line], this.#responderOf(subscription));
      }
    }
    const minExpiresSec = readNumber(view, Header.minExpires);
    if (view.status === 423 && minExpiresSec > subscription.expiresSec && minExpiresSec <= 86_400) {
      subscription.expiresSec = minExpiresSec;
      return this.#send(subscription, row, minExpiresSec, [], this.#responderOf(subscription));
    }
    const wasEstablished = subscription.established;
    this.#lose(subscription);
    // RFC 6665 §4.1.2.2: the server has forgotten it; a new one may be asked for.
    if (wasEstablished && view.status === 481) this.#consider(accountId);
    else if (!wasEstablished) this.#refused(peer, serverRefusals.has(view.status));
  }

  #accepted(subscription: MwiSubscription, view: SipView): void {
    const manners = this.#mannersOf(subscription.peer);
    manners.accepted = true;
    manners.probing = false;
    manners.refusals = 0;
    subscription.challenges = 0;
    if (!subscription.established) {
      subscription.established = true;
      subscription.remoteTag = tagOf(view, Header.to) ?? "";
      subscription.target = targetOf(view) ?? subscription.target;
      subscription.routes = routeSetOf(view);
    }
    const granted = readNumber(view, Header.expires);
    this.#armRefresh(subscription, granted > 0 ? granted : subscription.expiresSec);
  }

  #armRefresh(subscription: MwiSubscription, grantedSec: number): void {
    this.#core.alarms.clear(subscription.refresh);
    const share = 0.8 + this.#core.options.random.next() * 0.1;
    subscription.refresh = this.#core.alarms.set(
      this.#core.nowMs() + Math.max(Math.min(grantedSec, 86_400) * share, 30) * 1_000,
      () => this.#onRefresh(subscription),
    );
  }

  #onRefresh(subscription: MwiSubscription): void {
    const row = this.#core.rowOf(subscription.accountId);
    if (row === undefined) return this.#lose(subscription);
    if (!this.#isWanted(subscription.accountId)) return this.#end(subscription.accountId);
    this.#send(subscription, row, subscription.expiresSec, [], this.#responderOf(subscription));
  }

  #onState(subscription: MwiSubscription, view: SipView): void {
    const state = view.value(Header.subscriptionState) ?? "";
    if (!/^terminated\b/i.test(state)) return;
    this.#lose(subscription);
    // RFC 6665 §4.1.3: these say that asking again makes sense.
    if (/reason\s*=\s*"?(deactivated|timeout|probation)/i.test(state)) this.#consider(subscription.accountId);
  }

  /** Takes the subscription back at the server. */
  #end(accountId: AccountId): void {
    const subscription = this.#subscriptions.get(accountId);
    if (subscription === undefined) return;
    this.#lose(subscription);
    const row = this.#core.rowOf(accountId);
    if (row !== undefined && subscription.established) this.#send(subscription, row, 0, [], indifferent);
  }

  #lose(subscription: MwiSubscription): void {
    this.#core.alarms.clear(subscription.refresh);
    if (!subscription.established) this.#mannersOf(subscription.peer).probing = false;
    if (this.#subscriptions.get(subscription.accountId) === subscription) {
      this.#subscriptions.delete(subscription.accountId);
    }
  }

  #mannersOf(peer: PeerId): ServerManners {
    let manners = this.#servers.get(peer);
    if (manners === undefined) {
      manners = { accepted: false, probing: false, refusals: 0, pausedUntilMs: 0 };
      this.#servers.set(peer, manners);
    }
    return manners;
  }

  #refused(peer: PeerId, forAll: boolean): void {
    const manners = this.#mannersOf(peer);
    manners.probing = false;
    if (manners.accepted && !forAll) return;
    manners.refusals++;
    if (!forAll && manners.refusals < mwiRefusalsMax) return;
    manners.refusals = 0;
    manners.accepted = false;
    manners.pausedUntilMs = this.#core.nowMs() + mwiServerPauseMs;
  }
}
