import type { AccountId, RegistrationIndex } from "../../src/base/ids.ts";
import type {
  AccountEntry,
  AccountRecord,
  Directory,
  Proof,
  ProofPlace,
  Secret,
  SubscriptionRecord,
} from "../../src/base/records.ts";
import { type Columns, columnsBytes, openColumns } from "../../src/keeper/columns.ts";
import { Keeper, type KeeperEvents } from "../../src/keeper/keeper.ts";
import type { Endpoint } from "../../src/net/network.ts";
import { Counter, type CounterName, Lane } from "../../src/observe/lanes.ts";
import { SipView } from "../../src/sip/message/view.ts";
import type { RegistrationStatus } from "../../src/workers/protocol.ts";
import { accountRecord } from "../fakes/account-record.ts";
import { SeededRandom, VirtualClock } from "../fakes/virtual-clock.ts";
import { fairWeather, type VirtualHost, VirtualLocator, VirtualWire, type Weather } from "../fakes/virtual-network.ts";
import { type RegistrarOptions, VirtualRegistrar } from "../fakes/virtual-registrar.ts";

export const registrarEndpoint: Endpoint = { transport: "udp", address: "192.0.2.10", port: 5060 };
const hostAddress = "198.51.100.7";

export function accountIdOf(n: number): AccountId {
  return `0193a000-0000-7000-8000-${n.toString(16).padStart(12, "0")}` as AccountId;
}

export function accountOf(n: number, change: Partial<AccountRecord> = {}): AccountRecord {
  return accountRecord({ accountId: accountIdOf(n), username: `u${n}`, ...change });
}

/** Accounts and secrets as a Map. */
export class VirtualDirectory implements Directory {
  readonly records = new Map<AccountId, AccountRecord>();
  readonly secrets = new Map<AccountId, Secret>();
  readonly unwanted = new Set<AccountId>();
  secretReads = 0;
  /** Whose secrets were read ahead. */
  readonly prepared: AccountId[] = [];

  put(record: AccountRecord, secret: Secret = { kind: "password", password: `p-${record.username}` }): void {
    this.records.set(record.accountId, record);
    this.secrets.set(record.accountId, secret);
  }
  remove(accountId: AccountId): void {
    this.records.delete(accountId);
    this.secrets.delete(accountId);
  }
  account(accountId: AccountId): AccountRecord | undefined {
    return this.records.get(accountId);
  }
  secret(accountId: AccountId): Secret | undefined {
    this.secretReads++;
    return this.secrets.get(accountId);
  }
  proof(accountId: AccountId): Proof | undefined {
    const record = this.account(accountId);
    const secret = this.secret(accountId);
    return record === undefined || secret === undefined
      ? undefined
      : { username: record.authUsername ?? record.username, secret };
  }
  prepareProofs(accountIds: readonly AccountId[]): void {
    this.prepared.push(...accountIds);
  }
  wantVoicemail(): readonly AccountId[] {
    return [];
  }
  subscriptions(): readonly SubscriptionRecord[] {
    return [];
  }
  /** Accounts a page. */
  pageSize = 1_000_000;
  *accounts(): Iterable<readonly AccountEntry[]> {
    const accountIds = [...this.records.keys()];
    for (let at = 0; at < accountIds.length; at += this.pageSize) {
      yield accountIds.slice(at, at + this.pageSize).flatMap((accountId) => {
        const record = this.records.get(accountId);
        return record === undefined ? [] : [{ record, wanted: !this.unwanted.has(accountId) }];
      });
    }
  }
  size(): number {
    return this.records.size;
  }
}

export type News =
  | { readonly kind: "changed"; readonly accountId: AccountId; readonly status: RegistrationStatus }
  | { readonly kind: "mode"; readonly accountId: AccountId; readonly mode: string }
  | {
      readonly kind: "presence";
      readonly requestId: number;
      readonly isPending: boolean;
      readonly status: RegistrationStatus;
    }
  | { readonly kind: "removed"; readonly requestId: number }
  | {
      readonly kind: "proof";
      readonly requestId: number;
      readonly outcome: string;
      readonly status: number;
      readonly reason: string;
      readonly isProven: boolean;
    }
  | { readonly kind: "refused"; readonly accountId: AccountId; readonly status: number; readonly reason: string }
  | { readonly kind: "realm"; readonly accountId: AccountId; readonly registrar: string; readonly realm: string }
  | { readonly kind: "serverKnown"; readonly row: RegistrationIndex };

/** A keeper on a virtual network with one registrar, under a clock that stands still. */
export class BenchShard {
  readonly clock = new VirtualClock();
  readonly random: SeededRandom;
  readonly wire: VirtualWire;
  readonly locator = new VirtualLocator();
  readonly directory = new VirtualDirectory();
  readonly registrar: VirtualRegistrar;
  readonly lane = new Lane(new ArrayBuffer(Lane.bytes(1)), 0);
  readonly memory: ArrayBuffer;
  readonly news: News[] = [];
  host: VirtualHost;
  columns: Columns;
  keeper: Keeper;
  readonly #view = new SipView();
  readonly #ticker = (nowMs: number): void => this.keeper.tick(nowMs);
  readonly #hostOptions: { readonly tlsPort?: number; readonly natAddress?: string; readonly port?: number };
  #requestId = 0;

  constructor(
    options: {
      readonly registrar?: RegistrarOptions;
      readonly endpoint?: Endpoint;
      readonly weather?: Partial<Weather>;
      readonly seed?: number;
      readonly rows?: number;
      readonly host?: { readonly tlsPort?: number; readonly natAddress?: string; readonly port?: number };
    } = {},
  ) {
    this.random = new SeededRandom(options.seed ?? 1);
    this.wire = new VirtualWire(this.clock, this.random, { ...fairWeather, ...options.weather });
    const endpoint = options.endpoint ?? registrarEndpoint;
    this.registrar = new VirtualRegistrar(this.wire, endpoint, options.registrar);
    this.locator.set("virtual.test", [endpoint]);
    this.memory = new ArrayBuffer(columnsBytes(options.rows ?? 64));
    this.#hostOptions = options.host ?? {};
    this.host = this.#makeHost();
    this.columns = openColumns(this.memory);
    this.keeper = this.#makeKeeper();
    this.wire.addTicker(this.#ticker);
  }

  #makeHost(): VirtualHost {
    return this.wire.host({ address: hostAddress, port: 5060, ...this.#hostOptions });
  }

  #makeKeeper(): Keeper {
    const events: KeeperEvents = {
      onRegistration: () => {},
      onChanged: (_row, accountId, status) => this.news.push({ kind: "changed", accountId, status }),
      onModeLearned: (accountId, mode) => this.news.push({ kind: "mode", accountId, mode }),
      onPresenceDone: (requestId, isPending, status) =>
        this.news.push({ kind: "presence", requestId, isPending, status }),
      onRemoved: (requestId) => this.news.push({ kind: "removed", requestId }),
      onProof: (requestId, proof) => this.news.push({ kind: "proof", requestId, ...proof }),
      onRefused: (accountId, status, reason) => this.news.push({ kind: "refused", accountId, status, reason }),
      onRealmChanged: (accountId, registrar, realm) => this.news.push({ kind: "realm", accountId, registrar, realm }),
      onServerKnown: (row) => this.news.push({ kind: "serverKnown", row }),
    };
    const keeper = new Keeper({
      clock: this.clock,
      random: this.random,
      network: this.host,
      locator: this.locator,
      directory: this.directory,
      columns: this.columns,
      lane: this.lane,
      userAgent: "Wakeline",
      events,
    });
    this.host.receiver = {
      onMessage: (bytes, from, to, source) => {
        keeper.onResponse(bytes, from, to, this.#view, source);
      },
      onPeerDown: (peer, reason) => keeper.onPeerDown(peer, reason),
    };
    return keeper;
  }

  /** Puts account n into the directory and tells the keeper. */
  add(n: number, change: Partial<AccountRecord> = {}, secret?: Secret): AccountId {
    const record = accountOf(n, change);
    this.directory.put(record, secret);
    this.keeper.accountChanged(record.accountId, true);
    return record.accountId;
  }

  /** The process dies, or its thread alone, and another one maps the same columns; `port`: where it listens now. */
  restart(options: { readonly port?: number; readonly downMs?: number; readonly isThreadOnly?: boolean } = {}): void {
    this.wire.removeHost(this.host);
    if (options.downMs !== undefined) {
      this.wire.removeTicker(this.#ticker);
      this.wire.runFor(options.downMs, options.downMs);
      this.wire.addTicker(this.#ticker);
    }
    this.host =
      options.port === undefined
        ? this.#makeHost()
        : this.wire.host({ address: hostAddress, ...this.#hostOptions, port: options.port });
    if (options.isThreadOnly !== true) {
      for (const name of Object.keys(Counter) as CounterName[]) this.lane.set(Counter[name], 0);
    }
    this.columns = openColumns(this.memory);
    this.keeper = this.#makeKeeper();
    this.keeper.start();
  }

  run(ms: number, tickMs = 10): void {
    this.wire.runFor(ms, tickMs);
  }

  presence(accountId: AccountId, wanted: boolean, waitMs = 5000): number {
    const requestId = ++this.#requestId;
    const presence = wanted ? "background" : "foreground";
    this.keeper.presence({ requestId, accountId, wanted, presence, waitMs });
    return requestId;
  }

  remove(accountId: AccountId): number {
    const requestId = ++this.#requestId;
    this.keeper.accountRemove(requestId, accountId);
    return requestId;
  }

  prove(accountId: AccountId, secret: Secret, place?: ProofPlace): number {
    const requestId = ++this.#requestId;
    this.keeper.prove({ requestId, accountId, secret, ...(place === undefined ? {} : { place }) });
    return requestId;
  }

  state(accountId: AccountId): string | undefined {
    return this.keeper.status(accountId)?.state;
  }

  count(name: CounterName): number {
    return this.lane.get(Counter[name]);
  }

  newsOf<K extends News["kind"]>(kind: K): Extract<News, { kind: K }>[] {
    return this.news.filter((one): one is Extract<News, { kind: K }> => one.kind === kind);
  }

  answerOf(requestId: number): Extract<News, { kind: "presence" }> | undefined {
    return this.newsOf("presence").find((one) => one.requestId === requestId);
  }
}
