import type { AccountId, RegistrationIndex } from "../base/ids.ts";
import type { AccountRecord, Directory, RegistrationMode } from "../base/records.ts";
import type { LocalAddress, Locator, Network, PeerId, Source } from "../net/network.ts";
import type { Lane } from "../observe/lanes.ts";
import { type Log, silentLog } from "../observe/log.ts";
import { formatHostPort } from "../sip/host-port.ts";
import { scan, ScanResult } from "../sip/message/scan.ts";
import { MessageKind, type SipView } from "../sip/message/view.ts";
import { escapeUser } from "../sip/uri.ts";
import type { Clock } from "../time/clock.ts";
import type { Random } from "../time/random.ts";
import type { Command, RegistrarStatus, RegistrationStatus } from "../workers/protocol.ts";
import { Answers } from "./answers.ts";
import { Attempts } from "./attempts.ts";
import type { Columns } from "./columns.ts";
import { Conduct } from "./conduct.ts";
import { Ledger } from "./ledger.ts";
import { Happening, RegistrationStateId, type RegistrationStateNumber } from "./machine.ts";
import { isToken, lineToken, tokenRow } from "./names.ts";
import { PresenceRequests } from "./presence-requests.ts";
import { domainText, type ProfileKey } from "./profile.ts";
import { Proofs } from "./proofs.ts";
import { RandomPool } from "./random-pool.ts";
import { Registrar, Registrars } from "./registrar.ts";
import { VolatileRows } from "./volatile-rows.ts";
import { Flag, ModeId, modeNumber } from "./row-flags.ts";

type PresenceCommand = Omit<Extract<Command, { kind: "presence" }>, "kind">;
type ProveCommand = Omit<Extract<Command, { kind: "prove" }>, "kind">;

/** News from the registrations of a shard. */
export interface KeeperEvents {
  /** Into registered, refused, retrying or idle; not for refreshes. */
  onChanged(row: RegistrationIndex, accountId: AccountId, status: RegistrationStatus): void;
  onModeLearned(accountId: AccountId, mode: Exclude<RegistrationMode, "auto">): void;
  onPresenceDone(requestId: number, isPending: boolean, status: RegistrationStatus): void;
  /** The secret is in memory: the store may erase it. */
  onRemoved(requestId: number): void;
  onProof(requestId: number, outcome: "accepted" | "refused" | "unavailable", status: number, reason: string): void;
  /** The registrar refused the account's credentials, or the account. */
  onRefused(accountId: AccountId, status: number, reason: string): void;
  /** `serverOf` said undefined for this row and now knows. */
  onServerKnown(row: RegistrationIndex): void;
}

export interface KeeperOptions {
  readonly clock: Clock;
  readonly random: Random;
  readonly network: Network;
  readonly locator: Locator;
  readonly directory: Directory;
  readonly columns: Columns;
  readonly lane: Lane;
  readonly userAgent: string;
  readonly events: KeeperEvents;
  readonly log?: Log;
}

/** A row that was bound before the restart whose route was not known then is looked at again this often. */
const verifyEveryMs = 1000;

/**
 * The registration side of a shard: keeps every account registered that is wanted, with manners, and knows for the anchor who is who. Runs on
 * what happens (responses, commands, lost peers) and on `tick`; never blocks, never throws for what the network sends.
 */
export class Keeper {
  readonly #clock: Clock;
  readonly #network: Network;
  readonly #directory: Directory;
  readonly #columns: Columns;
  readonly #events: KeeperEvents;
  readonly #ledger: Ledger;
  readonly #conduct: Conduct;
  readonly #attempts: Attempts;
  readonly #answers: Answers;
  readonly #presences: PresenceRequests;
  readonly #proofs: Proofs;
  /** Rows kept over a restart whose Contact could not be compared with our address yet. */
  #unverified: RegistrationIndex[] = [];
  #verifyAtMs = 0;

  constructor(options: KeeperOptions) {
    const { clock, random, network, locator, directory, columns, lane, userAgent, events } = options;
    const log = options.log ?? silentLog;
    this.#clock = clock;
    this.#network = network;
    this.#directory = directory;
    this.#columns = columns;
    this.#events = events;
    const volatile = new VolatileRows(columns.capacity);
    const pool = new RandomPool(random);
    const owner = {
      onLocated: (registrar: Registrar): void => this.#attempts.onLocated(registrar),
      onLost: (registrar: Registrar, reason: string): void => this.#attempts.onLost(registrar, reason),
    };
    const registrars = new Registrars(
      (id, target, secure) => new Registrar({ id, target, secure, clock, volatile, random, network, locator, owner }),
    );
    this.#ledger = new Ledger({
      columns,
      volatile,
      registrars,
      directory,
      network,
      clock,
      pool,
      lane,
      userAgent,
      events: { onState: (row, state) => this.#onState(row, state) },
    });
    this.#conduct = new Conduct(
      this.#ledger,
      {
        onModeLearned: (row, mode) => events.onModeLearned(columns.accountId(row), mode),
        onRefused: (row, status, reason) => events.onRefused(columns.accountId(row), status, reason),
        onServerKnown: (row) => events.onServerKnown(row),
        onForgotten: (row) => this.#ledger.free(row, this.#attempts.nowMs),
      },
      log,
    );
    this.#attempts = new Attempts(this.#ledger, this.#conduct, log);
    this.#conduct.connect(this.#attempts);
    this.#answers = new Answers(this.#ledger, this.#attempts, this.#conduct, log);
    this.#presences = new PresenceRequests((requestId, row, isPending) =>
      events.onPresenceDone(requestId, isPending, this.#ledger.status(row, this.#attempts.nowMs)),
    );
    this.#proofs = new Proofs(network, pool, (request, outcome, status, reason) => {
      this.#releaseProfile(request.profile.key);
      events.onProof(request.requestId, outcome, status, reason);
    });
  }

  // ---- life

  /**
   * Brings rows and directory together: a row whose binding lives goes on with its timers and sends nothing, what is new or was torn
   * registers through the budgets. Nothing leaves before the first tick.
   */
  start(): { readonly accounts: number } {
    const now = this.#read();
    this.#attempts.isHeld = true;
    let accounts = 0;
    for (const { record, wanted } of this.#directory.accounts()) {
      accounts++;
      const row = this.#columns.find(record.accountId);
      if (row === undefined) this.#create(record, wanted);
      else this.#resume(row, record, wanted, now);
    }
    const { columns, volatile } = this.#ledger;
    for (let row = 0 as RegistrationIndex; row < columns.used; row = (row + 1) as RegistrationIndex) {
      if (columns.isUsed(row) && volatile.profile(row) === 0) columns.free(row, now);
    }
    this.#attempts.isHeld = false;
    return { accounts };
  }

  tick(nowMs: number): void {
    this.#attempts.setNow(nowMs);
    this.#ledger.followClock(nowMs);
    this.#attempts.tick(nowMs);
    this.#presences.tick(nowMs);
    if (this.#proofs.size > 0) this.#proofs.tick(nowMs);
    if (this.#unverified.length > 0 && nowMs >= this.#verifyAtMs) {
      this.#verifyAtMs = nowMs + verifyEveryMs;
      const rows = this.#unverified;
      this.#unverified = [];
      for (const row of rows) this.#verifyContact(row);
    }
    this.#network.flush();
  }

  /** When `tick` may next have something to do: perhaps early, never late. */
  nextDueMs(): number {
    return this.#proofs.size > 0 || this.#unverified.length > 0 ? this.#attempts.nowMs : this.#attempts.nextDueMs();
  }

  /** Says that the rows are whole: call it when nothing more will be asked of the keeper. */
  flushColumns(clean: boolean): void {
    this.#columns.markClean(clean);
  }

  // ---- from the wire

  /** HOT. A datagram or framed message that is a response; false when it belongs to somebody else. `view` is used. */
  onResponse(bytes: Uint8Array, from: number, to: number, view: SipView, source: Source): boolean {
    if (scan(bytes, from, to, view) !== ScanResult.ok || view.kind !== MessageKind.response) return false;
    const now = this.#read();
    if (this.#answers.onResponse(view, source)) return true;
    return this.#proofs.size > 0 && this.#proofs.onResponse(view, source, now);
  }

  onPeerDown(peer: PeerId, reason: string): void {
    this.#read();
    this.#attempts.onPeerDown(peer, reason);
  }

  // ---- commands

  /** An account was written: loads what changed and registers or retires it. */
  accountChanged(accountId: AccountId, wanted: boolean): void {
    this.#read();
    const record = this.#directory.account(accountId);
    const row = this.#columns.find(accountId);
    if (record === undefined) {
      if (row !== undefined) this.#remove(row);
      return;
    }
    if (row === undefined) {
      this.#create(record, wanted);
      return;
    }
    const isTurned = this.#columns.is(row, Flag.wanted) !== wanted;
    this.#columns.set(row, Flag.wanted, wanted);
    if (record.version === this.#columns.version(row)) {
      if (record.learnedMode !== undefined) this.#columns.setLearnedMode(row, modeNumber(record.learnedMode));
      this.#conduct.settle(row, isTurned);
    } else this.#change(row, record);
    this.#columns.seal(row);
  }

  /** Takes the secret into memory, un-REGISTERs until answered or the binding has run out, and forgets the account. */
  accountRemove(requestId: number, accountId: AccountId): void {
    this.#read();
    const row = this.#columns.find(accountId);
    if (row === undefined) {
      this.#events.onRemoved(requestId);
      return;
    }
    const record = this.#directory.account(accountId);
    const secret = this.#directory.secret(accountId);
    if (record !== undefined && secret !== undefined) {
      this.#ledger.secrets.hold(row, { username: record.authUsername ?? record.username, secret });
    }
    this.#events.onRemoved(requestId);
    this.#remove(row);
  }

  /** Some device moved to the foreground or background. The answer comes when the registration is where it should be, or after `waitMs`. */
  presence(command: PresenceCommand): void {
    const now = this.#read();
    const { requestId, accountId, wanted, waitMs } = command;
    let row = this.#columns.find(accountId);
    if (row === undefined) {
      const record = this.#directory.account(accountId);
      row = record === undefined ? undefined : this.#create(record, wanted);
    }
    if (row === undefined) {
      this.#events.onPresenceDone(requestId, true, { mode: "auto", state: "idle" });
      return;
    }
    this.#columns.set(row, Flag.wanted, wanted);
    this.#conduct.settle(row, true);
    this.#columns.seal(row);
    this.#presences.add(requestId, row, wanted, this.#ledger.state(row), now, waitMs);
  }

  /** Tries credentials at the account's registrar; the answer comes within 8 s. */
  prove(command: ProveCommand): void {
    const now = this.#read();
    const { requestId, accountId, secret } = command;
    const record = this.#directory.account(accountId);
    const key = record === undefined ? undefined : this.#ledger.keyOf(record);
    if (record === undefined || key === undefined) {
      this.#events.onProof(requestId, "unavailable", 0, record === undefined ? "no such account" : "no such host");
      return;
    }
    const profile = this.#ledger.profiles.acquire(key);
    const stored = this.#directory.secret(accountId);
    this.#proofs.begin({ requestId, record, secret, stored, profile }, now);
  }

  status(accountId: AccountId): RegistrationStatus | undefined {
    const now = this.#read();
    const row = this.#columns.find(accountId);
    return row === undefined ? undefined : this.#ledger.status(row, now);
  }

  /** Operator: a refused or waiting account is tried at once. */
  retryNow(accountId: AccountId): void {
    const now = this.#read();
    const row = this.#columns.find(accountId);
    if (row === undefined || !this.#columns.is(row, Flag.wanted)) return;
    this.#columns.set(row, Flag.denied, false);
    this.#columns.setFailures(row, 0);
    const registrar = this.#ledger.registrar(row);
    registrar.breaker.close();
    registrar.reach.probeNow(now);
    this.#attempts.enqueue(row, true);
    this.#columns.seal(row);
  }

  registrars(): readonly RegistrarStatus[] {
    const now = this.#read();
    return [...this.#ledger.registrars].map((registrar) => registrar.status(now));
  }

  // ---- what the anchor asks: its interface AccountBook (anchor/account-book.ts), which stands above this layer

  rowOf(accountId: AccountId): RegistrationIndex | undefined {
    return this.#columns.find(accountId);
  }

  accountId(row: RegistrationIndex): AccountId {
    return this.#columns.accountId(row);
  }

  rowByLine(token: string): RegistrationIndex | undefined {
    const row = tokenRow(token) as RegistrationIndex;
    if (!this.#isLive(row)) return undefined;
    const bytes = Buffer.from(token, "latin1");
    return isToken(this.#columns, row, bytes, 0, bytes.length) ? row : undefined;
  }

  rowByAddress(user: string, source: Source): RegistrationIndex | undefined {
    let found: RegistrationIndex | undefined;
    let isAmbiguous = false;
    this.#ledger.eachOfUser(user, (row) => {
      if (!this.#isLive(row) || !this.isServer(row, source)) return false;
      isAmbiguous = found !== undefined;
      found = row;
      return isAmbiguous;
    });
    return isAmbiguous ? undefined : found;
  }

  isServer(row: RegistrationIndex, source: Source): boolean {
    if (!this.#isLive(row)) return false;
    const last = this.#ledger.volatile.peer(row);
    if (last !== 0 && this.#network.isFrom(last, source)) return true;
    const profile = this.#ledger.profile(row);
    for (const peer of profile.registrar.reach.peers) if (this.#network.isFrom(peer, source)) return true;
    for (const peer of profile.base?.registrar.reach.peers ?? []) if (this.#network.isFrom(peer, source)) return true;
    return false;
  }

  serverOf(row: RegistrationIndex): PeerId | undefined {
    if (!this.#isLive(row)) return undefined;
    const registrar = this.#ledger.registrar(row);
    const { current } = registrar.reach;
    if (current !== undefined) return current;
    registrar.askedFor.add(row);
    registrar.locate(this.#read());
    // A locator may have answered at once.
    return registrar.reach.current;
  }

  contactUri(row: RegistrationIndex, peer: PeerId): string {
    const local = this.#local(row, peer);
    const place = local.host.startsWith("[") ? `${local.host}:${local.port}` : formatHostPort(local.host, local.port);
    const { transport } = this.#network.endpoint(peer);
    return `sip:${this.#ledger.user(row)}@${place};transport=${transport};line=${lineToken(this.#columns, row)}`;
  }

  aor(row: RegistrationIndex): { readonly user: string; readonly domain: string } {
    if (!this.#isLive(row)) return { user: "", domain: "" };
    return { user: this.#ledger.user(row), domain: domainText(this.#ledger.profile(row).key.domain) };
  }

  serviceRoute(row: RegistrationIndex): readonly string[] {
    return this.#ledger.serviceRoutes.get(row) ?? [];
  }

  secondsLeft(row: RegistrationIndex): number {
    const now = this.#read();
    if (!this.#ledger.isBound(row, now)) return 0;
    return Math.max(0, Math.floor((this.#columns.expiresMs(row) - this.#ledger.wallOf(now)) / 1000));
  }

  isSecure(row: RegistrationIndex): boolean {
    return this.#isLive(row) && this.#ledger.profile(row).key.secure;
  }

  isNatEmulated(row: RegistrationIndex): boolean {
    return this.#isLive(row) && this.#ledger.profile(row).key.natEmulation;
  }

  authorize(
    row: RegistrationIndex,
    challenge: SipView,
    source: Source,
    method: string,
    uri: string,
  ): string | undefined {
    if (!this.isServer(row, source)) return undefined;
    return this.#ledger.credentials.authorize(row, challenge, method, uri);
  }

  // ---- inside

  /** Reads the clock for what is going on now. */
  #read(): number {
    const now = this.#clock.nowMs();
    this.#attempts.setNow(now);
    return now;
  }

  #isLive(row: RegistrationIndex): boolean {
    return (
      this.#columns.isUsed(row) &&
      this.#ledger.volatile.profile(row) !== 0 &&
      !this.#columns.is(row, Flag.removing | Flag.farewell)
    );
  }

  #local(row: RegistrationIndex, peer: PeerId): LocalAddress {
    const nat = this.isNatEmulated(row);
    // A route that is not known yet cannot have brought anybody here; a name that leads nowhere does no harm.
    return (
      this.#network.localAddress(peer, nat) ?? {
        host: "localhost.invalid",
        port: this.#columns.contactPort(row) || 5060,
      }
    );
  }

  #create(record: AccountRecord, wanted: boolean): RegistrationIndex | undefined {
    const row = this.#ledger.create(record, this.#attempts.nowMs);
    if (row === undefined) return undefined;
    this.#columns.set(row, Flag.wanted, wanted);
    this.#columns.seal(row);
    this.#conduct.settle(row, false);
    this.#columns.seal(row);
    return row;
  }

  /** A row that the mapped file kept. */
  #resume(row: RegistrationIndex, record: AccountRecord, wanted: boolean, now: number): void {
    const columns = this.#columns;
    const isSame = columns.version(row) === record.version;
    if (!this.#ledger.adopt(row, record, now)) return;
    columns.set(row, Flag.wanted, wanted);
    if (!isSame) this.#clearHistory(row, record);
    const server = columns.server(row);
    if (server !== undefined) this.#rememberServer(row, server);
    if (wanted && columns.is(row, Flag.bound) && this.#ledger.isBound(row, now)) {
      this.#ledger.happen(row, Happening.bound, now);
      const actMs = this.#ledger.monotonicOf(columns.actMs(row));
      if (isSame && columns.actMs(row) !== 0 && actMs > now) {
        this.#attempts.schedule(row, actMs);
        this.#verifyContact(row);
      } else this.#attempts.enqueue(row);
    } else if (wanted && columns.is(row, Flag.denied) && columns.actMs(row) !== 0) {
      this.#attempts.schedule(row, this.#ledger.monotonicOf(columns.actMs(row)));
    } else {
      // The binding ran out while nobody looked, or an attempt was under way.
      if (wanted && columns.is(row, Flag.bound)) this.#conduct.onLapsed(row);
      this.#conduct.settle(row, false);
    }
    columns.seal(row);
  }

  #rememberServer(
    row: RegistrationIndex,
    server: { transport: "udp" | "tcp" | "tls"; address: string; port: number },
  ): void {
    const { registrar } = this.#ledger.profile(row);
    const peer = this.#network.peer(
      server.transport === "tls" ? { ...server, serverName: registrar.target.host } : server,
    );
    this.#ledger.volatile.setPeer(row, peer);
    registrar.rememberFormer(peer);
  }

  /** A binding of before the restart is good only if its Contact still leads to us. */
  #verifyContact(row: RegistrationIndex): void {
    if (!this.#isLive(row) || !this.#columns.is(row, Flag.bound)) return;
    const peer = this.#ledger.volatile.peer(row);
    if (peer === 0) return;
    const local = this.#network.localAddress(peer, this.isNatEmulated(row));
    if (local === undefined) this.#unverified.push(row);
    else if (
      local.port !== this.#columns.contactPort(row) ||
      this.#ledger.peers.hostHash(local) !== this.#columns.contactHost(row)
    ) {
      this.#attempts.enqueue(row);
    }
  }

  /** Something about the account is new: what was learned under the old holds no longer. */
  #clearHistory(row: RegistrationIndex, record: AccountRecord): void {
    const columns = this.#columns;
    columns.set(row, Flag.denied | Flag.plain | Flag.keepsSeveral | Flag.keepsLine, false);
    columns.setFailures(row, 0);
    columns.setLearnedMode(row, record.learnedMode === undefined ? ModeId.auto : modeNumber(record.learnedMode));
    // The same password in the same realm keeps its pin; anything else starts without one.
    if (this.#ledger.credentials.isUnchanged(row) !== true) {
      this.#ledger.credentials.forget(row);
      columns.setAlgorithmFloor(row, 0);
      columns.set(row, Flag.realmKnown, false);
    }
  }

  #change(row: RegistrationIndex, record: AccountRecord): void {
    const now = this.#attempts.nowMs;
    const ledger = this.#ledger;
    const key = ledger.keyOf(record);
    if (key === undefined) {
      this.#remove(row);
      return;
    }
    this.#attempts.abandon(row);
    const former = ledger.profile(row);
    const isElsewhere =
      !isSamePlace((former.base ?? former).key, key) || ledger.user(row) !== escapeUser(record.username);
    if (isElsewhere && ledger.mayBeBound(row, now)) this.#sayFarewell(row, now);
    ledger.detach(row);
    this.#clearHistory(row, record);
    ledger.attach(row, record, key);
    if (isElsewhere) this.#becomeAnother(row, now);
    this.#conduct.settle(row, true);
    if (ledger.isBound(row, now) && this.#columns.is(row, Flag.wanted)) this.#attempts.enqueue(row, true);
  }

  /** The binding of the former identity is removed by a row of its own. */
  #sayFarewell(row: RegistrationIndex, now: number): void {
    const farewell = this.#ledger.split(row, now);
    if (farewell === undefined) return;
    this.#columns.set(farewell, Flag.removing, true);
    this.#columns.set(farewell, Flag.wanted, false);
    this.#conduct.settle(farewell, true);
    if (this.#columns.isUsed(farewell)) this.#columns.seal(farewell);
  }

  #becomeAnother(row: RegistrationIndex, now: number): void {
    const columns = this.#columns;
    this.#ledger.credentials.forget(row);
    columns.set(row, Flag.bound | Flag.moved, false);
    columns.setExpiresMs(row, 0);
    columns.setMayEndSec(row, 0);
    columns.setContactPorts(row, 0, 0);
    this.#ledger.removals.delete(row);
    this.#ledger.serviceRoutes.delete(row);
    this.#ledger.volatile.setPeer(row, 0 as PeerId);
    this.#ledger.renew(row, now);
    if (this.#ledger.state(row) === RegistrationStateId.registered) this.#ledger.happen(row, Happening.lapsed, now);
  }

  /** The account is gone: its row lives on until its binding is. */
  #remove(row: RegistrationIndex): void {
    const columns = this.#columns;
    this.#presences.drop(row);
    columns.set(row, Flag.wanted, false);
    columns.set(row, Flag.removing, true);
    columns.unlink(row);
    columns.seal(row);
    this.#conduct.settle(row, true);
    if (columns.isUsed(row)) columns.seal(row);
  }

  #releaseProfile(key: ProfileKey): void {
    const { profiles, registrars } = this.#ledger;
    const profile = profiles.acquire(key);
    profiles.release(profile);
    if (profiles.release(profile)) registrars.release(profile.registrar);
  }

  #onState(row: RegistrationIndex, state: RegistrationStateNumber): void {
    if (!this.#isLive(row)) return;
    const isNews = state !== RegistrationStateId.registering && state !== RegistrationStateId.unregistering;
    const now = this.#attempts.nowMs;
    if (isNews) this.#events.onChanged(row, this.#columns.accountId(row), this.#ledger.status(row, now));
    this.#presences.onState(row, state);
  }
}

/** Whether accounts with these profiles are the same to a registrar. */
function isSamePlace(a: ProfileKey, b: ProfileKey): boolean {
  return (
    a.domain === b.domain &&
    a.secure === b.secure &&
    a.target.host === b.target.host &&
    a.target.port === b.target.port &&
    a.target.transport === b.target.transport
  );
}
