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
  mwiSettleMs,
  mwiStartMs,
  mwiSubscriptionsMax,
} from "./limits.ts";
import { MwiServers } from "./mwi-servers.ts";
import { indifferent, writeOwnRequest } from "./own-requests.ts";
import { VoicemailNews } from "./voicemail-news.ts";

const noDevice = "" as DeviceId;
const challengesMax = 2;

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
  readonly #servers: MwiServers;
  readonly #news: VoicemailNews;
  #pacer: Alarm | undefined;
  #asker: Alarm | undefined;

  constructor(core: Core) {
    this.#core = core;
    this.#servers = new MwiServers(() => core.nowMs());
    this.#news = new VoicemailNews(core);
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
    this.#news.forget(accountId);
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
      this.#news.copyToTunnels(view, accountId, row);
    }
    this.#news.tell(view, accountId, isRelayed);
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
    return peer !== undefined && this.#servers.isPaused(peer, mwiSettleMs);
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
    if (this.#servers.isPaused(peer, 0)) return;
    if (!this.#servers.begin(peer)) {
      this.#queue.set(accountId, this.#core.nowMs());
      return;
    }
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
        if (!subscription.established) this.#servers.failed(subscription.peer);
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
    else if (!wasEstablished) this.#servers.refused(peer, view.status);
  }

  #accepted(subscription: MwiSubscription, view: SipView): void {
    this.#servers.accepted(subscription.peer);
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
    if (!subscription.established) this.#servers.letGo(subscription.peer);
    if (this.#subscriptions.get(subscription.accountId) === subscription) {
      this.#subscriptions.delete(subscription.accountId);
    }
  }
}
