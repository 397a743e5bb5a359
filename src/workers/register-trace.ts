import type { AccountId } from "../base/ids.ts";
import type { Endpoint, LocalAddress, Network, PeerId, SendOutcome, Source } from "../net/network.ts";
import { Header } from "../sip/message/header.ts";
import { Method } from "../sip/message/method.ts";
import { topBranch } from "../sip/message/read-via.ts";
import { scan, ScanResult } from "../sip/message/scan.ts";
import { MessageKind, SipView } from "../sip/message/view.ts";

/** REGISTERs of traced accounts whose answers are awaited; the oldest goes first. */
const awaitedMax = 256;

/** What the trace asks and tells. */
export interface TraceSink {
  /** Whether any account is traced: while none is, nothing is looked at. */
  readonly isTracing: boolean;
  /** The account that our REGISTER with this branch is for, when it is traced. */
  tracedAccountOf(branch: string): AccountId | undefined;
  /** Writes a message down, masked. */
  registering(accountId: AccountId, isOurs: boolean, view: SipView): void;
}

/**
 * The network as the keeper sees it, with an eye on the REGISTERs of traced accounts (operator's `trace`): the registrations
 * themselves know nothing of it and keep no message.
 */
export class RegisterTrace implements Network {
  readonly #network: Network;
  readonly #sink: TraceSink;
  readonly #view = new SipView();
  /** By Call-ID. */
  readonly #awaited = new Map<string, AccountId>();

  constructor(network: Network, sink: TraceSink) {
    this.#network = network;
    this.#sink = sink;
  }

  /** A response that came, before the keeper has it: what it sends in answer comes after. */
  onResponse(bytes: Uint8Array, from: number, to: number): void {
    if (!this.#sink.isTracing || this.#awaited.size === 0) return;
    const view = this.#view;
    if (scan(bytes, from, to, view) !== ScanResult.ok || view.kind !== MessageKind.response) return;
    const accountId = this.#awaited.get(view.value(Header.callId) ?? "");
    if (accountId !== undefined) this.#sink.registering(accountId, false, view);
  }

  queue(peer: PeerId, bytes: Uint8Array, from: number, to: number): void {
    if (this.#sink.isTracing) this.#onSent(bytes, from, to);
    this.#network.queue(peer, bytes, from, to);
  }

  send(peer: PeerId, bytes: Uint8Array): SendOutcome {
    if (this.#sink.isTracing) this.#onSent(bytes, 0, bytes.length);
    return this.#network.send(peer, bytes);
  }

  peer(endpoint: Endpoint): PeerId {
    return this.#network.peer(endpoint);
  }
  endpoint(peer: PeerId): Endpoint {
    return this.#network.endpoint(peer);
  }
  localAddress(peer: PeerId, natEmulation: boolean): LocalAddress | undefined {
    return this.#network.localAddress(peer, natEmulation);
  }
  flush(): void {
    this.#network.flush();
  }
  reply(source: Source, bytes: Uint8Array): SendOutcome {
    return this.#network.reply(source, bytes);
  }
  isFrom(peer: PeerId, source: Source): boolean {
    return this.#network.isFrom(peer, source);
  }
  keepAlive(peer: PeerId): void {
    this.#network.keepAlive(peer);
  }
  largeTransport(peer: PeerId): PeerId | undefined {
    return this.#network.largeTransport?.(peer);
  }
  close(): void {
    this.#network.close();
  }

  #onSent(bytes: Uint8Array, from: number, to: number): void {
    const view = this.#view;
    if (scan(bytes, from, to, view) !== ScanResult.ok || view.method !== Method.register) return;
    const accountId = this.#sink.tracedAccountOf(topBranch(view));
    if (accountId === undefined) return;
    const callId = view.value(Header.callId) ?? "";
    this.#awaited.delete(callId);
    this.#awaited.set(callId, accountId);
    if (this.#awaited.size > awaitedMax) {
      const oldest = this.#awaited.keys().next().value;
      if (oldest !== undefined) this.#awaited.delete(oldest);
    }
    this.#sink.registering(accountId, true, view);
  }
}
