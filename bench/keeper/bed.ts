import type { AccountId } from "../../src/base/ids.ts";
import type { AccountEntry, AccountRecord, Directory, Proof, Secret } from "../../src/base/records.ts";
import { columnsBytes, openColumns } from "../../src/keeper/columns.ts";
import { Keeper } from "../../src/keeper/keeper.ts";
import type {
  ConnectionId,
  Endpoint,
  LocalAddress,
  Locator,
  Network,
  PeerId,
  SendOutcome,
  Source,
} from "../../src/net/network.ts";
import { Lane } from "../../src/observe/lanes.ts";
import { SipView } from "../../src/sip/message/view.ts";
import type { Clock } from "../../src/time/clock.ts";
import { systemRandom } from "../../src/time/random.ts";

/** As the store gives them. */
const accountsPage = 500;

/** A wire that keeps what was queued, for a bench to answer. */
class SinkNetwork implements Network {
  readonly #endpoints: Endpoint[] = [];
  readonly #local: LocalAddress = { host: "192.0.2.7", port: 5060 };
  readonly bytes: Uint8Array;
  readonly from: Uint32Array;
  readonly to: Uint32Array;
  count = 0;
  #used = 0;

  constructor(messages: number) {
    this.bytes = new Uint8Array(messages * 1024);
    this.from = new Uint32Array(messages);
    this.to = new Uint32Array(messages);
  }
  clear(): void {
    this.count = this.#used = 0;
  }
  peer(endpoint: Endpoint): PeerId {
    this.#endpoints.push(endpoint);
    return this.#endpoints.length as PeerId;
  }
  endpoint(peer: PeerId): Endpoint {
    return this.#endpoints[peer - 1]!;
  }
  localAddress(): LocalAddress {
    return this.#local;
  }
  send(): SendOutcome {
    return "sent";
  }
  queue(_peer: PeerId, bytes: Uint8Array, from: number, to: number): void {
    this.bytes.set(bytes.subarray(from, to), this.#used);
    this.from[this.count] = this.#used;
    this.#used += to - from;
    this.to[this.count++] = this.#used;
  }
  flush(): void {}
  reply(): SendOutcome {
    return "sent";
  }
  isFrom(): boolean {
    return true;
  }
  keepAlive(): void {}
  close(): void {}
}

class StepClock implements Clock {
  atMs = 1000;
  nowMs(): number {
    return this.atMs;
  }
  wallMs(): number {
    return this.atMs + 1_795_521_600_000;
  }
}

class ManyAccounts implements Directory {
  readonly #records: AccountRecord[] = [];
  readonly #byId = new Map<AccountId, AccountRecord>();
  constructor(count: number) {
    for (let n = 0; n < count; n++) {
      const record: AccountRecord = {
        accountId: `0193a000-0000-7000-8000-${n.toString(16).padStart(12, "0")}` as AccountId,
        app: "com.example.phone",
        username: `u${n.toString().padStart(6, "0")}`,
        domain: "pbx.example.net",
        authUsername: undefined,
        displayName: undefined,
        proxy: undefined,
        alternateProxy: undefined,
        transport: "udp",
        expiresSec: 3600,
        registrationMode: "auto",
        learnedMode: undefined,
        natEmulation: false,
        instanceId: undefined,
        userAgent: undefined,
        forwardTo: undefined,
        version: 1,
      };
      this.#records.push(record);
      this.#byId.set(record.accountId, record);
    }
  }
  account(accountId: AccountId): AccountRecord | undefined {
    return this.#byId.get(accountId);
  }
  secret(): Secret {
    return { kind: "password", password: "secret" };
  }
  proof(accountId: AccountId): Proof | undefined {
    const record = this.account(accountId);
    return record === undefined ? undefined : { username: record.username, secret: this.secret() };
  }
  prepareProofs(): void {}
  wantVoicemail(): readonly AccountId[] {
    return [];
  }
  subscriptions(): readonly [] {
    return [];
  }
  *accounts(): Iterable<readonly AccountEntry[]> {
    for (let at = 0; at < this.#records.length; at += accountsPage) {
      yield this.#records.slice(at, at + accountsPage).map((record) => ({ record, wanted: true }));
    }
  }
  size(): number {
    return this.#records.length;
  }
}

const source: Source = { transport: "udp", address: "192.0.2.10", port: 5060, connection: 0 as ConnectionId };

const text = (from: Uint8Array, at: number, to: number): string =>
  Buffer.from(from.buffer, at, to - at).toString("latin1");

/** A keeper with many accounts on a wire that goes nowhere; the bench plays the registrar. */
export class KeeperBed {
  readonly clock = new StepClock();
  readonly network: SinkNetwork;
  readonly lane = new Lane(new ArrayBuffer(Lane.bytes(1)), 0);
  readonly memory: ArrayBuffer;
  readonly directory: ManyAccounts;
  keeper: Keeper;
  readonly view = new SipView();
  readonly #locator: Locator = {
    locate: (_target, done) =>
      done({ ok: true, endpoints: [{ transport: "udp", address: "192.0.2.10", port: 5060 }], ttlSec: 86_400 }),
  };

  constructor(count: number) {
    this.network = new SinkNetwork(count + 64);
    this.directory = new ManyAccounts(count);
    this.memory = new ArrayBuffer(columnsBytes(count));
    this.keeper = this.make();
  }

  make(): Keeper {
    return new Keeper({
      clock: this.clock,
      random: systemRandom,
      network: this.network,
      locator: this.#locator,
      directory: this.directory,
      columns: openColumns(this.memory),
      lane: this.lane,
      userAgent: "Wakeline",
      events: {
        onRegistration: () => undefined,
        onChanged: () => undefined,
        onModeLearned: () => undefined,
        onPresenceDone: () => undefined,
        onRemoved: () => undefined,
        onProof: () => undefined,
        onRefused: () => undefined,
        onRealmChanged: () => undefined,
        onServerKnown: () => undefined,
      },
    });
  }

  /** Answers to everything queued, as Kamailio writes them: 401 to what has no credentials, 200 to the rest. */
  answers(): {
    readonly bytes: Uint8Array;
    readonly from: Uint32Array;
    readonly to: Uint32Array;
    readonly count: number;
  } {
    const { network } = this;
    const out = new Uint8Array(network.count * 700);
    const from = new Uint32Array(network.count);
    const to = new Uint32Array(network.count);
    let at = 0;
    for (let n = 0; n < network.count; n++) {
      const request = text(network.bytes, network.from[n]!, network.to[n]!);
      const lines = request.split("\r\n");
      const via = lines[1]!.replace(";rport;", ";rport=5060;received=192.0.2.7;");
      const contact = lines.find((line) => line.startsWith("Contact:"))!;
      const head = [via, lines[3], `${lines[4]};tag=a6a1c5f60faecf035a1ae5b6e96e979a.0e3b`, lines[5], lines[6]].join(
        "\r\n",
      );
      const answer = request.includes("\r\nAuthorization:")
        ? `SIP/2.0 200 OK\r\n${head}\r\n${contact.replace(">;", ">;expires=3600;")}\r\nServer: kamailio (5.6.3 (x86_64/linux))\r\nContent-Length: 0\r\n\r\n`
        : `SIP/2.0 401 Unauthorized\r\n${head}\r\nWWW-Authenticate: Digest realm="pbx.example.net", nonce="Z0NDsGdDQoQ5mU1${n.toString(36).padStart(8, "0")}x6dCWQ1Nvb", qop="auth"\r\nServer: kamailio (5.6.3 (x86_64/linux))\r\nContent-Length: 0\r\n\r\n`;
      from[n] = at;
      out.set(Buffer.from(answer, "latin1"), at);
      at += answer.length;
      to[n] = at;
    }
    const { count } = network;
    network.clear();
    return { bytes: out, from, to, count };
  }

  /** Hands in answers; nanoseconds each. */
  handle(answers: ReturnType<KeeperBed["answers"]>): number {
    const { bytes, from, to, count } = answers;
    const started = Bun.nanoseconds();
    for (let n = 0; n < count; n++) this.keeper.onResponse(bytes, from[n]!, to[n]!, this.view, source);
    return (Bun.nanoseconds() - started) / Math.max(count, 1);
  }

  /** Starts the keeper and ticks until every account is in; the clock stands. */
  bringIn(): void {
    this.keeper.start();
    const accounts = this.directory.size();
    while ((this.keeper.registrars()[0]?.accounts ?? 0) < accounts) this.keeper.tick(this.clock.nowMs());
  }

  /** Registers everybody; returns how many round trips it took. */
  registerAll(): void {
    this.keeper.start();
    for (let round = 0; round < 100_000; round++) {
      this.clock.atMs += 1;
      this.keeper.tick(this.clock.nowMs());
      if (this.network.count === 0 && round > 10) return;
      this.handle(this.answers());
    }
  }
}
