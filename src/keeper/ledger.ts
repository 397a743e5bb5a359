import type { AccountId, RegistrationIndex } from "../base/ids.ts";
import type { AccountRecord, Directory } from "../base/records.ts";
import type { Network } from "../net/network.ts";
import { Counter, type Lane } from "../observe/lanes.ts";
import { escapeUser, unescapeUser } from "../sip/uri.ts";
import type { Clock } from "../time/clock.ts";
import type { RegistrationStatus } from "../workers/protocol.ts";
import { instanceOf, isAlike, namesOf, plainName } from "./account-names.ts";
import { Arena } from "./arena.ts";
import type { Columns } from "./columns.ts";
import { Credentials } from "./credentials.ts";
import { type HappeningId, RegistrationStateId, type RegistrationStateNumber, stateName, step } from "./machine.ts";
import { PeerTable } from "./peer-table.ts";
import { type Profile, type ProfileKey, profileKeyOf, Profiles } from "./profile.ts";
import type { RandomPool } from "./random-pool.ts";
import { Realms } from "./realms.ts";
import type { Registrar, Registrars } from "./registrar.ts";
import { RowIndex } from "./row-index.ts";
import { Secrets } from "./secrets.ts";
import { TxState, type VolatileRows } from "./volatile-rows.ts";
import { Flag, ModeId, modeName, modeNumber, type ModeNumber } from "./row-flags.ts";

/** A wall clock further off than this from where we think it stands was set, not slewed. */
const clockJumpMs = 2000;
/** Epoch of CSeq: 1 January 2020. It rises with time even when the columns are lost. */
const epochSec = 1_577_836_800;
const reasonCharsMax = 128;
/** Freed rows are not given to another account for so long: whoever still holds the number finds nobody. */
const rowRestMs = 120_000;

const gauges = [
  Counter.registrationsIdle,
  Counter.registrationsRegistering,
  Counter.registrationsRegistered,
  Counter.registrationsRetrying,
  Counter.registrationsRefused,
  Counter.registrationsUnregistering,
] as const;

export interface LedgerEvents {
  /** The row came into another state. */
  onState(row: RegistrationIndex, state: RegistrationStateNumber, before: RegistrationStateNumber): void;
}

/**
 * Everything that is known of the registrations of a shard, and nothing that happens to them: rows, names, profiles, states with
 * their gauges. Decisions are Conduct's, the wire is Attempts'.
 */
export class Ledger {
  readonly columns: Columns;
  readonly volatile: VolatileRows;
  /** Two parts an entry: user of the URI, and the digest username where it is another (escaped for its quotes). */
  readonly arena = new Arena(2);
  readonly realms = new Realms();
  readonly profiles: Profiles;
  readonly registrars: Registrars;
  readonly peers: PeerTable;
  readonly secrets: Secrets;
  readonly credentials: Credentials;
  readonly network: Network;
  readonly clock: Clock;
  readonly pool: RandomPool;
  readonly lane: Lane;
  readonly userAgent: string;
  /** `+sip.instance` of accounts that brought their own. */
  readonly instances = new Map<RegistrationIndex, Uint8Array>();
  /** Bindings to remove with the row's next REGISTER. */
  readonly removals = new Map<RegistrationIndex, Uint8Array>();
  readonly serviceRoutes = new Map<RegistrationIndex, readonly string[]>();
  readonly #reasons = new Map<RegistrationIndex, string>();
  readonly #byUser: RowIndex;
  readonly #events: LedgerEvents;
  #lastRecord: AccountRecord | undefined;
  #lastKey: ProfileKey | undefined;
  readonly #startMs: number;
  /** wall = monotonic + this. */
  #wallOffsetMs: number;

  constructor(options: {
    readonly columns: Columns;
    readonly volatile: VolatileRows;
    readonly registrars: Registrars;
    readonly directory: Directory;
    readonly network: Network;
    readonly clock: Clock;
    readonly pool: RandomPool;
    readonly lane: Lane;
    readonly userAgent: string;
    readonly events: LedgerEvents;
  }) {
    this.columns = options.columns;
    this.volatile = options.volatile;
    this.registrars = options.registrars;
    this.network = options.network;
    this.clock = options.clock;
    this.pool = options.pool;
    this.lane = options.lane;
    this.userAgent = options.userAgent;
    this.#events = options.events;
    this.peers = new PeerTable(options.network);
    this.profiles = new Profiles((key: ProfileKey) => this.registrars.acquire(key.target, key.secure));
    const { columns, volatile, arena, realms, pool } = this;
    this.secrets = new Secrets(columns, options.directory);
    this.credentials = new Credentials({ columns, volatile, arena, realms, secrets: this.secrets, pool });
    this.#byUser = new RowIndex((row) => this.#userHash(row));
    this.#startMs = options.clock.nowMs();
    this.#wallOffsetMs = options.clock.wallMs() - this.#startMs;
  }

  // ---- time

  /** Unix milliseconds on which persisted times are based. */
  wallOf(nowMs: number): number {
    return nowMs + this.#wallOffsetMs;
  }
  monotonicOf(wallMs: number): number {
    return wallMs - this.#wallOffsetMs;
  }
  /** For the column of start times: milliseconds since we began, never 0, modulo 2**32. */
  sinceStart(nowMs: number): number {
    return Math.max(Math.floor(nowMs - this.#startMs) >>> 0, 1);
  }
  /** Milliseconds since the row's last REGISTER was first sent; Infinity before the first. */
  ageMs(row: RegistrationIndex, nowMs: number): number {
    const startedMs = this.volatile.startedMs(row);
    return startedMs === 0 ? Infinity : (this.sinceStart(nowMs) - startedMs) >>> 0;
  }

  /** Follows the wall clock when somebody has set it: what is persisted must be right for the next process. Returns whether it had jumped. */
  followClock(nowMs: number): boolean {
    const jumpMs = this.clock.wallMs() - nowMs - this.#wallOffsetMs;
    if (Math.abs(jumpMs) < clockJumpMs) return false;
    this.#wallOffsetMs += jumpMs;
    this.columns.shiftTimes(jumpMs);
    return true;
  }

  // ---- rows

  profile(row: RegistrationIndex): Profile {
    return this.profiles.get(this.volatile.profile(row));
  }
  registrar(row: RegistrationIndex): Registrar {
    return this.profile(row).registrar;
  }
  isBusy(row: RegistrationIndex): boolean {
    const state = this.volatile.txState(row);
    return state === TxState.trying || state === TxState.proceeding;
  }
  /** Whether the registrar has our binding, as far as we know. */
  isBound(row: RegistrationIndex, nowMs: number): boolean {
    return this.columns.is(row, Flag.bound) && this.columns.expiresMs(row) > this.wallOf(nowMs);
  }
  /** Whether a binding of ours may be at the registrar, confirmed or not. */
  mayBeBound(row: RegistrationIndex, nowMs: number): boolean {
    return this.columns.mayEndSec(row) * 1000 > this.wallOf(nowMs);
  }

  /** The mode in force: the account's, or what `auto` has learned, which begins as alternate. */
  mode(row: RegistrationIndex): Exclude<ModeNumber, 0> {
    const asked = this.columns.mode(row);
    if (asked !== ModeId.auto) return asked;
    const learned = this.columns.learnedMode(row);
    return learned === ModeId.auto ? ModeId.alternate : learned;
  }
  /**
   * Whether an account that is no longer wanted leaves its binding to the phone's REGISTER, which overwrites it. Not where `auto` chose singleDevice
   * because a second binding was refused: there the phone would be refused for as long as ours stands.
   */
  leavesBinding(row: RegistrationIndex): boolean {
    const isKeptOut = this.columns.mode(row) === ModeId.auto && this.columns.is(row, Flag.keepsOut);
    return this.mode(row) === ModeId.singleDevice && !isKeptOut;
  }
  /** Whether `auto` still has to find out. */
  isUndecided(row: RegistrationIndex): boolean {
    return this.columns.mode(row) === ModeId.auto && this.columns.learnedMode(row) === ModeId.auto;
  }

  /** The key of the account's profile; undefined when its proxy or domain is no host. Accounts that come in a row mostly share one. */
  keyOf(record: AccountRecord): ProfileKey | undefined {
    const last = this.#lastRecord;
    if (last !== undefined && isAlike(last, record)) return this.#lastKey;
    this.#lastRecord = record;
    this.#lastKey = profileKeyOf(record, this.userAgent);
    return this.#lastKey;
  }

  /** A new row for the account; undefined when there is no room or its domain is no host. */
  create(record: AccountRecord, nowMs: number): RegistrationIndex | undefined {
    const key = this.keyOf(record);
    if (key === undefined) return undefined;
    const row = this.columns.allocate(record.accountId, nowMs, rowRestMs);
    if (row === undefined) return undefined;
    this.volatile.ensure(row);
    this.volatile.clear(row);
    this.renew(row, nowMs);
    this.attach(row, record, key);
    this.countRow(row, 1);
    return row;
  }

  /** Makes room for so many rows at once. */
  reserve(rows: number): void {
    this.#byUser.reserve(rows);
  }

  /** A shard that died left its counts in the lane. */
  zeroGauges(): void {
    for (const gauge of gauges) this.lane.set(gauge, 0);
  }

  /** The gauges count the row in its state, or no longer. */
  countRow(row: RegistrationIndex, by: 1 | -1): void {
    this.lane.add(gauges[this.columns.state(row)]!, by);
  }

  /** A row of the mapped file, counted already, that has no account: nobody's any more. */
  discard(row: RegistrationIndex, nowMs: number): void {
    this.countRow(row, -1);
    this.columns.free(row, nowMs);
  }

  /** A row that the columns kept over a restart, counted already, gets its other half. False when the account's domain is no host: the row is gone. */
  adopt(row: RegistrationIndex, record: AccountRecord, nowMs: number): boolean {
    const key = this.keyOf(record);
    if (key === undefined) {
      this.discard(row, nowMs);
      return false;
    }
    this.volatile.ensure(row);
    this.attach(row, record, key);
    return true;
  }

  /** New Call-ID, tag and line token: the registrar sees another phone. */
  renew(row: RegistrationIndex, nowMs: number): void {
    const { columns } = this;
    const sec = Math.max(Math.floor(this.wallOf(nowMs) / 1000) - epochSec, 1);
    columns.setGeneration(row, this.pool.word());
    columns.setCSeq(row, Math.max(sec, columns.cseq(row)));
    columns.setTokenWord(row, 0, row);
    for (let n = 1; n <= 3; n++) columns.setTokenWord(row, n, this.pool.word());
  }

  /** Takes what REGISTERs need of the record. */
  attach(row: RegistrationIndex, record: AccountRecord, key: ProfileKey): void {
    const { columns, volatile } = this;
    const profile = this.profiles.acquire(key);
    volatile.setProfile(row, profile.id);
    volatile.setEntry(row, this.#addNames(record));
    profile.registrar.add(row);
    if (key.natEmulation) profile.registrar.natEmulated++;
    this.#countState(row, columns.state(row), 1);
    this.#byUser.add(row);
    const instance = instanceOf(record);
    if (instance !== undefined) this.instances.set(row, instance);
    columns.setVersion(row, record.version);
    columns.setMode(row, modeNumber(record.registrationMode));
    if (record.learnedMode !== undefined) columns.setLearnedMode(row, modeNumber(record.learnedMode));
  }

  /** The reverse of attach: names and profile go, state and secrets stay. */
  detach(row: RegistrationIndex): void {
    const { volatile } = this;
    const profile = this.profile(row);
    const { registrar } = profile;
    registrar.queue.remove(row);
    registrar.remove(row);
    if (profile.key.natEmulation) registrar.natEmulated--;
    this.#countState(row, this.columns.state(row), -1, registrar);
    this.#byUser.remove(row);
    this.arena.drop(volatile.entry(row));
    volatile.setEntry(row, 0);
    this.instances.delete(row);
    this.#release(profile);
    volatile.setProfile(row, 0);
    if (this.arena.isWasteful) this.#compact();
  }

  /** The row belongs to nobody any more. */
  free(row: RegistrationIndex, nowMs: number): void {
    this.countRow(row, -1);
    this.detach(row);
    this.credentials.forget(row);
    this.removals.delete(row);
    this.serviceRoutes.delete(row);
    this.#reasons.delete(row);
    this.volatile.clear(row);
    this.columns.free(row, nowMs);
  }

  /**
   * A second row that keeps the binding of the account's identity so far, to remove it, while `row` goes on with another identity. Undefined when
   * there is no room: then that binding runs out by itself.
   */
  split(row: RegistrationIndex, nowMs: number): RegistrationIndex | undefined {
    const { columns, volatile } = this;
    const profile = this.profile(row);
    const farewell = columns.copy(row, nowMs, rowRestMs);
    if (farewell === undefined) return undefined;
    volatile.ensure(farewell);
    volatile.copy(row, farewell);
    volatile.setTxState(farewell, TxState.none);
    volatile.setQueued(farewell, 0);
    const entry = volatile.entry(row);
    volatile.setEntry(farewell, this.arena.add([this.arena.part(entry, 0), this.arena.part(entry, 1)]));
    profile.uses++;
    profile.registrar.add(farewell);
    if (profile.key.natEmulation) profile.registrar.natEmulated++;
    this.#countState(farewell, columns.state(farewell), 1);
    this.#byUser.add(farewell);
    const instance = this.instances.get(row);
    if (instance !== undefined) this.instances.set(farewell, instance);
    const realm = this.realms.get(volatile.realm(row));
    if (realm !== undefined) realm.uses++;
    this.credentials.move(row, farewell);
    this.countRow(farewell, 1);
    return farewell;
  }

  /** Moves the row to another profile: it was redirected, or comes back. */
  reprofile(row: RegistrationIndex, key: ProfileKey, base: Profile | undefined): void {
    const { volatile } = this;
    const former = this.profile(row);
    const profile = this.profiles.acquire(key, base);
    former.registrar.queue.remove(row);
    former.registrar.remove(row);
    if (former.key.natEmulation) former.registrar.natEmulated--;
    this.#countState(row, this.columns.state(row), -1, former.registrar);
    volatile.setProfile(row, profile.id);
    profile.registrar.add(row);
    if (key.natEmulation) profile.registrar.natEmulated++;
    this.#countState(row, this.columns.state(row), 1);
    this.#release(former);
  }

  // ---- states

  state(row: RegistrationIndex): RegistrationStateNumber {
    return this.columns.state(row) as RegistrationStateNumber;
  }

  /** Steps the row's machine; gauges and listeners follow. */
  happen(row: RegistrationIndex, happening: HappeningId, nowMs: number): void {
    const before = this.state(row);
    const after = step(before, happening, this.isBound(row, nowMs));
    if (before === after) return;
    this.columns.setState(row, after);
    this.lane.add(gauges[before], -1);
    this.lane.add(gauges[after], 1);
    this.#countState(row, before, -1);
    this.#countState(row, after, 1);
    this.columns.seal(row);
    this.#events.onState(row, after, before);
  }

  setReason(row: RegistrationIndex, reason: string): void {
    if (reason === "") this.#reasons.delete(row);
    else this.#reasons.set(row, reason.slice(0, reasonCharsMax));
  }
  reason(row: RegistrationIndex): string | undefined {
    return this.#reasons.get(row);
  }
  /** HOT: an account that never failed costs nothing here. */
  clearReason(row: RegistrationIndex): void {
    if (this.#reasons.size > 0) this.#reasons.delete(row);
  }

  status(row: RegistrationIndex, nowMs: number): RegistrationStatus {
    const { columns } = this;
    const shiftMs = this.clock.wallMs() - this.wallOf(nowMs);
    const isBound = this.isBound(row, nowMs);
    const actMs = columns.actMs(row);
    const status = columns.lastStatus(row);
    const reason = this.#reasons.get(row) ?? (status >= 200 && status < 300 ? "OK" : undefined);
    const server = columns.server(row);
    return {
      mode: modeName(this.mode(row)),
      state: stateName(columns.state(row)),
      ...(isBound ? { expiresAtMs: Math.round(columns.expiresMs(row) + shiftMs) } : {}),
      ...(status === 0 ? {} : { lastStatus: status }),
      ...(reason === undefined ? {} : { lastReason: reason }),
      ...(actMs === 0 ? {} : { nextAttemptAtMs: Math.round(actMs + shiftMs) }),
      ...(server === undefined
        ? {}
        : {
            registrar: `${server.address.includes(":") ? `[${server.address}]` : server.address}:${server.port}`,
            transport: server.transport,
          }),
    };
  }

  // ---- look-ups

  /** User part of the row's URIs, escaped. */
  user(row: RegistrationIndex): string {
    return Buffer.from(this.userBytes(row)).toString("latin1");
  }
  userBytes(row: RegistrationIndex): Uint8Array {
    return this.arena.part(this.volatile.entry(row), 0);
  }
  instance(row: RegistrationIndex): string {
    const own = this.instances.get(row);
    return own === undefined
      ? `urn:uuid:${this.columns.accountId(row)}`
      : Buffer.from(own).toString("latin1").toLowerCase();
  }

  /** Visits rows whose user is `user`, a user part as it came (one character a byte), however it is escaped, until `visit` returns true. */
  eachOfUser(user: string, visit: (row: RegistrationIndex) => boolean): void {
    const plain = Buffer.from(unescapeUser(user), "latin1").toString("utf8");
    const bytes = Buffer.from(escapeUser(plain), "latin1");
    this.#byUser.find(hashOf(bytes, 0, bytes.length), (row) => {
      const at = this.volatile.entry(row);
      const from = this.arena.partAt(at);
      const length = this.arena.lengthAt(at);
      if (length !== bytes.length) return false;
      for (let n = 0; n < length; n++) if (this.arena.bytes[from + n] !== bytes[n]) return false;
      return visit(row);
    });
  }

  find(accountId: AccountId): RegistrationIndex | undefined {
    return this.columns.find(accountId);
  }

  #addNames(record: AccountRecord): number {
    const { username, authUsername } = record;
    if ((authUsername === undefined || authUsername === username) && plainName.test(username)) {
      const entry = this.arena.addText(username);
      if (entry !== 0) return entry;
    }
    return this.arena.add(namesOf(record));
  }

  #countState(row: RegistrationIndex, state: number, by: 1 | -1, registrar = this.registrar(row)): void {
    if (state === RegistrationStateId.registered) registrar.registered += by;
    else if (state === RegistrationStateId.refused) registrar.refused += by;
  }

  #release(profile: Profile): void {
    const { registrar, base } = profile;
    if (!this.profiles.release(profile)) return;
    this.registrars.release(registrar);
    if (base !== undefined && base.uses === 0) this.registrars.release(base.registrar);
  }

  #userHash(row: RegistrationIndex): number {
    const at = this.volatile.entry(row);
    const from = this.arena.partAt(at);
    return hashOf(this.arena.bytes, from, from + this.arena.lengthAt(at));
  }

  #compact(): void {
    const { columns, volatile } = this;
    const entries: [RegistrationIndex, number][] = [];
    for (let row = 0 as RegistrationIndex; row < columns.used; row = (row + 1) as RegistrationIndex) {
      const entry = columns.isUsed(row) ? volatile.entry(row) : 0;
      if (entry !== 0) entries.push([row, entry]);
    }
    this.arena.compact(entries, (row, entry) => volatile.setEntry(row as RegistrationIndex, entry));
  }
}

function hashOf(bytes: Uint8Array, from: number, to: number): number {
  let hash = 0x811c9dc5;
  for (let at = from; at < to; at++) hash = Math.imul(hash ^ bytes[at]!, 0x01000193);
  hash ^= hash >>> 15;
  return Math.imul(hash, 0x85ebca6b);
}
