import type { DeviceId } from "../../src/base/ids.ts";
import type { Rung } from "../../src/base/ladder.ts";
import { columnsBytes, openColumns } from "../../src/keeper/columns.ts";
import type { Endpoint } from "../../src/net/network.ts";
import { Counter, type CounterName, Lane } from "../../src/observe/lanes.ts";
import type { Log } from "../../src/observe/log.ts";
import type { CallState, Command, Event, RegistrationStatus } from "../../src/workers/protocol.ts";
import { ShardCore } from "../../src/workers/shard-core.ts";
import { SipText, sipText } from "../fakes/sip-text.ts";
import { SeededRandom, VirtualClock } from "../fakes/virtual-clock.ts";
import {
  type VirtualHost,
  VirtualLocator,
  type VirtualServer,
  VirtualWire,
  type Weather,
} from "../fakes/virtual-network.ts";
import { VirtualRegistrar, type RegistrarOptions } from "../fakes/virtual-registrar.ts";
import { Dice } from "./dice.ts";
import { deviceIdOf, domain, SimDirectory, secretsOf, type SimAccount } from "./directory.ts";
import { Phone, type PhoneHabits, type PhoneWorld, type Tunnel } from "./phone.ts";
import { callIdOf, firstLineOf, saidIn, type PoolWeather, type PoolWorld, SimPool } from "./pool.ts";
import { RegisterWatch } from "./registers.ts";
import { checkEvent, checkToServer, Ladders, type Violation } from "./rules.ts";
import { tagIn } from "./sip.ts";
import type { Happening } from "./talker.ts";
import { Trunk, type TrunkWorld } from "./trunk.ts";

export interface WorldPlan {
  readonly seed: number;
  readonly transport: "udp" | "tcp";
  readonly weather: Weather;
  readonly pool: PoolWeather;
  readonly habits: PhoneHabits;
  readonly ring: "on_push" | "on_device" | "immediate";
  readonly deadlineSec: number;
  readonly accounts: number;
  readonly devicesMax: number;
  readonly registrar: RegistrarOptions;
}

const hostAddress = "198.51.100.7";
const strangerAddress = "203.0.113.99";
const realm = domain;
const violationsMax = 50;

/** A shard with all around it: registrar and callers, push providers and phones, under a clock that stands still. */
export class World implements PhoneWorld, PoolWorld, TrunkWorld {
  readonly plan: WorldPlan;
  readonly clock = new VirtualClock();
  readonly wire: VirtualWire;
  readonly directory = new SimDirectory();
  readonly registrar: VirtualRegistrar;
  readonly trunk: Trunk;
  readonly pool: SimPool;
  readonly phones = new Map<DeviceId, Phone>();
  readonly ladders = new Ladders();
  readonly violations: Violation[] = [];
  readonly faults: string[] = [];
  readonly registers = new RegisterWatch();
  /** Some of the time nothing got through to the servers. */
  wasSilenced = false;
  /** Some of the time connections of the servers broke. */
  wasDropped = false;
  isDrained = false;
  /** Somebody has set the time of day. */
  hasJumped = false;
  /** How often each thing has happened that the rules are about. */
  readonly happened = new Map<Happening, number>();
  readonly #phoneTags = new Set<string>();
  /** Requests of phones that the shard has had, by branch and method. */
  readonly #arrived = new Set<string>();
  /** Calls to accounts whose INVITE has had a final answer of the shard's. */
  readonly #answered = new Set<string>();
  readonly lane = new Lane(new ArrayBuffer(Lane.bytes(1)), 0);
  readonly memory: ArrayBuffer;
  core: ShardCore;
  host: VirtualHost;
  restarts = 0;
  readonly #locator = new VirtualLocator();
  readonly #endpoint: Endpoint;
  readonly #dice: Dice;
  readonly #pressedAtMs = new Map<SimAccount, number>();
  readonly #presenceDone = new Map<number, (isPending: boolean) => void>();
  readonly #strangers: VirtualServer;
  readonly #resting = new Set<number>();
  #requestIds = 0;
  #strangerBytes = 0;
  readonly #ticker = (nowMs: number): void => this.core.tick(nowMs);

  constructor(plan: WorldPlan) {
    this.plan = plan;
    this.#dice = new Dice(plan.seed);
    this.wire = new VirtualWire(this.clock, new SeededRandom(plan.seed + 1), plan.weather);
    this.#endpoint = { transport: plan.transport, address: "192.0.2.10", port: 5060 };
    this.registrar = new VirtualRegistrar(this.wire, this.#endpoint, {
      realm,
      password: (user) => this.directory.passwords.get(user),
      ...plan.registrar,
    });
    this.registers.watch(this.registrar);
    this.#strangers = this.wire.server({ transport: "udp", address: strangerAddress, port: 5060 }, (bytes) =>
      this.#strangerHeard(bytes),
    );
    this.trunk = new Trunk(this, this.#dice.split(), this.#endpoint, this.registrar, {
      address: hostAddress,
      port: 5060,
    });
    this.#locator.set(domain, [this.#endpoint]);
    this.pool = new SimPool(this, this.#dice.split(), plan.pool);
    this.memory = new ArrayBuffer(columnsBytes(Math.max(64, plan.accounts * 2)));
    this.#populate();
    this.wire.onPassage = (passage) => {
      const { atMs, from, to, bytes, fate } = passage;
      const text = Buffer.from(bytes.subarray(0, 4096)).toString("latin1");
      if (fate === "silenced") this.wasSilenced = true;
      const isOurs = from.startsWith(hostAddress);
      const ends = isOurs ? { from: "wakeline", to: "server" } : { from: "server", to: "wakeline" };
      const { label, detail } = saidIn(text);
      const lost = fate === "delivered" ? "" : ` [${fate}]`;
      this.ladders.add(callIdOf(text), { atMs, ...ends, label, detail: `${detail}${lost}` });
      if (isOurs && /^SIP\/2\.0 [2-6]/.test(text) && /\r\nCSeq: \d+ INVITE/i.test(text))
        this.#answered.add(callIdOf(text));
      if (isOurs && !to.startsWith(strangerAddress)) checkToServer(passage, this.#complain);
    };
    [this.host, this.core] = this.#boot();
    this.wire.addTicker(this.#ticker);
  }

  #populate(): void {
    const { accounts, devicesMax, habits, transport } = this.plan;
    let devices = 0;
    for (let n = 1; n <= accounts; n++) {
      const account = this.directory.add(n, transport);
      const count = this.#dice.whole(1, devicesMax);
      if (count > 1) this.met("several devices");
      for (let d = 0; d < count; d++) {
        const deviceId = deviceIdOf(++devices);
        this.directory.subscribe(account, deviceId);
        const { accountId, username } = account.record;
        const forgetsRinging = this.#dice.chance(0.4);
        const phone = new Phone(this, this.#dice.split(), deviceId, [{ accountId, username }], {
          ...habits,
          forgetsRinging,
        });
        this.phones.set(deviceId, phone);
      }
    }
  }

  #boot(): [VirtualHost, ShardCore] {
    const host = this.wire.host({ address: hostAddress, port: 5060 });
    const alive = (): boolean => this.host === host;
    const { clock, directory, lane, plan } = this;
    const core = new ShardCore({
      clock,
      random: new SeededRandom(plan.seed + 1_000 + this.restarts),
      network: host,
      locator: this.#locator,
      directory,
      columns: openColumns(this.memory),
      lane,
      log: this.#log,
      uplink: { emit: (event) => (alive() ? this.pool.emit(event) : undefined) },
      settings: { deadlineSec: plan.deadlineSec, ring: plan.ring, userAgent: "Wakeline", shard: 0 },
    });
    host.receiver = core;
    return [host, core];
  }

  readonly #complain = (rule: string, text: string, callId: string): void => this.complain(rule, text, callId);

  readonly #log: Log = {
    debug: () => {},
    info: () => {},
    warn: () => {},
    error: (event, fields) => {
      const cause = fields?.cause;
      this.faults.push(`${event}: ${cause instanceof Error ? cause.stack : String(cause)}`);
      this.complain("no faults", this.faults.at(-1) ?? "", "");
    },
  };

  complain(rule: string, text: string, callId: string): void {
    if (this.violations.length >= violationsMax) return;
    this.violations.push({ atMs: this.clock.nowMs(), rule, text, callId });
    this.note(callId, {
      from: "wakeline",
      to: "wakeline",
      label: "✗ RULE BROKEN",
      detail: `${rule}: ${firstLineOf(text)}`,
    });
  }

  unanswered(what: string, callId: string): void {
    if (this.restarts === 0 && !this.wasSilenced && !this.wasDropped)
      this.complain("what a phone asks is answered", what, callId);
  }

  noAck(callId: string): void {
    const { breaksPerSec, dies } = this.plan.habits;
    const mayBeLost = breaksPerSec > 0 || dies > 0 || this.restarts > 0 || this.wasSilenced || this.wasDropped;
    if (!mayBeLost) this.complain("the ACK of a phone arrives", "32 s without", callId);
  }

  /** A phone that is in the call and has had a tunnel for some seconds has heard what was held for it, and answers. */
  silent(request: SipText): void {
    if (this.restarts > 0 || this.wasSilenced || this.wasDropped) return;
    const callId = request.get("Call-ID");
    for (const phone of this.phones.values()) {
      const isHere = phone.isOpen && !phone.isDead && this.clock.nowMs() - phone.openedAtMs > 3_000;
      if (isHere && [...phone.talking.values()].some((dialog) => dialog.callId === callId))
        this.complain("what is held for a phone reaches it", `${request.method}: ${phone.deviceId}`, callId);
    }
  }

  unended(callId: string): void {
    if (this.restarts === 0 && !this.wasSilenced && !this.wasDropped)
      this.complain("a challenged BYE ends the call", "40 s later it goes on", callId);
  }

  jump(ms: number): void {
    this.hasJumped = true;
    this.clock.jumpWall(ms);
  }

  met(happening: Happening): void {
    this.happened.set(happening, (this.happened.get(happening) ?? 0) + 1);
  }

  tagged(tag: string): void {
    this.#phoneTags.add(tag);
  }
  isPhoneTag(tag: string): boolean {
    return this.#phoneTags.has(tag);
  }

  isCallOpen(callId: string): boolean {
    return this.restarts === 0 && this.trunk.calls.has(callId) && !this.#answered.has(callId);
  }

  rings(phone: Phone, callId: string): void {
    for (const other of this.phones.values()) {
      if (other === phone) continue;
      for (const ringing of other.ringing.values()) {
        if (ringing.callId === callId) return this.met("joined while others ring");
      }
    }
  }

  phoneReinvites(callId: string): void {
    for (const phone of this.phones.values()) phone.reinviteNow(callId);
  }

  arrived(phone: Phone, text: string): void {
    const message = new SipText(text);
    if (!message.isResponse) {
      this.#arrived.add(`${message.branch} ${message.method}`);
      return;
    }
    const call = this.trunk.calls.get(callIdOf(text));
    const isAnswer = message.method === "INVITE" && message.status >= 200 && message.status < 300;
    if (!isAnswer || call === undefined || phone.hasLeft || this.#answered.has(call.callId)) return;
    call.acceptedTag ??= tagIn(message.get("To"));
  }

  hasArrived(request: SipText): boolean {
    return this.#arrived.has(`${request.branch} ${request.method}`);
  }

  note(callId: string, rung: Omit<Rung, "atMs">): void {
    this.ladders.add(callId, { atMs: this.clock.nowMs(), ...rung });
  }

  // ---- PoolWorld, PhoneWorld

  command(command: Command): void {
    this.core.command(command);
  }
  phone(deviceId: DeviceId): Phone | undefined {
    return this.phones.get(deviceId);
  }
  accountsOf(deviceId: DeviceId): ReturnType<SimDirectory["accountsOf"]> {
    return this.directory.accountsOf(deviceId);
  }
  open(phone: Phone): Tunnel {
    return this.pool.open(phone);
  }
  seen(event: Event): void {
    checkEvent(event, this.#complain);
    if (event.kind === "journal") this.#checkSilence(event.summary.callId, event.summary.state, event.targets);
    if (event.kind === "callState") this.note("", happened(`${event.call} ${event.state}`));
    if (event.kind === "registration" && this.#isResting(event.status)) this.#resting.add(event.requestId);
    if (event.kind === "drained") this.isDrained = true;
    if (event.kind === "presenceDone") this.#presenceDone.get(event.requestId)?.(event.pending);
  }

  /** What is over or answered elsewhere rings nowhere, a way there and back later. */
  #checkSilence(callId: string, state: CallState, devices: readonly DeviceId[]): void {
    if (state === "ringing" || state === "answered") return;
    const { restarts } = this;
    const roundTripMs = this.plan.pool.tunnelMs[1] * 2 + 30;
    this.wire.after(roundTripMs, () => {
      if (this.restarts !== restarts) return;
      for (const deviceId of devices) {
        const phone = this.phones.get(deviceId);
        if (phone === undefined || phone.isDead || !phone.isOpen) continue;
        // On a tunnel that has just opened the CANCEL is still under way.
        if (this.clock.nowMs() - phone.openedAtMs < roundTripMs * 2) continue;
        for (const ringing of phone.ringing.values()) {
          if (ringing.callId === callId)
            this.complain("nothing rings that should not", `${state}: ${deviceId}`, callId);
        }
      }
    });
  }

  /** The servers close every connection: each account's REGISTER renews its flow at once (RFC 5626 §4.5). */
  dropConnections(): void {
    this.wasDropped = true;
    for (const { record } of this.directory.byId.values()) this.registers.excuse(record.username, this.clock.nowMs());
    // What was under way on them is lost, and over streams nobody repeats anything.
    for (const call of this.trunk.calls.values()) if (!call.isOver) call.isExcused = true;
    this.trunk.server.dropConnections("closed by the server");
  }

  /** The store takes a device off an account, as when its owner leaves. */
  unsubscribe(account: SimAccount, deviceId: DeviceId): void {
    this.directory.unsubscribe(account, deviceId);
    const phone = this.phones.get(deviceId);
    if (phone !== undefined) phone.hasLeft = true;
    this.command({ kind: "subscriptionRemoved", accountId: account.record.accountId, deviceId });
  }

  onPresenceDone(requestId: number, then: (isPending: boolean) => void): void {
    this.#presenceDone.set(requestId, then);
  }

  /** Somebody pressed a switch of the account. */
  pressed(account: SimAccount): void {
    this.#pressedAtMs.set(account, this.clock.nowMs());
    this.registers.excuse(account.record.username, this.clock.nowMs());
  }

  /** In the background, and for long enough that a registrar may be expected to have answered. */
  isSteady(account: SimAccount): boolean {
    return (
      this.directory.isWanted(account) && this.clock.nowMs() - (this.#pressedAtMs.get(account) ?? -Infinity) > 60_000
    );
  }

  /** No two ends may still be in a call, when every caller has hung up long ago. */
  checkEnds(): void {
    if (this.restarts > 0 || this.wasDropped) return;
    for (const phone of this.phones.values()) {
      if (phone.isDead || !phone.isOpen || this.clock.nowMs() - phone.openedAtMs < 5_000) continue;
      for (const [key] of phone.talking) this.complain("both ends hang up", phone.deviceId, key.split(" ")[0] ?? "");
      for (const { callId } of phone.ringing.values())
        this.complain("nothing rings at the end", phone.deviceId, callId);
    }
  }

  // ---- strangers

  /** Somebody who is not the account's server tries his luck: a guess at the account, or its stolen Contact. */
  stranger(username: string): void {
    const binding = this.registrar.bindingsOf(username)[0];
    const uris = [`sip:${username}@${hostAddress}:5060`, binding?.uri ?? "", `sip:100@${hostAddress}`];
    const uri = this.#dice.pick(uris.filter((one) => one !== ""));
    const method = this.#dice.pick(["INVITE", "OPTIONS", "REGISTER", "BYE", "MESSAGE", "CANCEL", "ACK"]);
    const text = sipText(`${method} ${uri} SIP/2.0`, [
      `Via: SIP/2.0/UDP ${strangerAddress}:5060;branch=z9hG4bK${this.#dice.token()};rport`,
      "Max-Forwards: 70",
      `From: <sip:stranger@evil.test>;tag=${this.#dice.token()}`,
      `To: <${uri}>`,
      `Call-ID: evil-${this.#dice.token()}`,
      `CSeq: 1 ${method}`,
      `Contact: <sip:stranger@${strangerAddress}>`,
    ]);
    this.#strangerBytes = Math.max(this.#strangerBytes, text.length);
    this.#strangers.send(hostAddress, 5060, new Uint8Array(Buffer.from(text, "latin1")));
  }

  #strangerHeard(bytes: Uint8Array): void {
    if (bytes.length > this.#strangerBytes) {
      this.complain("no more to strangers than they send", Buffer.from(bytes).toString("latin1"), "");
    }
    const status = Buffer.from(bytes.subarray(8, 11)).toString("latin1");
    if (status < "300") this.complain("no to strangers", Buffer.from(bytes).toString("latin1"), "");
  }

  // ---- happenings

  start(): void {
    this.host.receiver = this.core;
    this.core.start();
  }

  /** The worker dies and another one maps the same columns: nothing but those, and its will, is left. */
  crash(): void {
    this.restarts++;
    this.note("", happened("crash"));
    this.wire.removeHost(this.host);
    for (const call of this.trunk.calls.values()) {
      if (call.isOver) continue;
      call.isExcused = true;
      this.met("shard died under a call");
    }
    for (const name of Object.keys(Counter) as CounterName[]) {
      if (name.startsWith("registrations") || name === "callsRunning") this.lane.set(Counter[name], 0);
    }
    const answers = this.pool.executeWill(this.clock.wallMs());
    [this.host, this.core] = this.#boot();
    this.core.start();
    for (const answer of answers) this.command(answer);
    this.pool.tellTunnels();
    for (const phone of this.phones.values()) phone.orphaned();
  }

  /** Whether the shard takes the account for registered and has nothing to send for it in the next seconds. */
  isResting({ record }: SimAccount): boolean {
    const requestId = ++this.#requestIds;
    this.command({ kind: "registrationQuery", requestId, accountId: record.accountId });
    return this.#resting.has(requestId);
  }

  #isResting(status: RegistrationStatus | undefined): boolean {
    if (status?.state !== "registered") return false;
    return status.nextAttemptAtMs === undefined || status.nextAttemptAtMs > this.clock.wallMs() + 5_000;
  }

  presence(account: SimAccount, deviceId: DeviceId, presence: "background" | "foreground"): number {
    const requestId = ++this.#requestIds;
    this.directory.setPresence(account, deviceId, presence);
    const { accountId } = account.record;
    const wanted = this.directory.isWanted(account);
    this.command({ kind: "presence", requestId, accountId, wanted, presence, waitMs: 10_000 });
    return requestId;
  }

  remove(account: SimAccount): void {
    const { accountId } = account.record;
    this.pressed(account);
    this.command({ kind: "accountRemove", requestId: ++this.#requestIds, accountId });
    this.directory.byId.delete(accountId);
  }

  count(name: CounterName): number {
    return this.lane.get(Counter[name]);
  }

  run(ms: number, tickMs = 10): void {
    this.wire.runFor(ms, tickMs);
  }

  /** Nothing of any account's secret lies in the mapped memory. */
  checkColumns(accounts: Iterable<SimAccount>): void {
    const memory = Buffer.from(this.memory);
    for (const account of accounts) {
      for (const secret of secretsOf(account, realm)) {
        if (memory.includes(secret)) this.complain("no secret in the columns", account.record.username, "");
      }
    }
  }
}

/** A rung of what is no message. */
function happened(label: string): Omit<Rung, "atMs"> {
  return { from: "wakeline", to: "wakeline", label };
}
