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
  ConnectionId,
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
import { SipText, sipText } from "./sip-text.ts";
import { SeededRandom, VirtualClock } from "./virtual-clock.ts";

/** Host of every phone's Contact: no message to a server may name it outside its body. */
const phoneHost = "phone.invalid";
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

/** A server, or anybody else on the network. */
export class BenchServer {
  readonly address: string;
  readonly port: number;
  readonly transport: Transport;
  readonly inbox: SipText[] = [];
  connection: ConnectionId;
  readonly #bench: AnchorBench;

  constructor(bench: AnchorBench, transport: Transport, address: string, port: number, connection: number) {
    this.#bench = bench;
    this.transport = transport;
    this.address = address;
    this.port = port;
    this.connection = connection as ConnectionId;
  }

  get source(): Source {
    return { transport: this.transport, address: this.address, port: this.port, connection: this.connection };
  }

  get endpoint(): Endpoint {
    const { transport, address, port } = this;
    return { transport, address, port, ...(transport === "tls" ? { serverName: "sip.example" } : {}) };
  }

  sends(text: string): void {
    this.#bench.fromNetwork(text, this.source);
  }

  /** The next message that came here must be this: a status, or a method. */
  gets(expected: number | string): SipText {
    return take(this.inbox, expected, `server ${this.address}`);
  }

  nothing(): void {
    mustBeEmpty(this.inbox, `server ${this.address}`);
  }

  // ---- calls from here

  /** An INVITE for the account; `lines` replace what they name. */
  invites(account: BenchAccount, options: { branch?: string; uri?: string; lines?: readonly string[] } = {}): SipText {
    const text = this.request("INVITE", account, options);
    this.sends(text.text);
    return text;
  }

  /** A request outside dialogs for the account. */
  request(
    method: string,
    account: BenchAccount,
    options: { branch?: string; uri?: string; lines?: readonly string[]; body?: string } = {},
  ): SipText {
    const serial = this.#bench.serial();
    const body = options.body ?? (method === "INVITE" ? sdp("caller") : "");
    const via = `SIP/2.0/${this.transport.toUpperCase()} ${this.address}:${this.port};branch=${options.branch ?? `z9hG4bKsrv${serial}`};rport`;
    return new SipText(
      sipText(
        `${method} ${options.uri ?? this.#bench.contactUri(account)} SIP/2.0`,
        replaced(
          [
            `Via: ${via}`,
            `Record-Route: <sip:${this.address}:${this.port};lr>`,
            "Max-Forwards: 69",
            `From: "Bob" <sip:bob@far.example>;tag=far${serial}`,
            `To: <sip:${account.user}@${account.domain}>`,
            `Call-ID: call-${serial}@far.example`,
            `CSeq: ${serial} ${method}`,
            "Contact: <sip:bob@198.51.100.9:5062;transport=tcp>",
            "X-Kept: as it is",
            ...(body === "" ? [] : ["Content-Type: application/sdp"]),
          ],
          options.lines ?? [],
        ),
        body,
      ),
    );
  }

  /** A request in the dialog that a 2xx (or 1xx) made, from the far end. */
  inDialog(
    method: string,
    invite: SipText,
    response: SipText,
    options: { cseq?: number; lines?: readonly string[] } = {},
  ): SipText {
    const isAck = method === "ACK";
    const cseq = options.cseq ?? (isAck ? invite.cseq : invite.cseq + 1 + this.#bench.serial());
    const text = new SipText(
      sipText(
        `${method} ${response.contactUri} SIP/2.0`,
        replaced(
          [
            `Via: SIP/2.0/${this.transport.toUpperCase()} ${this.address}:${this.port};branch=z9hG4bKsrv${this.#bench.serial()};rport`,
            "Max-Forwards: 69",
            `From: ${invite.get("From")}`,
            `To: ${response.get("To")}`,
            `Call-ID: ${invite.get("Call-ID")}`,
            `CSeq: ${cseq} ${method}`,
          ],
          options.lines ?? [],
        ),
      ),
    );
    this.sends(text.text);
    return text;
  }

  /** The ACK to a final response of 300 or more: the INVITE's own transaction. */
  acksFailure(invite: SipText, response: SipText): void {
    this.sends(
      sipText(`ACK ${invite.uri} SIP/2.0`, [
        `Via: ${invite.get("Via")}`,
        "Max-Forwards: 69",
        `From: ${invite.get("From")}`,
        `To: ${response.get("To")}`,
        `Call-ID: ${invite.get("Call-ID")}`,
        `CSeq: ${invite.cseq} ACK`,
      ]),
    );
  }

  cancels(invite: SipText, ...reasons: string[]): void {
    this.sends(
      sipText(`CANCEL ${invite.uri} SIP/2.0`, [
        `Via: ${invite.get("Via")}`,
        "Max-Forwards: 69",
        `From: ${invite.get("From")}`,
        `To: ${invite.get("To")}`,
        `Call-ID: ${invite.get("Call-ID")}`,
        `CSeq: ${invite.cseq} CANCEL`,
        ...reasons.map((reason) => `Reason: ${reason}`),
      ]),
    );
  }

  /** Answers a request that came here. */
  answers(
    request: SipText,
    status: number,
    options: { tag?: string; lines?: readonly string[]; body?: string } = {},
  ): SipText {
    const text = answerTo(request, status, `sip:bob@198.51.100.9:5062;transport=tcp`, options.tag ?? "far", options);
    this.sends(text.text);
    return text;
  }
}

/** A device and its tunnel. */
export class BenchPhone {
  readonly deviceId: DeviceId;
  readonly inbox: SipText[] = [];
  tunnelId: TunnelId | undefined;
  readonly #bench: AnchorBench;

  constructor(bench: AnchorBench, deviceId: DeviceId) {
    this.#bench = bench;
    this.deviceId = deviceId;
  }

  /** `call`: the ticket's; `voip`: the push that carried it demands a call. */
  opens(options: { call?: CallUuid; voip?: boolean } = {}): void {
    this.tunnelId = this.#bench.open(this, options);
  }

  closes(): void {
    if (this.tunnelId !== undefined) this.#bench.anchor.tunnelClosed(this.tunnelId);
    this.tunnelId = undefined;
  }

  sends(text: string, last = true): void {
    if (this.tunnelId === undefined) throw new Error(`${this.deviceId} has no tunnel`);
    this.#bench.frame(this.tunnelId, text, last);
  }

  gets(expected: number | string): SipText {
    return take(this.inbox, expected, `phone ${this.deviceId}`);
  }

  nothing(): void {
    mustBeEmpty(this.inbox, `phone ${this.deviceId}`);
  }

  answers(
    request: SipText,
    status: number,
    options: { tag?: string; contact?: string; lines?: readonly string[]; body?: string } = {},
  ): SipText {
    const contact = options.contact ?? `sip:${this.deviceId}@${phoneHost};transport=ws`;
    const text = answerTo(request, status, contact, options.tag ?? `${this.deviceId}-tag`, options);
    this.sends(text.text);
    return text;
  }

  /** A request outside dialogs. */
  request(
    method: string,
    account: BenchAccount,
    options: { to?: string; lines?: readonly string[]; body?: string; last?: boolean } = {},
  ): SipText {
    const text = this.makes(method, account, options);
    this.sends(text.text, options.last);
    return text;
  }

  /** ... not sent. */
  makes(
    method: string,
    account: BenchAccount,
    options: { to?: string; lines?: readonly string[]; body?: string } = {},
  ): SipText {
    const serial = this.#bench.serial();
    const to = options.to ?? "sip:bob@far.example";
    const body = options.body ?? (method === "INVITE" ? sdp("phone") : "");
    return new SipText(
      sipText(
        `${method} ${to} SIP/2.0`,
        replaced(
          [
            `Via: SIP/2.0/WSS ${phoneHost};branch=z9hG4bKphone${serial}`,
            "Max-Forwards: 70",
            `From: <sip:${account.user}@${account.domain}>;tag=own${serial}`,
            `To: <${to}>`,
            `Call-ID: phone-${serial}`,
            `CSeq: ${serial} ${method}`,
            `Contact: <sip:${this.deviceId}@${phoneHost};transport=ws>;+sip.instance="<urn:uuid:1>"`,
            "X-Kept: as it is",
            ...(body === "" ? [] : ["Content-Type: application/sdp"]),
          ],
          options.lines ?? [],
        ),
        body,
      ),
    );
  }

  /** A request in the dialog of a call that this phone answered. */
  inAnswered(
    method: string,
    invite: SipText,
    answer: SipText,
    options: { cseq?: number; lines?: readonly string[] } = {},
  ): SipText {
    return this.#inDialog(
      method,
      answer.get("To"),
      invite.get("From"),
      invite.contactUri,
      invite.all("Record-Route"),
      invite.get("Call-ID"),
      {
        cseq: 1 + this.#bench.serial(),
        ...options,
      },
    );
  }

  /** A request in the dialog of a call that this phone made. */
  inOwn(
    method: string,
    invite: SipText,
    answer: SipText,
    options: { cseq?: number; lines?: readonly string[] } = {},
  ): SipText {
    const cseq = method === "ACK" ? invite.cseq : invite.cseq + this.#bench.serial();
    const routes = answer.all("Record-Route").toReversed();
    return this.#inDialog(
      method,
      invite.get("From"),
      answer.get("To"),
      answer.contactUri,
      routes,
      invite.get("Call-ID"),
      {
        cseq,
        ...options,
      },
    );
  }

  acksFailure(invite: SipText, response: SipText): void {
    this.sends(
      sipText(`ACK ${invite.uri} SIP/2.0`, [
        `Via: ${invite.get("Via")}`,
        `From: ${invite.get("From")}`,
        `To: ${response.get("To")}`,
        `Call-ID: ${invite.get("Call-ID")}`,
        `CSeq: ${invite.cseq} ACK`,
      ]),
    );
  }

  cancels(invite: SipText, ...reasons: string[]): void {
    this.sends(
      sipText(`CANCEL ${invite.uri} SIP/2.0`, [
        `Via: ${invite.get("Via")}`,
        `From: ${invite.get("From")}`,
        `To: ${invite.get("To")}`,
        `Call-ID: ${invite.get("Call-ID")}`,
        `CSeq: ${invite.cseq} CANCEL`,
        ...reasons.map((reason) => `Reason: ${reason}`),
      ]),
    );
  }

  #inDialog(
    method: string,
    from: string,
    to: string,
    target: string,
    routes: readonly string[],
    callId: string,
    options: { cseq: number; lines?: readonly string[] },
  ): SipText {
    const text = new SipText(
      sipText(
        `${method} ${target} SIP/2.0`,
        replaced(
          [
            `Via: SIP/2.0/WSS ${phoneHost};branch=z9hG4bKphone${this.#bench.serial()}`,
            "Max-Forwards: 70",
            ...routes.map((route) => `Route: ${route}`),
            `From: ${from}`,
            `To: ${to}`,
            `Call-ID: ${callId}`,
            `CSeq: ${options.cseq} ${method}`,
            `Contact: <sip:${this.deviceId}@${phoneHost};transport=ws>`,
          ],
          options.lines ?? [],
        ),
      ),
    );
    this.sends(text.text);
    return text;
  }
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
    const record: AccountRecord = {
      accountId,
      app: "app",
      username: user,
      domain: wishes.domain ?? "pbx.example",
      authUsername: undefined,
      displayName: undefined,
      proxy: undefined,
      alternateProxy: undefined,
      transport: "auto",
      expiresSec: 600,
      registrationMode: wishes.mode ?? "alternate",
      learnedMode: undefined,
      natEmulation: wishes.natEmulation ?? false,
      instanceId: undefined,
      userAgent: undefined,
      forwardTo: wishes.forwardTo,
      version: 1,
    };
    const account: BenchAccount = {
      accountId,
      row,
      user,
      domain: wishes.domain ?? "pbx.example",
      line: `line-${user}-0123456789abcdef`,
      server,
      secondsLeft: 500,
      secure: server.transport === "tls",
      natEmulation: wishes.natEmulation ?? false,
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

function answerTo(
  request: SipText,
  status: number,
  contact: string,
  tag: string,
  options: { lines?: readonly string[]; body?: string },
): SipText {
  const to = request.get("To");
  const forms =
    status > 100 && status < 300 && ["INVITE", "SUBSCRIBE", "REFER", "UPDATE", "NOTIFY"].includes(request.method);
  const body = options.body ?? (request.method === "INVITE" && status >= 200 && status < 300 ? sdp("answer") : "");
  return new SipText(
    sipText(
      `SIP/2.0 ${status} ${reasons[status] ?? "Whatever"}`,
      replaced(
        [
          ...request.all("Via").map((via) => `Via: ${via}`),
          ...(forms ? request.all("Record-Route").map((route) => `Record-Route: ${route}`) : []),
          `From: ${request.get("From")}`,
          `To: ${to.includes(";tag=") || status === 100 ? to : `${to};tag=${tag}`}`,
          `Call-ID: ${request.get("Call-ID")}`,
          `CSeq: ${request.get("CSeq")}`,
          ...(forms ? [`Contact: <${contact}>`] : []),
          ...(body === "" ? [] : ["Content-Type: application/sdp"]),
        ],
        options.lines ?? [],
      ),
      body,
    ),
  );
}

const reasons: Readonly<Record<number, string>> = {
  100: "Trying",
  180: "Ringing",
  183: "Session Progress",
  200: "OK",
  202: "Accepted",
  302: "Moved Temporarily",
  401: "Unauthorized",
  407: "Proxy Authentication Required",
  480: "Temporarily Unavailable",
  481: "Call/Transaction Does Not Exist",
  486: "Busy Here",
  487: "Request Terminated",
  603: "Decline",
};

export function sdp(who: string): string {
  return `v=0\r\no=${who} 1 1 IN IP4 198.51.100.20\r\ns=-\r\nc=IN IP4 198.51.100.20\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n`;
}

/** `lines` in place of the lines of the same names; `Name:` alone removes. */
function replaced(base: readonly string[], lines: readonly string[]): string[] {
  const nameOf = (line: string): string => line.slice(0, line.indexOf(":")).toLowerCase();
  const names = new Set(lines.map(nameOf));
  return [...base.filter((line) => !names.has(nameOf(line))), ...lines.filter((line) => !line.endsWith(":"))];
}

function take(inbox: SipText[], expected: number | string, who: string): SipText {
  const message = inbox.shift();
  if (message === undefined) throw new Error(`${who} got nothing instead of ${expected}`);
  const got = message.isResponse ? message.status : message.method;
  if (got !== expected) throw new Error(`${who} got ${got} instead of ${expected}:\n${message.text}`);
  return message;
}

function mustBeEmpty(inbox: SipText[], who: string): void {
  if (inbox.length > 0) throw new Error(`${who} got more:\n${inbox.map((message) => message.text).join("\n")}`);
}

function sameList(got: readonly string[], wanted: readonly string[], what: string): void {
  if (got.toSorted().join() !== wanted.toSorted().join())
    throw new Error(`${what} for ${got.join()} instead of ${wanted.join()}`);
}
