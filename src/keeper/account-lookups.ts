import type { AccountId, RegistrationIndex } from "../base/ids.ts";
import type { LocalAddress, Network, PeerId, Source } from "../net/network.ts";
import { formatHostPort } from "../sip/host-port.ts";
import type { SipView } from "../sip/message/view.ts";
import type { Columns } from "./columns.ts";
import type { Ledger } from "./ledger.ts";
import { isToken, lineToken, tokenRow } from "./names.ts";
import { domainText } from "./profile.ts";
import { Flag } from "./row-flags.ts";

/** Has the accounts come that are asked for while a start has not brought all in; see RollCall. */
export interface Roll {
  find(accountId: AccountId): RegistrationIndex | undefined;
  isPresent(row: RegistrationIndex): boolean;
  finish(): void;
}

/** What the call side asks of registrations; see anchor/account-book.ts for what each answer means. Changes nothing but look-ups begun. */
export class AccountLookups {
  readonly #ledger: Ledger;
  readonly #columns: Columns;
  readonly #network: Network;
  readonly #roll: Roll;

  constructor(ledger: Ledger, roll: Roll) {
    this.#ledger = ledger;
    this.#roll = roll;
    this.#columns = ledger.columns;
    this.#network = ledger.network;
  }

  /** Whether the row is an account's: not free, not on its way out. */
  isLive(row: RegistrationIndex): boolean {
    return (
      this.#columns.isUsed(row) &&
      this.#ledger.volatile.profile(row) !== 0 &&
      !this.#columns.is(row, Flag.removing | Flag.farewell)
    );
  }

  rowOf(accountId: AccountId): RegistrationIndex | undefined {
    return this.#roll.find(accountId);
  }

  accountId(row: RegistrationIndex): AccountId {
    return this.#columns.accountId(row);
  }

  rowByLine(token: string): RegistrationIndex | undefined {
    const row = tokenRow(token) as RegistrationIndex;
    if (!this.#columns.isUsed(row)) return undefined;
    const bytes = Buffer.from(token, "latin1");
    if (!isToken(this.#columns, row, bytes, 0, bytes.length)) return undefined;
    return this.#roll.isPresent(row) && this.isLive(row) ? row : undefined;
  }

  rowByAddress(user: string, source: Source): RegistrationIndex | undefined {
    this.#roll.finish();
    let found: RegistrationIndex | undefined;
    let isAmbiguous = false;
    this.#ledger.eachOfUser(user, (row) => {
      if (!this.isLive(row) || !this.isServer(row, source)) return false;
      isAmbiguous = found !== undefined;
      found = row;
      return isAmbiguous;
    });
    return isAmbiguous ? undefined : found;
  }

  isServer(row: RegistrationIndex, source: Source): boolean {
    if (!this.isLive(row)) return false;
    const last = this.#ledger.volatile.peer(row);
    if (last !== 0 && this.#network.isFrom(last, source)) return true;
    const profile = this.#ledger.profile(row);
    for (const peer of profile.registrar.reach.peers) if (this.#network.isFrom(peer, source)) return true;
    for (const peer of profile.base?.registrar.reach.peers ?? []) if (this.#network.isFrom(peer, source)) return true;
    return false;
  }

  serverOf(row: RegistrationIndex, nowMs: number): PeerId | undefined {
    if (!this.isLive(row)) return undefined;
    const registrar = this.#ledger.registrar(row);
    const { current } = registrar.reach;
    if (current !== undefined) return current;
    registrar.askedFor.add(row);
    registrar.locate(nowMs);
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
    if (!this.isLive(row)) return { user: "", domain: "" };
    return { user: this.#ledger.user(row), domain: domainText(this.#ledger.profile(row).key.domain) };
  }

  serviceRoute(row: RegistrationIndex): readonly string[] {
    return this.#ledger.serviceRoutes.get(row) ?? [];
  }

  secondsLeft(row: RegistrationIndex, nowMs: number): number {
    if (!this.#ledger.isBound(row, nowMs)) return 0;
    return Math.max(0, Math.floor((this.#columns.expiresMs(row) - this.#ledger.wallOf(nowMs)) / 1000));
  }

  isSecure(row: RegistrationIndex): boolean {
    return this.isLive(row) && this.#ledger.profile(row).key.secure;
  }

  isNatEmulated(row: RegistrationIndex): boolean {
    return this.isLive(row) && this.#ledger.profile(row).key.natEmulation;
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
}
