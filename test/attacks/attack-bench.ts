import type { DeviceId, SubscriptionId, TunnelId } from "../../src/base/ids.ts";
import type { AccountRecord, Secret, SubscriptionRecord } from "../../src/base/records.ts";
import { columnsBytes, openColumns } from "../../src/keeper/columns.ts";
import type { Endpoint } from "../../src/net/network.ts";
import { Counter, type CounterName, Lane } from "../../src/observe/lanes.ts";
import { silentLog } from "../../src/observe/log.ts";
import type { Event } from "../../src/workers/protocol.ts";
import { ShardCore } from "../../src/workers/shard-core.ts";
import { SipText, sipText } from "../fakes/sip-text.ts";
import { SeededRandom, VirtualClock } from "../fakes/virtual-clock.ts";
import {
  fairWeather,
  type Passage,
  VirtualLocator,
  type VirtualServer,
  VirtualWire,
} from "../fakes/virtual-network.ts";
import { type RegistrarOptions, VirtualRegistrar } from "../fakes/virtual-registrar.ts";
import { accountOf, VirtualDirectory } from "../keeper/bench-shard.ts";

export const host = "198.51.100.7";
export const registrarAddress = "192.0.2.10";
export const strangerAddress = "203.0.113.66";
export const victimAddress = "203.0.113.99";
const deviceId = "device-1" as DeviceId;

class Directory extends VirtualDirectory {
  override subscriptions(): readonly SubscriptionRecord[] {
    return [...this.records.keys()].map((accountId) => ({
      subscriptionId: `sub-${accountId}` as SubscriptionId,
      accountId,
      deviceId,
      presence: "background",
      notify: { message: true, voicemail: false, missed: false, preview: false },
      wakeable: true,
    }));
  }
}

/** A whole shard with one account (u1) at its registrar, a stranger, and a third party that must never hear of us. */
export class AttackBench {
  readonly clock = new VirtualClock();
  readonly random = new SeededRandom(7);
  readonly wire = new VirtualWire(this.clock, this.random, fairWeather);
  readonly locator = new VirtualLocator();
  readonly directory = new Directory();
  readonly lane = new Lane(new ArrayBuffer(Lane.bytes(1)), 0);
  readonly registrar: VirtualRegistrar;
  readonly stranger: VirtualServer;
  readonly core: ShardCore;
  readonly account: AccountRecord;
  readonly events: Event[] = [];
  /** What left us, in order. */
  readonly sent: Passage[] = [];
  /** What the phone's tunnel got. */
  readonly frames: SipText[] = [];
  #tunnels = 0;
  #serial = 0;

  constructor(
    options: {
      readonly registrar?: RegistrarOptions;
      readonly endpoint?: Partial<Endpoint>;
      readonly account?: Partial<AccountRecord>;
      readonly secret?: Secret;
    } = {},
  ) {
    const endpoint: Endpoint = { transport: "udp", address: registrarAddress, port: 5060, ...options.endpoint };
    this.registrar = new VirtualRegistrar(this.wire, endpoint, options.registrar);
    this.stranger = this.wire.server({ transport: "udp", address: strangerAddress, port: 5060 }, () => undefined);
    this.wire.server({ transport: "udp", address: victimAddress, port: 5060 }, () => undefined);
    this.locator.set("virtual.test", [endpoint]);
    this.wire.onPassage = (passage) => {
      if (passage.from.startsWith(`${host}:`)) this.sent.push(passage);
    };
    const network = this.wire.host({ address: host, port: 5060, tlsPort: 5061 });
    this.core = new ShardCore({
      clock: this.clock,
      random: this.random,
      network,
      locator: this.locator,
      directory: this.directory,
      columns: openColumns(new ArrayBuffer(columnsBytes(64))),
      lane: this.lane,
      log: silentLog,
      uplink: { emit: (event) => this.#onEvent(event) },
      settings: { deadlineSec: 40, ring: "on_push", userAgent: "Wakeline", shard: 0 },
    });
    network.receiver = this.core;
    this.wire.addTicker((nowMs) => this.core.tick(nowMs));
    this.account = accountOf(1, options.account);
    this.directory.put(this.account, options.secret);
    this.core.start();
  }

  #onEvent(event: Event): void {
    if (event.kind === "frame") this.frames.push(new SipText(event.text));
    else this.events.push(event);
  }

  run(ms: number): void {
    this.wire.runFor(ms);
  }

  /** Until u1 is registered; returns the Contact that the registrar keeps. */
  registered(): string {
    this.run(3000);
    const contact = this.registrar.bindingsOf("u1")[0]?.uri;
    if (contact === undefined) throw new Error("not registered");
    this.sent.length = 0;
    return contact;
  }

  count(name: CounterName): number {
    return this.lane.get(Counter[name]);
  }

  get faults(): number {
    return this.count("faultsDatagram") + this.count("faultsCommand") + this.count("faultsTick");
  }

  get wakes(): number {
    return this.events.filter(({ kind }) => kind === "wake").length;
  }

  /** Messages that went to an address since the last `registered` or `forget`. */
  sentTo(address: string): SipText[] {
    return this.sent
      .filter(({ to }) => to.startsWith(`${address}:`))
      .map(({ bytes }) => new SipText(Buffer.from(bytes).toString("latin1")));
  }

  /** Addresses that anything of ours went to. */
  get destinations(): readonly string[] {
    return [...new Set(this.sent.map(({ to }) => to.slice(0, to.lastIndexOf(":"))))];
  }

  openTunnel(): TunnelId {
    const tunnelId = ++this.#tunnels as TunnelId;
    this.core.command({
      kind: "tunnelOpened",
      tunnelId,
      deviceId,
      accounts: [this.account.accountId],
      voip: false,
    });
    return tunnelId;
  }

  closeTunnel(tunnelId: TunnelId): void {
    this.core.command({ kind: "tunnelClosed", tunnelId });
  }

  frame(tunnelId: TunnelId, text: string): void {
    this.core.command({ kind: "frame", tunnelId, text, last: true });
  }

  /** A datagram from anywhere, its source as claimed. */
  inject(text: string, address: string, port = 5060): void {
    this.#inject(Buffer.from(text, "latin1"), address, port);
  }

  injectBytes(bytes: Uint8Array, address: string): void {
    this.#inject(bytes, address, 5060);
  }

  #inject(bytes: Uint8Array, address: string, port: number): void {
    this.core.onMessage(bytes, 0, bytes.length, { transport: "udp", address, port, connection: 0 as never });
  }

  /** A request as a stranger or a server would write it; `lines` replace what they name. */
  request(method: string, uri: string, lines: readonly string[] = [], from = strangerAddress): string {
    const n = ++this.#serial;
    const base = [
      `Via: SIP/2.0/UDP ${from}:5060;branch=z9hG4bKatk${n};rport`,
      "Max-Forwards: 70",
      `From: <sip:bob@far.example>;tag=far${n}`,
      "To: <sip:u1@virtual.test>",
      `Call-ID: atk-${n}@far.example`,
      `CSeq: 1 ${method}`,
      `Contact: <sip:bob@${from}:5060>`,
    ];
    const named = (line: string): string => line.slice(0, line.indexOf(":")).toLowerCase();
    const names = new Set(lines.map(named));
    return sipText(`${method} ${uri} SIP/2.0`, [...base.filter((line) => !names.has(named(line))), ...lines]);
  }
}

/** An answer of a phone or server to a request; `lines` are added. */
export function answerTo(request: SipText, status: number, lines: readonly string[] = []): string {
  const to = request.get("To");
  return sipText(`SIP/2.0 ${status} Answer`, [
    ...request.all("Via").map((via) => `Via: ${via}`),
    `From: ${request.get("From")}`,
    `To: ${to.includes(";tag=") ? to : `${to};tag=phone`}`,
    `Call-ID: ${request.get("Call-ID")}`,
    `CSeq: ${request.get("CSeq")}`,
    ...lines,
  ]);
}
