import type { AccountId, CallUuid, DeviceId, RegistrationIndex, TunnelId } from "../base/ids.ts";
import type { ConnectionId, PeerId, Source } from "../net/network.ts";
import { Method } from "../sip/message/method.ts";
import type { SipView } from "../sip/message/view.ts";
import type { ServerTransaction } from "../sip/transaction/transactions.ts";
import type { CallSummary, Command, LadderEntry } from "../workers/protocol.ts";
import { summaryOf } from "./call-book.ts";
import { errandOf, type Cancellable } from "./core.ts";
import { DeviceLink } from "./device-link.ts";
import { FromNetwork, type Accept, type Receive } from "./from-network.ts";
import { FromTunnel, tunnelSource } from "./from-tunnel.ts";
import { owedRepeatsMax } from "./limits.ts";
import type { AnchorOptions } from "./options.ts";
import { makeParts, type Parts } from "./parts.ts";

export type { AnchorOptions, AnchorSettings, Uplink } from "./options.ts";

function udpSource(address: string, port: number): Source {
  return { transport: "udp", address, port, connection: 0 as ConnectionId };
}

/** How much of each kind is held: for tests of what is left behind, and for a shard's summary. */
export interface AnchorSizes {
  readonly transactions: number;
  readonly dialogs: number;
  /** Answers that we repeat in a phone's place. */
  readonly repeats: number;
  /** Phones with a request of their own under way. */
  readonly asking: number;
  readonly inboundCalls: number;
  readonly outbound: number;
  readonly messages: number;
  readonly links: number;
  readonly alarms: number;
  readonly mwi: number;
}

/**
 * The call side of a shard: a transparent relay between the accounts' servers and their phones (docs/relay.md). The phone sees the
 * real far end; the far end sees one plain UA. Pure: what it wants goes out through Network and Uplink, time comes with `tick`.
 *
 * The doors (`FromNetwork`, `FromTunnel`) decide whose a message is, the parts behind them do the work; this class joins them
 * to the transactions.
 */
export class Anchor {
  readonly #parts: Parts;
  readonly #fromNetwork: FromNetwork;
  readonly #fromTunnel: FromTunnel;
  /** Set while a request is with the transactions: what becomes of it if it is no repetition. */
  #accept: Accept | undefined;
  /** Set while a response is with the transactions: where it came from; undefined for tunnels. */
  #responseSource: Source | undefined;

  constructor(options: AnchorOptions) {
    this.#parts = makeParts(options, {
      onRequest: (tx, view) => {
        const accept = this.#accept;
        this.#accept = undefined;
        accept?.(tx, view);
      },
      onAck: (view, source) => {
        if (source.address === tunnelSource.address) this.#fromTunnel.onAck(view);
        else this.#fromNetwork.onAck(view, source);
      },
      onCancel: (invite: ServerTransaction, view: SipView) => (invite.data as Cancellable | undefined)?.onCancel(view),
      onResponse: (tx, view) => {
        if (view.status >= 200) this.#parts.core.settled(tx);
        errandOf(tx).responder.onResponse(tx, view, this.#responseSource);
      },
      onFailure: (tx, cause) => {
        this.#parts.core.settled(tx);
        const { hop, responder, repeats } = errandOf(tx);
        // The end of a call is owed to a phone for as long as it may come back: it would ring, or talk to nobody.
        const isEnd = tx.method === Method.bye || tx.method === Method.cancel;
        if (isEnd && hop instanceof DeviceLink && repeats < owedRepeatsMax) hop.owe(tx);
        responder.onFailure(tx, cause);
      },
      onAckTimeout: () => {},
    });
    const receive: Receive = (view, source, hop, scope, accept) => {
      this.#accept = accept;
      this.#parts.core.transactions.receiveRequest(view, source, hop, scope);
      this.#accept = undefined;
    };
    this.#fromNetwork = new FromNetwork(this.#parts, receive);
    this.#fromTunnel = new FromTunnel(this.#parts, receive, (view) => this.#receiveResponse(view, undefined));
  }

  // ---- the network

  /** A request, scanned, well or not: what cannot be worked on is refused without state. The view is valid during the call. */
  onRequest(view: SipView, source: Source): void {
    this.#fromNetwork.onRequest(view, source);
  }

  /** A valid response that is not the keeper's. */
  onResponse(view: SipView, source: Source): void {
    if (!this.#receiveResponse(view, source)) this.#parts.core.count("unmatchedDropped");
  }

  /** The server of an account is known now, or is another. */
  onServerKnown(row: RegistrationIndex): void {
    this.#parts.outbound.onServerKnown(this.#parts.core.options.book.accountId(row));
  }

  /** An account became registered, or is no longer: begins or ends its MWI subscription. */
  onRegistration(accountId: AccountId, registered: boolean): void {
    this.#parts.mwi.onRegistration(accountId, registered);
  }

  /**
   * A connection broke or a UDP peer is unreachable. What waits for an answer on a connection is sent once more on a new one: the server
   * may have closed an idle one at that moment. The second time it has failed.
   */
  onPeerDown(peer: PeerId, _reason: string): void {
    const { core } = this.#parts;
    const hop = core.flows.hop(peer);
    hop.downAtMs = core.nowMs();
    const isLost = !hop.reliable || (hop.refuge !== undefined && !core.flows.isLargeStill(hop));
    if (isLost || [...hop.pending].some((tx) => errandOf(tx).retried)) core.hopFailed(hop);
    else core.retry(hop);
  }

  // ---- the tunnels

  /** One frame of a phone; `last`: no other shard is left to ask. */
  onFrame(tunnelId: TunnelId, bytes: Uint8Array, last: boolean): void {
    this.#fromTunnel.onFrame(tunnelId, bytes, last);
  }

  /**
   * A device has opened a tunnel, or the accounts behind an open one have changed. First what is owed to it: requests without a final
   * answer again, held frames in order; then calls and messages that wait.
   */
  tunnelOpened(command: Extract<Command, { kind: "tunnelOpened" }>): void {
    const { core, inbound, messages, relay } = this.#parts;
    const { tunnelId, deviceId, accounts } = command;
    const isKnown = core.links.ofTunnel(tunnelId) !== undefined;
    const link = core.links.open(deviceId, tunnelId, accounts, core.nowMs());
    if (!isKnown) {
      relay.onTunnel(link);
      for (const tx of link.takeInterrupted()) core.transactions.rebind(tx, link);
      link.release();
      for (const tx of link.takeOwed()) core.repeat(link, tx);
    }
    inbound.onTunnel(link, command.ticketCall, command.voip);
    messages.onTunnel(link);
  }

  tunnelClosed(tunnelId: TunnelId): void {
    const { core, inbound, lost } = this.#parts;
    const link = core.links.close(tunnelId, core.nowMs());
    if (link === undefined) return;
    inbound.onTunnelClosed(link);
    lost.onClosed(link);
  }

  /** A provider's answer to the wake of a device. */
  onDelivery(delivery: Extract<Command, { kind: "delivery" }>): void {
    this.#parts.inbound.onDelivery(delivery);
  }

  /** Answers what came to the shard's last life, which has left it behind. */
  lastAnswer({ address, port, text }: Extract<Command, { kind: "lastAnswer" }>): void {
    this.#parts.core.options.network.reply(udpSource(address, port), Buffer.from(text, "latin1"));
  }

  /** The device is no longer the account's: it is not rung for it, and may not speak for it. Running calls go on. */
  subscriptionRemoved(accountId: AccountId, deviceId: DeviceId): void {
    const { core, inbound, mwi } = this.#parts;
    inbound.subscriptionRemoved(accountId, deviceId);
    core.links.find(deviceId)?.removeAccount(accountId);
    mwi.subscriptionRemoved(accountId);
  }

  /** The account is about to go, with its row: what we hold for it at its server goes first. */
  accountRemoved(accountId: AccountId): void {
    this.#parts.mwi.accountRemoved(accountId);
  }

  // ---- the operator

  calls(): CallSummary[] {
    return this.#parts.core.calls.summaries();
  }

  call(call: CallUuid): { readonly summary: CallSummary; readonly ladder: readonly LadderEntry[] } | undefined {
    const record = this.#parts.core.calls.find(call);
    return record === undefined ? undefined : { summary: summaryOf(record), ladder: record.ladder.entries };
  }

  /** Until `untilMs` (Unix ms) every message of the account goes upward as `ladder`. */
  traceStart(accountId: AccountId, untilMs: number): void {
    this.#parts.core.recorder.trace(accountId, untilMs);
  }

  /** Whether any account is traced. */
  get isTracing(): boolean {
    return this.#parts.core.recorder.isTracing;
  }

  isTraced(accountId: AccountId): boolean {
    return this.#parts.core.recorder.isTraced(accountId);
  }

  /** A REGISTER of the keeper's, or its answer, for the account's trace. */
  registering(accountId: AccountId, isOurs: boolean, view: SipView): void {
    const { recorder } = this.#parts.core;
    recorder.message(undefined, accountId, isOurs ? "wakeline" : "server", isOurs ? "server" : "wakeline", view);
  }

  /** New calls are answered 503 from now on. */
  drain(): void {
    this.#parts.inbound.drain();
    this.#parts.outbound.drain();
  }

  /** The shard is about to end: nothing is left to ring. Calls that were answered go on without us. */
  giveUp(): void {
    const { inbound, outbound, relay } = this.#parts;
    inbound.giveUp();
    outbound.giveUp();
    relay.giveUp();
  }

  /** Calls that have not ended. */
  get running(): number {
    return this.#parts.core.calls.running;
  }

  sizes(): AnchorSizes {
    const { core, inbound, outbound, messages, mwi, relay } = this.#parts;
    return {
      transactions: core.transactions.size,
      dialogs: core.dialogs.size,
      repeats: core.repeats.size,
      asking: relay.size,
      inboundCalls: inbound.size,
      outbound: outbound.size,
      messages: messages.size,
      links: core.links.size,
      alarms: core.alarms.size,
      mwi: mwi.size,
    };
  }

  tick(nowMs: number): void {
    const { core } = this.#parts;
    for (const hop of core.flows.takeFailed()) core.hopFailed(hop);
    core.transactions.tick(nowMs);
    core.alarms.advance(nowMs);
  }

  #receiveResponse(view: SipView, source: Source | undefined): boolean {
    this.#responseSource = source;
    const tx = this.#parts.core.transactions.receiveResponse(view);
    this.#responseSource = undefined;
    return tx !== undefined;
  }
}
