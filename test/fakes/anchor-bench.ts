import { Anchor, type AnchorSettings } from "../../src/anchor/anchor.ts";
import type { AccountBook } from "../../src/anchor/account-book.ts";
import type { AccountId, CallUuid, DeviceId, RegistrationIndex, SubscriptionId, TunnelId } from "../../src/base/ids.ts";
import type {
  AccountEntry,
  AccountRecord,
  Directory,
  Notify,
  RegistrationMode,
  SubscriptionRecord,
} from "../../src/base/records.ts";
import type {
  Endpoint,
  LocalAddress,
  LocateResult,
  Locator,
  Network,
  PeerId,
  SendOutcome,
  SipTarget,
  Source,
  Transport,
} from "../../src/net/network.ts";
import { Counter, Lane, type CounterName } from "../../src/observe/lanes.ts";
import { scan } from "../../src/sip/message/scan.ts";
import { validateResponse } from "../../src/sip/message/validate.ts";
import { MessageKind, SipView } from "../../src/sip/message/view.ts";
import type { Event } from "../../src/workers/protocol.ts";
import { accountRecord } from "./account-record.ts";
import { phoneHost } from "./bench-messages.ts";
import { BenchPhone } from "./bench-phone.ts";
import { BenchServer } from "./bench-server.ts";
import { SipText } from "./sip-text.ts";
import { SeededRandom, VirtualClock } from "./virtual-clock.ts";

export const ourHost = "203.0.113.7";

type Wake = Extract<Event, { kind: "wake" }>;
type Push = Extract<Event, { kind: "notify" }>;

export interface BenchAccount {
  readonly accountId: AccountId;
  readonly row: RegistrationIndex;
  readonly user: string;
  readonly domain: string;
  line: string;
  server: BenchServer;
  secondsLeft: number;
  secure: boolean;
  natEmulation: boolean;
  serviceRoute: string[];
  serverKnown: boolean;
  record: AccountRecord;
  subscriptions: SubscriptionRecord[];
}

export interface DeviceWish {
  readonly presence?: "background" | "foreground";
  readonly wakeable?: boolean;
  readonly notify?: Partial<Notify>;
}

interface Wire {
  readonly to: string;
  readonly bytes: Uint8Array;
}

/** An anchor with everything around it played: a network, a book of accounts, a directory, phones, a clock that stands still. */
export class AnchorBench implements Network, Locator, AccountBook, Directory {
  readonly clock = new VirtualClock();
  readonly random = new SeededRandom(7);
  readonly events: Event[] = [];
  readonly lane = new Lane(new ArrayBuffer(Lane.bytes(1)), 0);
  readonly anchor: Anchor;
  /** Sent to an address where nobody is. */
  readonly astray: Wire[] = [];
  /** While true, a message that shows the phone to a server is a failed test. */
  isStrict = true;
  /** While false, no local address is known. */
  knowsRoute = true;
  /** Challenges that `authorize` was asked about. */
  readonly challenged: string[] = [];
  readonly #servers: BenchServer[] = [];
  readonly #accounts: BenchAccount[] = [];
  readonly #phones = new Map<DeviceId, BenchPhone>();
  readonly #endpoints: Endpoint[] = [];
  /** A thread does not keep up. */
  isOverloaded = false;
  readonly #view = new SipView();
  #serial = 0;
  #tunnels = 0;

  constructor(settings: Partial<AnchorSettings> = {}) {
    this.anchor = new Anchor({
      clock: this.clock,
      random: this.random,
      network: this,
      locator: this,
      book: this,
      directory: this,
      uplink: { emit: (event) => this.#onEvent(event) },
      lane: this.lane,
      settings: { deadlineSec: 40, ring: "on_device", userAgent: "Wakeline", shard: 0, ...settings },
      isOverloaded: () => this.isOverloaded,
    });
  }

  serial(): number {
    return ++this.#serial;
  }

  count(name: CounterName): number {
    return this.lane.get(Counter[name]);
  }

  // ---- the world

  addServer(options: { transport?: Transport; address?: string; port?: number } = {}): BenchServer {
    const { transport = "udp", address = `192.0.2.${this.#servers.length + 1}`, port = 5060 } = options;
    const server = new BenchServer(this, transport, address, port, transport === "udp" ? 0 : this.#servers.length + 1);
    this.#servers.push(server);
    return server;
  }

  addAccount(
    user: string,
    server: BenchServer,
    devices: Readonly<Record<string, DeviceWish>>,
    wishes: { mode?: RegistrationMode; forwardTo?: string; natEmulation?: boolean; domain?: string } = {},
  ): BenchAccount {
    const row = this.#accounts.length as RegistrationIndex;
    const accountId = `account-${user}` as AccountId;
    const { mode = "alternate", domain = "pbx.example", natEmulation = false, forwardTo } = wishes;
    const record = accountRecord({
      accountId,
      username: user,
      domain,
      registrationMode: mode,
      natEmulation,
      forwardTo,
    });
    const account: BenchAccount = {
      accountId,
      row,
      user,
      domain,
      line: `line-${user}-0123456789abcdef`,
      server,
      secondsLeft: 500,
      secure: server.transport === "tls",
      natEmulation,
      serviceRoute: [],
      serverKnown: true,
      record,
      subscriptions: Object.entries(devices).map(([device, wish]) => ({
        subscriptionId: `${user}-${device}` as SubscriptionId,
        accountId,
        deviceId: device as DeviceId,
        presence: wish.presence ?? "background",
        notify: { message: true, voicemail: true, missed: true, preview: false, ...wish.notify },
        wakeable: wish.wakeable ?? true,
      })),
    };
    this.#accounts.push(account);
    return account;
  }

  phone(device: string): BenchPhone {
    const deviceId = device as DeviceId;
    let phone = this.#phones.get(deviceId);
    if (phone === undefined) {
      phone = new BenchPhone(this, deviceId);
      this.#phones.set(deviceId, phone);
    }
    return phone;
  }

  /** Time passes, in ticks of 10 ms or, over a minute, of 100. */
  pass(ms: number): void {
    const untilMs = this.clock.nowMs() + ms;
    const step = ms > 60_000 ? 100 : 10;
    while (this.clock.nowMs() < untilMs) {
      this.clock.advance(Math.min(step, untilMs - this.clock.nowMs()));
      this.anchor.tick(this.clock.nowMs());
    }
  }

  /** The clock jumps, as after a machine's sleep: one tick. */
  jump(ms: number): void {
    this.clock.advance(ms);
    this.anchor.tick(this.clock.nowMs());
  }

  // ---- events upward

  /** The only wake since the last look, for exactly these devices. */
  wakes(...devices: string[]): Wake {
    const wakes = this.taken("wake");
    const [wake] = wakes;
    if (wake === undefined || wakes.length > 1) throw new Error(`${wakes.length} wakes instead of one`);
    sameList(
      wake.targets.map((target) => target.deviceId),
      devices,
      "wake",
    );
    return wake;
  }

  noWake(): void {
    const wakes = this.taken("wake");
    if (wakes.length > 0)
      throw new Error(`a wake for ${wakes.flatMap((wake) => wake.targets.map((t) => t.deviceId)).join()}`);
  }

  /** The only other push since the last look. */
  pushes(kind: Push["push"], ...devices: string[]): Push {
    const pushes = this.taken("notify");
    const [push] = pushes;
    if (push === undefined || pushes.length > 1 || push.push !== kind) {
      throw new Error(`pushes ${pushes.map((one) => one.push).join()} instead of one ${kind}`);
    }
    sameList(
      push.targets.map((target) => target.deviceId),
      devices,
      kind,
    );
    return push;
  }

  noPush(): void {
    const pushes = this.taken("notify");
    if (pushes.length > 0) throw new Error(`pushes ${pushes.map((one) => one.push).join()}`);
  }

  /** Events of a kind since the last look, looked at now. */
  taken<K extends Event["kind"]>(kind: K): Extract<Event, { kind: K }>[] {
    const found: Extract<Event, { kind: K }>[] = [];
    for (let at = 0; at < this.events.length;) {
      const event = this.events[at];
      if (event?.kind === kind) {
        found.push(event as Extract<Event, { kind: K }>);
        this.events.splice(at, 1);
      } else at++;
    }
    return found;
  }

  delivers(wake: Wake, device: string, outcome: "accepted" | "failed", silenceMs?: number): void {
    this.anchor.onDelivery({
      kind: "delivery",
      call: wake.call,
      deviceId: device as DeviceId,
      outcome,
      ...(silenceMs === undefined ? {} : { silenceMs }),
    });
  }

  // ---- in and out

  fromNetwork(text: string, source: Source): void {
    const bytes = Buffer.from(text, "latin1");
    scan(bytes, 0, bytes.length, this.#view);
    if (this.#view.kind === MessageKind.request) this.anchor.onRequest(this.#view, source);
    else if (validateResponse(this.#view)) this.anchor.onResponse(this.#view, source);
  }

  frame(tunnelId: TunnelId, text: string, last: boolean): void {
    this.anchor.onFrame(tunnelId, new Uint8Array(Buffer.from(text, "latin1")), last);
  }

  open(phone: BenchPhone, options: { call?: CallUuid; voip?: boolean }): TunnelId {
    const tunnelId = ++this.#tunnels as TunnelId;
    phone.tunnelId = tunnelId;
    const accounts = this.#accounts
      .filter(({ subscriptions }) => subscriptions.some(({ deviceId }) => deviceId === phone.deviceId))
      .map(({ accountId }) => accountId);
    this.anchor.tunnelOpened({
      kind: "tunnelOpened",
      tunnelId,
      deviceId: phone.deviceId,
      accounts,
      voip: options.voip ?? false,
      ...(options.call === undefined ? {} : { ticketCall: options.call }),
    });
    return tunnelId;
  }

  #onEvent(event: Event): void {
    if (event.kind !== "frame") {
      this.events.push(event);
      return;
    }
    for (const phone of this.#phones.values()) {
      if (phone.tunnelId === event.tunnelId) phone.inbox.push(new SipText(event.text));
    }
  }

  // ---- Network

  peer(endpoint: Endpoint): PeerId {
    const same = (known: Endpoint): boolean =>
      known.transport === endpoint.transport && known.address === endpoint.address && known.port === endpoint.port;
    const at = this.#endpoints.findIndex(same);
    if (at >= 0) return (at + 1) as PeerId;
    return this.#endpoints.push(endpoint) as PeerId;
  }

  endpoint(peer: PeerId): Endpoint {
    const endpoint = this.#endpoints[peer - 1];
    if (endpoint === undefined) throw new Error(`no peer ${peer}`);
    return endpoint;
  }

  localAddress(_peer: PeerId, natEmulation: boolean): LocalAddress | undefined {
    if (!this.knowsRoute) return undefined;
    return { host: natEmulation ? "192.168.1.20" : ourHost, port: 5060 };
  }

  send(peer: PeerId, bytes: Uint8Array): SendOutcome {
    const { transport, address, port } = this.endpoint(peer);
    return this.#arrive(transport, address, port, bytes);
  }

  queue(): void {
    throw new Error("the anchor does not queue");
  }
  flush(): void {}

  reply(source: Source, bytes: Uint8Array): SendOutcome {
    if (source.transport === "udp") return this.#arrive("udp", source.address, source.port, bytes);
    const server = this.#servers.find((one) => one.connection === source.connection);
    if (server === undefined) return "failed";
    return this.#arrive(server.transport, server.address, server.port, bytes);
  }

  isFrom(peer: PeerId, source: Source): boolean {
    const { transport, address } = this.endpoint(peer);
    return transport === source.transport && address === source.address;
  }

  keepAlive(): void {}
  close(): void {}

  /** Beside each UDP server, by TCP, those addresses that take it. */
  readonly takesTcp = new Set<string>();

  largeTransport(peer: PeerId): PeerId | undefined {
    const { transport, address, port } = this.endpoint(peer);
    return transport === "udp" && this.takesTcp.has(address)
      ? this.peer({ transport: "tcp", address, port })
      : undefined;
  }

  #arrive(transport: Transport, address: string, port: number, bytes: Uint8Array): SendOutcome {
    const server = this.#servers.find(
      (one) => one.transport === transport && one.address === address && one.port === port,
    );
    if (server === undefined) {
      this.astray.push({ to: `${transport} ${address}:${port}`, bytes: bytes.slice() });
      return "sent";
    }
    const message = new SipText(Buffer.from(bytes).toString("latin1"));
    if (this.isStrict) checkPlainUa(message);
    server.inbox.push(message);
    return "sent";
  }

  // ---- Locator

  /** Hosts that the egress policy allows, numeric; all others are refused. */
  readonly allowed = new Set<string>();

  locate({ host, port, transport }: SipTarget, done: (result: LocateResult) => void): void {
    if (!this.allowed.has(host)) return done({ ok: false, reason: "egress", text: "not allowed" });
    const by = transport === "auto" ? "udp" : transport;
    const endpoint = { transport: by, address: host, port: port ?? (by === "tls" ? 5061 : 5060) };
    done({ ok: true, endpoints: [by === "tls" ? { ...endpoint, serverName: host } : endpoint], ttlSec: 60 });
  }

  // ---- AccountBook

  rowOf(accountId: AccountId): RegistrationIndex | undefined {
    return this.#accounts.find((account) => account.accountId === accountId)?.row;
  }
  accountId(row: RegistrationIndex): AccountId {
    return this.#at(row).accountId;
  }
  rowByLine(token: string): RegistrationIndex | undefined {
    return this.#accounts.find((account) => account.line === token)?.row;
  }
  rowByAddress(user: string, source: Source): RegistrationIndex | undefined {
    const found = this.#accounts.filter((account) => account.user === user && this.isServer(account.row, source));
    return found.length === 1 ? found[0]?.row : undefined;
  }
  isServer(row: RegistrationIndex, source: Source): boolean {
    return this.#at(row).server.address === source.address;
  }
  serverOf(row: RegistrationIndex): PeerId | undefined {
    const account = this.#at(row);
    return account.serverKnown ? this.peer(account.server.endpoint) : undefined;
  }
  contactUri(row: RegistrationIndex): string;
  contactUri(account: BenchAccount): string;
  contactUri(which: RegistrationIndex | BenchAccount): string {
    const { user, line, server } = typeof which === "number" ? this.#at(which) : which;
    return `sip:${user}@${ourHost}:5060;transport=${server.transport};line=${line}`;
  }
  aor(row: RegistrationIndex): { readonly user: string; readonly domain: string } {
    return this.#at(row);
  }
  serviceRoute(row: RegistrationIndex): readonly string[] {
    return this.#at(row).serviceRoute;
  }
  secondsLeft(row: RegistrationIndex): number {
    return this.#at(row).secondsLeft;
  }
  isSecure(row: RegistrationIndex): boolean {
    return this.#at(row).secure;
  }
  isNatEmulated(row: RegistrationIndex): boolean {
    return this.#at(row).natEmulation;
  }
  authorize(
    row: RegistrationIndex,
    challenge: SipView,
    source: Source,
    method: string,
    uri: string,
  ): string | undefined {
    this.challenged.push(`${method} ${uri} from ${source.address}`);
    if (source.address !== this.#at(row).server.address) return undefined;
    const name = challenge.status === 401 ? "Authorization" : "Proxy-Authorization";
    return `${name}: Digest username="${this.#at(row).user}", response="0123456789abcdef0123456789abcdef"`;
  }

  // ---- Directory

  account(accountId: AccountId): AccountRecord | undefined {
    return this.#accounts.find((account) => account.accountId === accountId)?.record;
  }
  secret(): undefined {
    return undefined;
  }
  proof(): undefined {
    return undefined;
  }
  prepareProofs(): void {}
  wantVoicemail(accountIds: readonly AccountId[]): readonly AccountId[] {
    return accountIds.filter((accountId) =>
      this.subscriptions(accountId).some(({ notify, wakeable }) => notify.voicemail && wakeable),
    );
  }
  subscriptions(accountId: AccountId): readonly SubscriptionRecord[] {
    return this.#accounts.find((account) => account.accountId === accountId)?.subscriptions ?? [];
  }
  accounts(): Iterable<readonly AccountEntry[]> {
    return [this.#accounts.map(({ record }) => ({ record, wanted: true }))];
  }
  size(): number {
    return this.#accounts.length;
  }

  #at(row: RegistrationIndex): BenchAccount {
    const account = this.#accounts[row];
    if (account === undefined) throw new Error(`no row ${row}`);
    return account;
  }
}

/** The far end sees one plain UA: at most one Contact, never the phone's, and of our own Vias one. */
function checkPlainUa(message: SipText): void {
  const head = message.text.slice(0, message.text.length - message.body.length);
  if (head.includes(phoneHost)) throw new Error(`the phone shows through:\n${head}`);
  if (message.all("Contact").length > 1) throw new Error(`two Contacts:\n${head}`);
  const own = message.all("Via").filter((via) => via.includes(ourHost) || via.includes("192.168.1.20"));
  if (own.length !== (message.isResponse ? 0 : 1)) throw new Error(`Vias of ours: ${own.join()}`);
}

function sameList(got: readonly string[], wanted: readonly string[], what: string): void {
  if (got.toSorted().join() !== wanted.toSorted().join())
    throw new Error(`${what} for ${got.join()} instead of ${wanted.join()}`);
}
