import type { AccountId, RegistrationIndex } from "../base/ids.ts";
import type { Directory, RegistrationMode } from "../base/records.ts";
import type { Locator, Network, PeerId, Source } from "../net/network.ts";
import type { Lane } from "../observe/lanes.ts";
import { type Log, silentLog } from "../observe/log.ts";
import { scan, ScanResult } from "../sip/message/scan.ts";
import { MessageKind, type SipView } from "../sip/message/view.ts";
import type { Clock } from "../time/clock.ts";
import type { Random } from "../time/random.ts";
import type { Command, ProofAnswer, RegistrarStatus, RegistrationStatus } from "../workers/protocol.ts";
import { AccountLife } from "./account-life.ts";
import { AccountLookups } from "./account-lookups.ts";
import { Answers } from "./answers.ts";
import { Attempts } from "./attempts.ts";
import type { Columns } from "./columns.ts";
import { Conduct } from "./conduct.ts";
import { Ledger } from "./ledger.ts";
import { RegistrationStateId, type RegistrationStateNumber } from "./machine.ts";
import { branchChars, branchRow } from "./names.ts";
import { PresenceRequests } from "./presence-requests.ts";
import type { Profile, ProfileKey } from "./profile.ts";
import { isSameSecret, Proofs } from "./proofs.ts";
import { RandomPool } from "./random-pool.ts";
import { Registrar, Registrars } from "./registrar.ts";
import { RollCall } from "./roll-call.ts";
import { VolatileRows } from "./volatile-rows.ts";
import { Flag } from "./row-flags.ts";

type PresenceCommand = Omit<Extract<Command, { kind: "presence" }>, "kind">;
type ProveCommand = Omit<Extract<Command, { kind: "prove" }>, "kind">;

/** News from the registrations of a shard. */
export interface KeeperEvents {
  /** The account became registered, or is no longer. */
  onRegistration(accountId: AccountId, isRegistered: boolean): void;
  /** Into registered, refused, retrying or idle; not for refreshes, and of many that register for the first time in one tick only some. */
  onChanged(row: RegistrationIndex, accountId: AccountId, status: RegistrationStatus): void;
  onModeLearned(accountId: AccountId, mode: Exclude<RegistrationMode, "auto">): void;
  onPresenceDone(requestId: number, isPending: boolean, status: RegistrationStatus): void;
  /** The secret is in memory: the store may erase it. */
  onRemoved(requestId: number): void;
  onProof(requestId: number, answer: ProofAnswer): void;
  /** The registrar refused the account's credentials, or the account. */
  onRefused(accountId: AccountId, status: number, reason: string): void;
  /** The registrar took the account's credentials for another realm than before. `registrar`: the host that was named. */
  onRealmChanged(accountId: AccountId, registrar: string, realm: string): void;
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

/** Rows that there is room for at the start; more come as accounts do. */
const volatileRowsMin = 1024;
/** A cold start is no news of each: who watches gets 100 a second. */
const toldFirstMax = 32;
/** A row that was bound before the restart whose route was not known then is looked at again this often. */
const verifyEveryMs = 1000;

/**
 * The registration side of a shard: keeps every account registered that is wanted, with manners, and knows for the anchor who is who. Runs on
 * what happens (responses, commands, lost peers) and on `tick`; never blocks, never throws for what the network sends.
 */
export class Keeper {
  readonly #clock: Clock;
  readonly #directory: Directory;
  /** In the directory, when the keeper was made. */
  readonly #accounts: number;
  readonly #columns: Columns;
  readonly #events: KeeperEvents;
  readonly #ledger: Ledger;
  readonly #conduct: Conduct;
  readonly #attempts: Attempts;
  readonly #lookups: AccountLookups;
  readonly #life: AccountLife;
  readonly #roll: RollCall;
  readonly #answers: Answers;
  readonly #presences: PresenceRequests;
  readonly #proofs: Proofs;
  #verifyAtMs = 0;
  /** Of those who became registered in this tick, as nobody had reason to doubt: so many were told of. */
  #toldFirst = 0;

  constructor(options: KeeperOptions) {
    const { clock, random, network, locator, directory, columns, lane, userAgent, events } = options;
    const log = options.log ?? silentLog;
    this.#clock = clock;
    this.#directory = directory;
    this.#columns = columns;
    this.#events = events;
    this.#accounts = directory.size();
    // All at once: to move half of a million rows while they come stops the thread for tens of milliseconds.
    const expected = Math.min(Math.max(columns.used, this.#accounts), columns.capacity);
    columns.reserve(expected);
    const volatile = new VolatileRows(Math.min(Math.max(expected, volatileRowsMin), columns.capacity));
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
      events: { onState: (row, state, before) => this.#onState(row, state, before) },
    });
    this.#ledger.reserve(expected);
    this.#conduct = new Conduct(
      this.#ledger,
      {
        onModeLearned: (row, mode) => events.onModeLearned(columns.accountId(row), mode),
        onRefused: (row, status, reason) => events.onRefused(columns.accountId(row), status, reason),
        onServerKnown: (row) => events.onServerKnown(row),
        onRealmChanged: (row, realm) =>
          events.onRealmChanged(columns.accountId(row), this.#ledger.registrar(row).target.host, realm),
        onForgotten: (row) => this.#life.forget(row),
      },
      log,
    );
    this.#attempts = new Attempts(this.#ledger, this.#conduct, log);
    this.#conduct.connect(this.#attempts);
    this.#lookups = new AccountLookups(this.#ledger, {
      find: (accountId) => this.#roll.find(accountId),
      isPresent: (row) => this.#roll.isPresent(row),
      finish: () => this.#roll.finish(),
    });
    this.#life = new AccountLife(this.#ledger, this.#conduct, this.#attempts, this.#lookups);
    this.#roll = new RollCall(this.#ledger, this.#life, this.#attempts, directory);
    this.#answers = new Answers(this.#ledger, this.#attempts, this.#conduct, log);
    this.#presences = new PresenceRequests((requestId, row, isPending) =>
      events.onPresenceDone(requestId, isPending, this.#ledger.status(row, this.#attempts.nowMs)),
    );
    this.#proofs = new Proofs(network, pool, (request, outcome, status, reason) => {
      this.#releaseProfile(request.profile.key);
      const isProven = this.#isProven(request.record.accountId) || isSameSecret(request.secret, request.stored);
      events.onProof(request.requestId, { outcome, status, reason, isProven });
    });
  }

  // ---- life

  /**
   * Begins to bring rows and directory together: a row whose binding lives goes on with its timers and sends nothing, what is new or was torn
   * registers through the budgets. Nothing leaves before the first tick; who is not in yet has his turn within some hundred, or when asked for.
   */
  start(): { readonly accounts: number } {
    this.#read();
    this.#roll.begin();
    return { accounts: this.#accounts };
  }

  tick(nowMs: number): void {
    this.#attempts.setNow(nowMs);
    this.#ledger.followClock(nowMs);
    this.#roll.step();
    this.#toldFirst = 0;
    this.#attempts.tick(nowMs);
    this.#presences.tick(nowMs);
    if (this.#proofs.size > 0) this.#proofs.tick(nowMs);
    if (this.#life.hasUnverified && nowMs >= this.#verifyAtMs) {
      this.#verifyAtMs = nowMs + verifyEveryMs;
      this.#life.verify();
    }
    this.#attempts.flush();
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
    const row = this.#roll.find(accountId);
    if (record === undefined) {
      this.#roll.cross(accountId);
      if (row !== undefined) this.#remove(row);
    } else if (row === undefined) this.#life.create(record, wanted);
    else this.#life.update(row, record, wanted);
  }

  /** Takes the secret into memory, un-REGISTERs until answered or the binding has run out, and forgets the account. */
  accountRemove(requestId: number, accountId: AccountId): void {
    this.#read();
    const row = this.#roll.find(accountId);
    this.#roll.cross(accountId);
    if (row === undefined) {
      this.#events.onRemoved(requestId);
      return;
    }
    const proof = this.#directory.proof(accountId);
    if (proof !== undefined) this.#ledger.secrets.hold(row, proof);
    this.#events.onRemoved(requestId);
    this.#remove(row);
  }

  /** Some device moved to the foreground or background. The answer comes when the registration is where it should be, or after `waitMs`. */
  presence(command: PresenceCommand): void {
    const now = this.#read();
    const { requestId, accountId, wanted, waitMs } = command;
    let row = this.#roll.find(accountId);
    if (row === undefined) {
      const record = this.#directory.account(accountId);
      row = record === undefined ? undefined : this.#life.create(record, wanted);
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

  /** Tries credentials at the account's registrar, or as if the account were at `place`; the answer comes within 8 s. */
  prove(command: ProveCommand): void {
    const now = this.#read();
    const { requestId, accountId, secret, place } = command;
    const stands = this.#directory.account(accountId);
    const record = stands === undefined ? undefined : { ...stands, ...place };
    const key = record === undefined ? undefined : this.#ledger.keyOf(record);
    if (record === undefined || key === undefined) {
      const reason = record === undefined ? "no such account" : "no such host";
      this.#events.onProof(requestId, { outcome: "unavailable", status: 0, reason, isProven: true });
      return;
    }
    const profile = this.#profileFor(accountId, key);
    const stored = this.#directory.secret(accountId);
    this.#proofs.begin({ requestId, record, secret, stored, profile }, now);
  }

  /** The profile of `key`, one use more; the one it was redirected to when the account's REGISTERs go there. */
  #profileFor(accountId: AccountId, key: ProfileKey): Profile {
    const { profiles } = this.#ledger;
    const row = this.#roll.find(accountId);
    const inUse = row === undefined ? undefined : this.#ledger.profile(row);
    const profile = profiles.acquire(key);
    if (inUse?.base !== profile) return profile;
    profiles.release(profile);
    return profiles.acquire(inUse.key, profile);
  }

  /** The account that our REGISTER with this branch is for: its registration, a query, or a check of credentials. */
  accountOfBranch(branch: string): AccountId | undefined {
    if (branch.length !== branchChars) return this.#proofs.accountOf(branch);
    const row = branchRow(Buffer.from(branch, "latin1"), 0) as RegistrationIndex;
    return row >= 0 && this.#columns.isUsed(row) ? this.#columns.accountId(row) : undefined;
  }

  status(accountId: AccountId): RegistrationStatus | undefined {
    const now = this.#read();
    const row = this.#roll.find(accountId);
    return row === undefined ? undefined : this.#ledger.status(row, now);
  }

  /**
   * Accounts that are refused or retrying, in the order of their rows from `fromRow`, at most `most`. `nextRow`: where to go on; -1 when these
   * were the last.
   */
  troubles(fromRow: number, most: number): { readonly accounts: readonly AccountId[]; readonly nextRow: number } {
    const columns = this.#columns;
    const accounts: AccountId[] = [];
    for (let at = fromRow; at < columns.used; at++) {
      const row = at as RegistrationIndex;
      if (!columns.isUsed(row)) continue;
      const state = columns.state(row);
      if (state !== RegistrationStateId.refused && state !== RegistrationStateId.retrying) continue;
      if (accounts.length === most) return { accounts, nextRow: at };
      accounts.push(columns.accountId(row));
    }
    return { accounts, nextRow: -1 };
  }

  /** Operator: a refused or waiting account is tried at once. */
  retryNow(accountId: AccountId): void {
    const now = this.#read();
    const row = this.#roll.find(accountId);
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
    return this.#lookups.rowOf(accountId);
  }
  accountId(row: RegistrationIndex): AccountId {
    return this.#lookups.accountId(row);
  }
  rowByLine(token: string): RegistrationIndex | undefined {
    return this.#lookups.rowByLine(token);
  }
  rowByAddress(user: string, source: Source): RegistrationIndex | undefined {
    return this.#lookups.rowByAddress(user, source);
  }
  isServer(row: RegistrationIndex, source: Source): boolean {
    return this.#lookups.isServer(row, source);
  }
  serverOf(row: RegistrationIndex): PeerId | undefined {
    return this.#lookups.serverOf(row, this.#read());
  }
  contactUri(row: RegistrationIndex, peer: PeerId): string {
    return this.#lookups.contactUri(row, peer);
  }
  aor(row: RegistrationIndex): { readonly user: string; readonly domain: string } {
    return this.#lookups.aor(row);
  }
  serviceRoute(row: RegistrationIndex): readonly string[] {
    return this.#lookups.serviceRoute(row);
  }
  secondsLeft(row: RegistrationIndex): number {
    return this.#lookups.secondsLeft(row, this.#read());
  }
  isSecure(row: RegistrationIndex): boolean {
    return this.#lookups.isSecure(row);
  }
  isNatEmulated(row: RegistrationIndex): boolean {
    return this.#lookups.isNatEmulated(row);
  }
  authorize(
    row: RegistrationIndex,
    challenge: SipView,
    source: Source,
    method: string,
    uri: string,
  ): string | undefined {
    return this.#lookups.authorize(row, challenge, source, method, uri);
  }

  // ---- inside

  /** Reads the clock for what is going on now. */
  #read(): number {
    const now = this.#clock.nowMs();
    this.#attempts.setNow(now);
    return now;
  }

  /** Whether the account's registrar has taken it: with credentials at some time, or now at all. */
  #isProven(accountId: AccountId): boolean {
    const row = this.#roll.find(accountId);
    if (row === undefined) return false;
    return this.#columns.is(row, Flag.realmKnown) || this.#ledger.isBound(row, this.#attempts.nowMs);
  }

  #remove(row: RegistrationIndex): void {
    this.#presences.drop(row);
    this.#life.remove(row);
  }

  #releaseProfile(key: ProfileKey): void {
    const { profiles, registrars } = this.#ledger;
    const profile = profiles.acquire(key);
    profiles.release(profile);
    if (profiles.release(profile)) registrars.release(profile.registrar);
  }

  #onState(row: RegistrationIndex, state: RegistrationStateNumber, before: RegistrationStateNumber): void {
    if (!this.#lookups.isLive(row)) return;
    if (state !== RegistrationStateId.registering && state !== RegistrationStateId.unregistering) {
      const accountId = this.#columns.accountId(row);
      const isRegistered = state === RegistrationStateId.registered;
      this.#events.onRegistration(accountId, isRegistered);
      const isFirst = isRegistered && before === RegistrationStateId.registering;
      if (!isFirst || ++this.#toldFirst <= toldFirstMax) {
        this.#events.onChanged(row, accountId, this.#ledger.status(row, this.#attempts.nowMs));
      }
    }
    this.#presences.onState(row, state);
  }
}
