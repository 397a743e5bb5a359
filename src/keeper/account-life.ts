import type { RegistrationIndex } from "../base/ids.ts";
import type { AccountRecord } from "../base/records.ts";
import type { Network, PeerId } from "../net/network.ts";
import { escapeUser } from "../sip/uri.ts";
import type { AccountLookups } from "./account-lookups.ts";
import type { Attempts } from "./attempts.ts";
import { type Columns, serverWords } from "./columns.ts";
import type { Conduct } from "./conduct.ts";
import type { Ledger } from "./ledger.ts";
import { Happening, RegistrationStateId } from "./machine.ts";
import type { ProfileKey } from "./profile.ts";
import type { Registrar } from "./registrar.ts";
import { Flag, ModeId, modeNumber } from "./row-flags.ts";
import { Purpose } from "./volatile-rows.ts";

/** How accounts come, come back after a restart, change and go. */
export class AccountLife {
  readonly #ledger: Ledger;
  readonly #columns: Columns;
  readonly #network: Network;
  readonly #conduct: Conduct;
  readonly #attempts: Attempts;
  readonly #lookups: AccountLookups;
  /** Rows kept over a restart whose Contact could not be compared with our address yet. */
  #unverified: RegistrationIndex[] = [];
  #lastRegistrar: Registrar | undefined;
  readonly #lastServer = new Uint32Array(serverWords);
  #lastPeer = 0 as PeerId;

  constructor(ledger: Ledger, conduct: Conduct, attempts: Attempts, lookups: AccountLookups) {
    this.#ledger = ledger;
    this.#columns = ledger.columns;
    this.#network = ledger.network;
    this.#conduct = conduct;
    this.#attempts = attempts;
    this.#lookups = lookups;
  }

  get hasUnverified(): boolean {
    return this.#unverified.length > 0;
  }

  /** Compares what could not be compared before; a route may be known by now. */
  verify(): void {
    const rows = this.#unverified;
    this.#unverified = [];
    for (const row of rows) this.verifyContact(row);
  }

  create(record: AccountRecord, wanted: boolean): RegistrationIndex | undefined {
    const row = this.#ledger.create(record, this.#attempts.nowMs);
    if (row === undefined) return undefined;
    this.#columns.set(row, Flag.wanted, wanted);
    this.#columns.seal(row);
    this.#conduct.settle(row, false);
    this.#columns.seal(row);
    return row;
  }

  /** A row that the mapped file kept. */
  resume(row: RegistrationIndex, record: AccountRecord, wanted: boolean, now: number): void {
    const columns = this.#columns;
    const isSame = columns.version(row) === record.version;
    if (!this.#ledger.adopt(row, record, now)) return;
    columns.set(row, Flag.wanted, wanted);
    if (!isSame) this.#clearHistory(row, record);
    if (columns.hasServer(row)) this.#rememberServer(row);
    if (wanted && columns.is(row, Flag.bound) && this.#ledger.isBound(row, now)) {
      this.#ledger.happen(row, Happening.bound, now);
      const actMs = this.#ledger.monotonicOf(columns.actMs(row));
      if (isSame && columns.actMs(row) !== 0 && actMs > now) {
        this.#attempts.schedule(row, actMs);
        this.verifyContact(row);
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

  /** Rows that come in a row mostly have one server. */
  #rememberServer(row: RegistrationIndex): void {
    const columns = this.#columns;
    const { registrar } = this.#ledger.profile(row);
    if (registrar !== this.#lastRegistrar || !columns.isServer(row, this.#lastServer)) {
      const server = columns.server(row);
      if (server === undefined) return;
      columns.copyServer(row, this.#lastServer);
      this.#lastRegistrar = registrar;
      this.#lastPeer = this.#network.peer(
        server.transport === "tls" ? { ...server, serverName: registrar.target.host } : server,
      );
      registrar.rememberFormer(this.#lastPeer);
    }
    this.#ledger.volatile.setPeer(row, this.#lastPeer);
  }

  /** A binding of before the restart is good only if its Contact still leads to us. */
  verifyContact(row: RegistrationIndex): void {
    if (!this.#lookups.isLive(row) || !this.#columns.is(row, Flag.bound)) return;
    const peer = this.#ledger.volatile.peer(row);
    if (peer === 0) return;
    const local = this.#network.localAddress(peer, this.#lookups.isNatEmulated(row));
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
    columns.set(row, Flag.denied | Flag.plain | Flag.keepsLine | Flag.keepsOut, false);
    columns.setFailures(row, 0);
    columns.setLearnedMode(row, record.learnedMode === undefined ? ModeId.auto : modeNumber(record.learnedMode));
    // The same password in the same realm keeps its pin; anything else starts without one.
    if (this.#ledger.credentials.isUnchanged(row) !== true) {
      this.#ledger.credentials.forget(row);
      columns.setAlgorithmFloor(row, 0);
      columns.set(row, Flag.realmKnown, false);
    }
  }

  /** The account as it is now, of a row that has one. */
  update(row: RegistrationIndex, record: AccountRecord, wanted: boolean): void {
    const columns = this.#columns;
    const isTurned = columns.is(row, Flag.wanted) !== wanted;
    columns.set(row, Flag.wanted, wanted);
    if (record.version === columns.version(row)) {
      if (record.learnedMode !== undefined) columns.setLearnedMode(row, modeNumber(record.learnedMode));
      this.#conduct.settle(row, isTurned);
    } else this.#change(row, record);
    columns.seal(row);
  }

  #change(row: RegistrationIndex, record: AccountRecord): void {
    const now = this.#attempts.nowMs;
    const ledger = this.#ledger;
    const key = ledger.keyOf(record);
    if (key === undefined) {
      this.remove(row);
      return;
    }
    this.#attempts.abandon(row);
    const isElsewhere = !isSamePlace(this.#keyAtHome(row), key) || ledger.user(row) !== escapeUser(record.username);
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
    columns.set(row, Flag.bound, false);
    columns.setExpiresMs(row, 0);
    columns.setMayEndSec(row, 0);
    columns.setContactPort(row, 0);
    this.#ledger.removals.delete(row);
    this.#ledger.serviceRoutes.delete(row);
    this.#ledger.volatile.setPeer(row, 0 as PeerId);
    this.#ledger.renew(row, now);
    if (this.#ledger.state(row) === RegistrationStateId.registered) this.#ledger.happen(row, Happening.lapsed, now);
  }

  /**
   * The binding of an account that is gone is gone, too, and its row is nobody's. A registrar with room for one binding (chan_sip) may have removed
   * with it that of whoever has the same AOR now: they refresh.
   */
  forget(row: RegistrationIndex): void {
    const now = this.#attempts.nowMs;
    const heirs: RegistrationIndex[] = [];
    if (this.#ledger.volatile.purpose(row) === Purpose.unbind) {
      const key = this.#keyAtHome(row);
      this.#ledger.eachOfUser(this.#ledger.user(row), (other) => {
        if (this.#lookups.isLive(other) && this.#ledger.isBound(other, now) && isSamePlace(this.#keyAtHome(other), key))
          heirs.push(other);
        return false;
      });
    }
    this.#ledger.free(row, now);
    for (const heir of heirs) this.#attempts.enqueue(heir);
  }

  /** The account's own place, whoever it was redirected to. */
  #keyAtHome(row: RegistrationIndex): ProfileKey {
    const profile = this.#ledger.profile(row);
    return (profile.base ?? profile).key;
  }

  /** The account is gone: its row lives on until its binding is. */
  remove(row: RegistrationIndex): void {
    const columns = this.#columns;
    columns.set(row, Flag.wanted, false);
    columns.set(row, Flag.removing, true);
    columns.unlink(row);
    columns.seal(row);
    this.#conduct.settle(row, true);
    if (columns.isUsed(row)) columns.seal(row);
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
