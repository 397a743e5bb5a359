import type { AccountId, DeviceId, RegistrationIndex } from "../base/ids.ts";
import type { SubscriptionRecord } from "../base/records.ts";
import type { Source } from "../net/network.ts";
import { utf8Text, latin1 } from "../sip/message/chars.ts";
import { Header } from "../sip/message/header.ts";
import { Method } from "../sip/message/method.ts";
import type { SipView } from "../sip/message/view.ts";
import type { ClientTransaction, ServerTransaction } from "../sip/transaction/transactions.ts";
import type { Alarm } from "./alarms.ts";
import { ServerAsker } from "./asker.ts";
import { bestResponse } from "./best-response.ts";
import { callerOf } from "./caller.ts";
import { newCallUuid, newTag } from "./call-uuid.ts";
import type { Belonging, Core, Responder } from "./core.ts";
import type { DeviceLink } from "./device-link.ts";
import {
  messageAnswerMs,
  messageHoldMs,
  messagesPerAccountMax,
  messagesUnderWayMax,
  previewCharsMax,
} from "./limits.ts";
import { hopsLeft, requestToPhone } from "./rewriting.ts";

const noDevice = "" as DeviceId;

/** One text message and who has it. */
interface Held {
  readonly accountId: AccountId;
  readonly asker: ServerAsker;
  readonly aor: string;
  /** Devices that are to get it and have not. */
  readonly waiting: Set<DeviceId>;
  /** Devices that have it and have not answered. */
  readonly asked: Set<DeviceId>;
  readonly finals: SipView[];
  expiry: Alarm | undefined;
}

/**
 * MESSAGE outside calls (RFC 3428): to every open tunnel at once, to sleeping phones when their push brings them in time. A
 * 2xx is always a phone's own: we store nothing, so we promise nothing (§7: the sender then knows, and its server keeps the message).
 */
export class Messages {
  readonly #core: Core;
  readonly #held = new Set<Held>();
  readonly #perAccount = new Map<AccountId, Set<Held>>();

  constructor(core: Core) {
    this.#core = core;
  }

  get size(): number {
    return this.#held.size;
  }

  onMessage(tx: ServerTransaction, view: SipView, source: Source, row: RegistrationIndex): void {
    const { book, directory } = this.#core.options;
    const accountId = book.accountId(row);
    const belonging: Belonging = { record: undefined, accountId, deviceId: noDevice };
    this.#core.received(belonging, "server", view);
    const flow = this.#core.flows.toSource(source, book.serverOf(row));
    const asker = new ServerAsker(this.#core, tx, belonging, `<${book.contactUri(row, flow.peer)}>`);
    const toTag = newTag(this.#core.options.random);
    if (hopsLeft(view) < 0) return asker.answer(483, "Too Many Hops", { toTag });
    const { user, domain } = book.aor(row);
    const held: Held = {
      accountId,
      asker,
      aor: `${user}@${domain}`,
      waiting: new Set(),
      asked: new Set(),
      finals: [],
      expiry: undefined,
    };
    const open: DeviceLink[] = [];
    const asleep: SubscriptionRecord[] = [];
    for (const subscription of directory.subscriptions(accountId)) {
      const link = this.#core.links.find(subscription.deviceId);
      if (link?.serves(accountId) === true) open.push(link);
      else if (subscription.wakeable && subscription.notify.message) asleep.push(subscription);
    }
    const others = this.#perAccount.get(accountId) ?? new Set();
    const mayWait = [...others].filter((other) => other.waiting.size > 0).length < messagesPerAccountMax;
    const hasPlace = open.length > 0 || (asleep.length > 0 && mayWait);
    if (!hasPlace || others.size >= messagesUnderWayMax) {
      return asker.answer(480, "Temporarily Unavailable", { toTag });
    }
    for (const link of open) this.#deliver(held, link);
    if (mayWait && asleep.length > 0) this.#wake(held, view, asleep);
    this.#held.add(held);
    this.#perAccount.set(accountId, others.add(held));
    held.expiry = this.#core.alarms.set(this.#core.nowMs() + messageHoldMs, () => this.#onExpiry(held));
  }

  onTunnel(link: DeviceLink): void {
    for (const held of this.#held) {
      if (held.waiting.has(link.deviceId) && link.serves(held.accountId)) this.#deliver(held, link);
    }
  }

  #wake(held: Held, view: SipView, asleep: readonly SubscriptionRecord[]): void {
    const { clock, random, uplink } = this.#core.options;
    const wallMs = clock.wallMs();
    // One ticket for all, which the tunnels bind to; there is no call behind it.
    const call = newCallUuid(random, wallMs);
    const text = textOf(view);
    for (const preview of [true, false]) {
      const targets = asleep.filter((subscription) => subscription.notify.preview === preview);
      if (targets.length === 0) continue;
      for (const { deviceId } of targets) held.waiting.add(deviceId);
      uplink.emit({
        kind: "notify",
        push: "message",
        accountId: held.accountId,
        targets: targets.map(({ deviceId, subscriptionId }) => ({ deviceId, subscriptionId })),
        call,
        callId: view.value(Header.callId) ?? "",
        from: callerOf(view, true),
        ...(preview && text !== undefined ? { text } : {}),
        deadlineMs: wallMs + messageHoldMs,
      });
    }
  }

  #deliver(held: Held, link: DeviceLink): void {
    const { deviceId } = link;
    held.waiting.delete(deviceId);
    held.asked.add(deviceId);
    const uri = link.contacts.get(held.accountId) ?? `sip:${held.aor}`;
    const branch = this.#core.transactions.newBranch();
    const via = this.#core.viaToPhone(branch);
    const bytes = requestToPhone(this.#core.writer, held.asker.tx.request, via, uri);
    this.#core.sent({ record: undefined, accountId: held.accountId, deviceId }, "device", bytes);
    this.#core.request(link, bytes, Method.message, branch, this.#responderOf(held, deviceId));
  }

  #responderOf(held: Held, deviceId: DeviceId): Responder {
    return {
      onResponse: (_tx: ClientTransaction, view: SipView) => {
        this.#core.received({ record: undefined, accountId: held.accountId, deviceId }, "device", view);
        if (view.status < 200) return;
        held.asked.delete(deviceId);
        if (view.status < 300) {
          if (held.asker.finalStatus === 0) held.asker.pass(view);
        } else held.finals.push(view.keep());
        this.#settle(held);
      },
      onFailure: () => {
        held.asked.delete(deviceId);
        this.#settle(held);
      },
    };
  }

  #onExpiry(held: Held): void {
    held.waiting.clear();
    if (held.asked.size > 0 && held.asker.finalStatus === 0) {
      held.expiry = this.#core.alarms.set(this.#core.nowMs() + messageAnswerMs - messageHoldMs, () => {
        held.asked.clear();
        this.#settle(held);
      });
      return;
    }
    this.#settle(held);
  }

  #settle(held: Held): void {
    if (held.waiting.size > 0 || held.asked.size > 0 || !this.#held.has(held)) return;
    this.#held.delete(held);
    const others = this.#perAccount.get(held.accountId);
    others?.delete(held);
    if (others?.size === 0) this.#perAccount.delete(held.accountId);
    this.#core.alarms.clear(held.expiry);
    if (held.asker.finalStatus !== 0) return;
    const best = held.finals[bestResponse(held.finals.map((final) => final.status))];
    if (best !== undefined) held.asker.pass(best);
    else held.asker.answer(480, "Temporarily Unavailable", { toTag: newTag(this.#core.options.random) });
  }
}

/** The message in words, when it is plain text. */
function textOf(view: SipView): string | undefined {
  const type = view.value(Header.contentType) ?? "";
  if (!/^text\/plain\b/i.test(type) || view.find(Header.contentEncoding) >= 0) return undefined;
  const text = utf8Text(latin1(view.bytes, view.bodyFrom, view.bodyTo)).trim();
  return text === "" ? undefined : text.slice(0, previewCharsMax);
}
