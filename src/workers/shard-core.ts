import { Counter, type CounterName, type Lane } from "../observe/lanes.ts";
import type { Log } from "../observe/log.ts";
import { Anchor, type AnchorSettings, type AnchorSizes, type Uplink } from "../anchor/anchor.ts";
import { Keeper } from "../keeper/keeper.ts";
import type { Columns } from "../keeper/columns.ts";
import type { AccountId, RegistrationIndex } from "../base/ids.ts";
import type { Directory } from "../base/records.ts";
import type { Locator, Network, NetworkReceiver, PeerId, Source } from "../net/network.ts";
import type { ServerCertificate } from "../net/server-certificate.ts";
import { scan, ScanResult } from "../sip/message/scan.ts";
import { validateResponse } from "../sip/message/validate.ts";
import { MessageKind, SipView } from "../sip/message/view.ts";
import type { Clock } from "../time/clock.ts";
import type { Random } from "../time/random.ts";
import type { Command, Event } from "./protocol.ts";
import { RegisterTrace, type TraceSink } from "./register-trace.ts";

const frameBytesMax = 65_536;
const capitalS = 0x53;
const slash = 0x2f;

export interface ShardParts {
  readonly clock: Clock;
  readonly random: Random;
  readonly network: Network;
  readonly locator: Locator;
  readonly directory: Directory;
  readonly columns: Columns;
  readonly lane: Lane;
  readonly log: Log;
  readonly settings: AnchorSettings;
  /** Takes events upward; called at any time inside a datagram, command or tick. */
  readonly uplink: Uplink;
  /** Whether new calls are to be refused; absent: never. */
  readonly isOverloaded?: () => boolean;
}

/**
 * A whole shard without its thread and sockets: keeper and anchor behind one entry for each thing that can happen
 * (message, lost peer, command, tick). The worker gives it real sockets, the simulation virtual ones. Each entry is a
 * boundary: a throw is counted, logged and costs only the message, command or tick in hand.
 */
export class ShardCore implements NetworkReceiver {
  readonly #parts: ShardParts;
  readonly #keeper: Keeper;
  readonly #anchor: Anchor;
  readonly #registers: RegisterTrace;
  readonly #view = new SipView();
  readonly #frame = new Uint8Array(frameBytesMax);
  #drained = false;
  #draining = false;
  #drainUntilMs = 0;

  constructor(parts: ShardParts) {
    this.#parts = parts;
    const { clock, random, network, locator, directory, columns, lane, uplink, settings } = parts;
    this.#registers = new RegisterTrace(network, this.#traceSink());
    this.#keeper = new Keeper({
      clock,
      random,
      network: this.#registers,
      locator,
      directory,
      columns,
      lane,
      log: parts.log,
      userAgent: settings.userAgent,
      events: {
        onRegistration: (accountId: AccountId, isRegistered: boolean) =>
          this.#anchor.onRegistration(accountId, isRegistered),
        onChanged: (_row: RegistrationIndex, accountId: AccountId, status) =>
          uplink.emit({ kind: "registrationChanged", accountId, status }),
        onModeLearned: (accountId: AccountId, mode) => uplink.emit({ kind: "modeLearned", accountId, mode }),
        onPresenceDone: (requestId, pending, status) =>
          uplink.emit({ kind: "presenceDone", requestId, pending, status }),
        onRemoved: (requestId) => uplink.emit({ kind: "done", requestId }),
        onProof: (requestId, proof) => uplink.emit({ kind: "proof", requestId, ...proof }),
        onRefused: (accountId: AccountId, status: number, reason: string) =>
          this.#tellRefused(accountId, status, reason),
        onRealmChanged: (accountId: AccountId, registrar: string, realm: string) =>
          uplink.emit({ kind: "realmChanged", accountId, registrar, realm }),
        onServerKnown: (row: RegistrationIndex) => this.#anchor.onServerKnown(row),
      },
    });
    this.#anchor = new Anchor({
      clock,
      random,
      network,
      locator,
      book: this.#keeper,
      directory,
      uplink,
      lane,
      settings,
      ...(parts.isOverloaded === undefined ? {} : { isOverloaded: parts.isOverloaded }),
    });
  }

  /** Reconciles the columns with the directory; returns how many accounts the shard holds. */
  start(): number {
    return this.#keeper.start().accounts;
  }

  /** What the call side holds. */
  sizes(): AnchorSizes {
    return this.#anchor.sizes();
  }

  /** HOT for responses to REGISTER; see Keeper.onResponse. */
  onMessage(bytes: Uint8Array, from: number, to: number, source: Source): void {
    try {
      const isResponse = bytes[from] === capitalS && bytes[from + 3] === slash;
      if (isResponse) this.#registers.onResponse(bytes, from, to);
      if (isResponse && this.#keeper.onResponse(bytes, from, to, this.#view, source)) return;
      const result = scan(bytes, from, to, this.#view);
      if (this.#view.kind === MessageKind.response) {
        if (result !== ScanResult.ok || !validateResponse(this.#view)) this.#count("malformedDropped");
        else this.#anchor.onResponse(this.#view, source);
      } else {
        this.#anchor.onRequest(this.#view, source);
      }
    } catch (cause) {
      this.#fault("faultsDatagram", cause);
    }
  }

  onPeerDown(peer: PeerId, reason: string): void {
    try {
      this.#keeper.onPeerDown(peer, reason);
      this.#anchor.onPeerDown(peer, reason);
    } catch (cause) {
      this.#fault("faultsDatagram", cause);
    }
  }

  onServerCertificate(certificate: ServerCertificate): void {
    this.#parts.uplink.emit({ kind: "serverCertificate", certificate });
  }

  tick(nowMs: number): void {
    try {
      this.#keeper.tick(nowMs);
    } catch (cause) {
      this.#fault("faultsTick", cause);
    }
    try {
      this.#anchor.tick(nowMs);
    } catch (cause) {
      this.#fault("faultsTick", cause);
    }
    if (this.#draining && !this.#drained && nowMs >= this.#drainUntilMs) this.#giveUp();
    this.#parts.network.flush();
    if (this.#draining && !this.#drained && (this.#anchor.running === 0 || nowMs >= this.#drainUntilMs)) {
      this.#drained = true;
      this.#keeper.flushColumns(true);
      this.#parts.uplink.emit({ kind: "drained" });
    }
  }

  /** The time for draining is over: what has no answer yet gets one while we can still give it. */
  #giveUp(): void {
    try {
      this.#anchor.giveUp();
    } catch (cause) {
      this.#fault("faultsTick", cause);
    }
  }

  command(command: Command): void {
    try {
      this.#run(command);
    } catch (cause) {
      this.#fault("faultsCommand", cause);
    }
  }

  #run(command: Command): void {
    const keeper = this.#keeper;
    const anchor = this.#anchor;
    const emit = (event: Event) => this.#parts.uplink.emit(event);
    switch (command.kind) {
      case "accountChanged":
        return keeper.accountChanged(command.accountId, command.wanted);
      case "accountRemove":
        anchor.accountRemoved(command.accountId);
        return keeper.accountRemove(command.requestId, command.accountId);
      case "presence":
        return keeper.presence(command);
      case "prove":
        return keeper.prove(command);
      case "registrationQuery":
        return emit({ kind: "registration", requestId: command.requestId, status: keeper.status(command.accountId) });
      case "retryNow":
        return keeper.retryNow(command.accountId);
      case "registrarsQuery":
        return emit({ kind: "registrars", requestId: command.requestId, registrars: keeper.registrars() });
      case "troublesQuery":
        return emit({
          kind: "troubles",
          requestId: command.requestId,
          ...keeper.troubles(command.fromRow, command.most),
        });
      case "callsQuery":
        return emit({ kind: "calls", requestId: command.requestId, calls: anchor.calls() });
      case "callQuery": {
        const found = anchor.call(command.call);
        return emit({ kind: "call", requestId: command.requestId, call: found?.summary, ladder: found?.ladder ?? [] });
      }
      case "traceStart":
        return anchor.traceStart(command.accountId, command.untilMs);
      case "tunnelOpened":
        return anchor.tunnelOpened(command);
      case "tunnelClosed":
        return anchor.tunnelClosed(command.tunnelId);
      case "frame": {
        const { text } = command;
        if (text.length > frameBytesMax) return this.#count("malformedDropped");
        for (let at = 0; at < text.length; at++) this.#frame[at] = text.charCodeAt(at);
        return anchor.onFrame(command.tunnelId, this.#frame.subarray(0, text.length), command.last);
      }
      case "delivery":
        return anchor.onDelivery(command);
      case "lastAnswer":
        return anchor.lastAnswer(command);
      case "subscriptionRemoved":
        return anchor.subscriptionRemoved(command.accountId, command.deviceId);
      case "drain":
        this.#draining = true;
        this.#drainUntilMs = this.#parts.clock.nowMs() + command.drainMs;
        return anchor.drain();
      case "reload":
      case "ownSockets":
      case "stop":
        return; // the worker's own affair: sockets and thread
      default:
        return command satisfies never;
    }
  }

  /** Reads keeper and anchor when asked, which is after both are there. */
  #traceSink(): TraceSink {
    const isTracing = (): boolean => this.#anchor.isTracing;
    return {
      get isTracing() {
        return isTracing();
      },
      tracedAccountOf: (branch) => {
        const accountId = this.#keeper.accountOfBranch(branch);
        return accountId !== undefined && this.#anchor.isTraced(accountId) ? accountId : undefined;
      },
      registering: (accountId, isOurs, view) => this.#anchor.registering(accountId, isOurs, view),
    };
  }

  #tellRefused(accountId: AccountId, status: number, reason: string): void {
    const targets = this.#parts.directory
      .subscriptions(accountId)
      .filter((subscription) => subscription.wakeable)
      .map(({ deviceId, subscriptionId }) => ({ deviceId, subscriptionId }));
    if (targets.length === 0) return;
    this.#parts.uplink.emit({
      kind: "notify",
      push: "refused",
      accountId,
      targets,
      text: `${status} ${reason}`.trim(),
    });
  }

  #count(name: CounterName): void {
    this.#parts.lane.add(Counter[name], 1);
  }

  #fault(where: "faultsDatagram" | "faultsCommand" | "faultsTick", cause: unknown): void {
    this.#count(where);
    this.#parts.log.error("shard.fault", { where, cause });
  }
}
