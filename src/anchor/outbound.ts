import type { AccountId, RegistrationIndex } from "../base/ids.ts";
import { Header } from "../sip/message/header.ts";
import { Method } from "../sip/message/method.ts";
import { addressOf, tagOf } from "../sip/message/read-address.ts";
import type { SipView } from "../sip/message/view.ts";
import type { ServerTransaction } from "../sip/transaction/transactions.ts";
import { parseUriText, unescapeUser } from "../sip/uri.ts";
import type { Alarm } from "./alarms.ts";
import { PhoneAsker } from "./asker.ts";
import type { CallRecord, Refusal } from "./call-book.ts";
import { callerOf } from "./caller.ts";
import { newTag } from "./call-uuid.ts";
import type { Belonging, Core } from "./core.ts";
import type { DeviceLink } from "./device-link.ts";
import type { Dialog } from "./dialog.ts";
import type { DialogLife, DialogMaking } from "./dialog-life.ts";
import type { Flow } from "./flow.ts";
import { challengedKeptMs, dialogsPerCallMax, pendingPerDeviceMax, routeRetryMs, serverUnknownMs } from "./limits.ts";
import { RelayedRequest, type Relay } from "./relay.ts";
import { hopsLeft, requestToServer } from "./rewriting.ts";

/** A request that waits for its server's address. */
interface Pending {
  readonly accountId: AccountId;
  readonly link: DeviceLink;
  readonly asker: PhoneAsker;
  readonly untilMs: number;
  retry: Alarm | undefined;
}

/** A call whose INVITE was challenged: the phone tries again under the same Call-ID and From-tag. */
interface Challenged {
  readonly record: CallRecord;
  readonly fromTag: string;
  readonly end: Alarm;
}

/** A request of a phone that may still make dialogs: its NOTIFY may come before its answer. */
interface Seed {
  readonly making: DialogMaking;
  readonly deviceTag: string;
  record: CallRecord | undefined;
  dialogs: number;
}

/**
 * Requests of phones outside dialogs: calls, messages, subscriptions. They go to the account's own server, whatever their Route or
 * Request-URI say (design rule 3), so a phone can send us nowhere.
 */
export class Outbound {
  readonly #core: Core;
  readonly #life: DialogLife;
  readonly #relay: Relay;
  readonly #pending = new Set<Pending>();
  /** By Call-ID. */
  readonly #seeds = new Map<string, Set<Seed>>();
  /** By Call-ID. */
  readonly #challenged = new Map<string, Challenged>();
  #isDraining = false;

  constructor(core: Core, life: DialogLife, relay: Relay) {
    this.#core = core;
    this.#life = life;
    this.#relay = relay;
  }

  /** Requests that wait for an address, and those that may still make dialogs. */
  get size(): number {
    return this.#pending.size + this.#seeds.size + this.#challenged.size;
  }

  drain(): void {
    this.#isDraining = true;
  }

  /** What waits for its server's address waits no longer. */
  giveUp(): void {
    for (const pending of this.#pending) this.#giveUp(pending, 503, "Service Unavailable");
  }

  /** The account of the device that a request says it is from (or to): user as written or escaped, host without case. */
  accountOf(
    view: SipView,
    link: DeviceLink,
    header: typeof Header.from | typeof Header.to = Header.from,
  ): RegistrationIndex | undefined {
    const uri = parseUriText(addressOf(view, header)?.uri ?? "");
    if (uri === undefined || (uri.scheme !== "sip" && uri.scheme !== "sips")) return undefined;
    const user = unescapeUser(uri.user ?? "");
    const { book } = this.#core.options;
    for (const accountId of link.accounts) {
      const row = book.rowOf(accountId);
      if (row === undefined) continue;
      const { user: ownUser, domain } = book.aor(row);
      const own = parseUriText(`sip:${ownUser}@${domain}`);
      if (own?.host === uri.host && unescapeUser(own.user ?? "") === user) return row;
    }
    return undefined;
  }

  /** Whether a request of the phone with this branch has no final answer: what a CANCEL may be about. */
  isAsking(link: DeviceLink, branch: string): boolean {
    for (const pending of this.#pending) if (pending.link === link && pending.asker.tx.branch === branch) return true;
    return this.#relay.asking(link).some((relayed) => relayed.asker.tx.branch === branch);
  }

  /** A request without To-tag whose From is the account's. */
  onRequest(tx: ServerTransaction, view: SipView, link: DeviceLink, row: RegistrationIndex): void {
    const accountId = this.#core.options.book.accountId(row);
    const isInvite = view.method === Method.invite;
    const again = isInvite ? this.#takeChallenged(view, accountId, link) : undefined;
    const refusal = this.#refusal(view, link, accountId, again !== undefined);
    const record = again ?? (isInvite && refusal === undefined ? this.#openCall(view, accountId, link) : undefined);
    const belonging: Belonging = { record, accountId, deviceId: link.deviceId };
    this.#core.received(belonging, "device", view);
    const asker = new PhoneAsker(this.#core, tx, belonging);
    if (refusal !== undefined) {
      asker.answer(refusal.status, refusal.reason, { toTag: newTag(this.#core.options.random) });
      if (record !== undefined) this.#core.calls.end(record, "ended");
      return;
    }
    if (isInvite) asker.answer(100, "Trying");
    const pending: Pending = {
      accountId,
      link,
      asker,
      untilMs: this.#core.nowMs() + serverUnknownMs,
      retry: undefined,
    };
    this.#pending.add(pending);
    // Until it is on its way its CANCEL ends it here.
    tx.data = { onCancel: () => this.#giveUp(pending, 487, "Request Terminated") };
    this.#try(pending);
  }

  /** The account's server is known now. */
  onServerKnown(accountId: AccountId): void {
    for (const pending of this.#pending) if (pending.accountId === accountId) this.#try(pending);
  }

  /**
   * The dialog that a NOTIFY from the server makes, when it answers a SUBSCRIBE or REFER of a phone before the response does
   * (RFC 6665 §4.4.1).
   */
  dialogOfNotify(notify: SipView, accountId: AccountId): Dialog | undefined {
    const toTag = tagOf(notify, Header.to);
    for (const seed of this.#seeds.get(notify.value(Header.callId) ?? "") ?? []) {
      const { making } = seed;
      if (seed.deviceTag !== toTag || making.accountId !== accountId) continue;
      if (making.request.method !== Method.subscribe && making.request.method !== Method.refer) continue;
      if (++seed.dialogs > dialogsPerCallMax) return undefined;
      return this.#life.fromNotify(making, notify);
    }
    return undefined;
  }

  #openCall(view: SipView, accountId: AccountId, link: DeviceLink): CallRecord {
    this.#core.count("callsOutbound");
    const caller = callerOf(view, false);
    const record = this.#core.calls.open(accountId, view.value(Header.callId) ?? "", "outbound", caller);
    record.devices.push(link.deviceId);
    return record;
  }

  #takeChallenged(view: SipView, accountId: AccountId, link: DeviceLink): CallRecord | undefined {
    const callId = view.value(Header.callId) ?? "";
    const challenged = this.#challenged.get(callId);
    if (challenged === undefined || challenged.fromTag !== tagOf(view, Header.from)) return undefined;
    const { record, end } = challenged;
    if (record.accountId !== accountId || !record.devices.includes(link.deviceId)) return undefined;
    this.#core.alarms.clear(end);
    this.#challenged.delete(callId);
    return record;
  }

  #refusal(view: SipView, link: DeviceLink, accountId: AccountId, isOpen: boolean): Refusal | undefined {
    if (hopsLeft(view) < 0) return { status: 483, reason: "Too Many Hops" };
    if (!this.#relay.mayAsk(link)) return { status: 503, reason: "Service Unavailable" };
    const waiting = [...this.#pending].filter((pending) => pending.link === link).length;
    if (waiting >= pendingPerDeviceMax) return { status: 503, reason: "Service Unavailable" };
    if (view.method !== Method.invite) return undefined;
    if (isOpen) return undefined;
    if (this.#isDraining) return { status: 503, reason: "Service Unavailable" };
    return this.#core.calls.refusal(accountId);
  }

  #try(pending: Pending): void {
    const { book } = this.#core.options;
    this.#core.alarms.clear(pending.retry);
    const row = book.rowOf(pending.accountId);
    if (row === undefined) return this.#giveUp(pending, 404, "Not Found");
    const server = book.serverOf(row);
    const flow = server === undefined ? undefined : this.#core.flows.toPeer(server);
    const branch = this.#core.transactions.newBranch();
    const via = flow === undefined ? undefined : this.#core.viaToServer(flow, pending.accountId, branch);
    if (flow !== undefined && via !== undefined) return this.#send(pending, row, flow, via, branch);
    const now = this.#core.nowMs();
    if (now >= pending.untilMs) return this.#giveUp(pending, 503, "Service Unavailable");
    // A server that is looked up is told of by `onServerKnown`; a route is not.
    const nextMs = server === undefined ? pending.untilMs : now + routeRetryMs;
    pending.retry = this.#core.alarms.set(Math.min(nextMs, pending.untilMs), () => this.#try(pending));
  }

  #giveUp(pending: Pending, status: number, reason: string): void {
    if (!this.#pending.delete(pending)) return;
    this.#core.alarms.clear(pending.retry);
    pending.asker.answer(status, reason, { toTag: newTag(this.#core.options.random) });
    const { record } = pending.asker.belonging;
    if (record !== undefined) this.#core.calls.end(record, status === 487 ? "cancelled" : "ended");
  }

  #send(pending: Pending, row: RegistrationIndex, flow: Flow, via: string, branch: string): void {
    this.#pending.delete(pending);
    const { asker, link, accountId } = pending;
    const { book } = this.#core.options;
    const { request } = asker.tx;
    const contact = `<${book.contactUri(row, flow.peer)}>`;
    const seed = this.#seed(asker, request, link, contact, flow);
    const relayed = this.#relay.track(
      link,
      (done) =>
        new RelayedRequest(
          this.#core,
          asker,
          (response) => this.#onResponse(seed, response),
          () => {
            done();
            this.#onDone(seed, asker);
          },
        ),
    );
    const bytes = requestToServer(this.#core.writer, request, { via, contact, routes: book.serviceRoute(row) });
    this.#core.sent({ record: seed.record, accountId, deviceId: link.deviceId }, "server", bytes);
    relayed.start(this.#core.request(flow.hop, bytes, request.method, branch, relayed));
  }

  #seed(asker: PhoneAsker, request: SipView, link: DeviceLink, contact: string, flow: Flow): Seed {
    const { record, accountId } = asker.belonging;
    const seed: Seed = {
      making: { accountId, deviceId: link.deviceId, record, contact, flow, direction: "toServer", request },
      deviceTag: tagOf(request, Header.from) ?? "",
      record,
      dialogs: 0,
    };
    const callId = request.value(Header.callId) ?? "";
    const seeds = this.#seeds.get(callId) ?? new Set();
    seeds.add(seed);
    this.#seeds.set(callId, seeds);
    return seed;
  }

  #onResponse(seed: Seed, view: SipView): void {
    const { request } = seed.making;
    const { status } = view;
    const isInvite = request.method === Method.invite;
    const forms = isInvite || request.method === Method.subscribe || request.method === Method.refer;
    if (!forms || status >= 300) return;
    const known = seed.dialogs < dialogsPerCallMax || status >= 200;
    const dialog = known ? this.#life.fromResponse(seed.making, view) : undefined;
    if (dialog === undefined) return;
    seed.dialogs++;
    if (status < 200) return;
    if (!isInvite) {
      this.#life.subscribe(dialog, request, view);
      return;
    }
    if (!dialog.confirmed) this.#life.confirm(dialog);
    if (seed.record !== undefined) this.#core.calls.answered(seed.record, dialog.deviceId);
  }

  /** The request has its final answer, or never will. */
  #onDone(seed: Seed, asker: PhoneAsker): void {
    const callId = seed.making.request.value(Header.callId) ?? "";
    const seeds = this.#seeds.get(callId);
    seeds?.delete(seed);
    if (seeds?.size === 0) this.#seeds.delete(callId);
    const { record } = seed;
    if (record === undefined) return;
    let isAnswered = false;
    for (const dialog of this.#core.dialogs.ofCallId(callId) ?? []) {
      if (dialog.record !== record) continue;
      if (dialog.confirmed) isAnswered = true;
      else this.#life.drop(dialog);
    }
    if (isAnswered) return;
    const { finalStatus } = asker;
    if (finalStatus === 401 || finalStatus === 407) this.#keepChallenged(callId, seed.deviceTag, record);
    else this.#core.calls.end(record, finalStatus === 487 ? "cancelled" : "ended");
  }

  #keepChallenged(callId: string, fromTag: string, record: CallRecord): void {
    const before = this.#challenged.get(callId);
    if (before !== undefined) {
      this.#core.alarms.clear(before.end);
      this.#core.calls.end(before.record, "ended");
    }
    const end = this.#core.alarms.set(this.#core.nowMs() + challengedKeptMs, () => {
      this.#challenged.delete(callId);
      this.#core.calls.end(record, "ended");
    });
    this.#challenged.set(callId, { record, fromTag, end });
  }
}
