import type { AccountId, RegistrationIndex } from "../base/ids.ts";
import type { PeerId, Source } from "../net/network.ts";
import type { SipView } from "../sip/message/view.ts";

/** What the anchor asks of the registrations of its shard; implemented by the keeper. Rows are valid until the account is removed. */
export interface AccountBook {
  /** Row of an account that lives on this shard, or undefined. */
  rowOf(accountId: AccountId): RegistrationIndex | undefined;
  accountId(row: RegistrationIndex): AccountId;
  /** Row whose present Contact carries this `line` token (compared in constant time), or undefined. */
  rowByLine(token: string): RegistrationIndex | undefined;
  /** For servers that strip `line`: the one account with this user (as it stands in a URI) whose server `source` is; undefined when none or several. */
  rowByAddress(user: string, source: Source): RegistrationIndex | undefined;
  /** Whether `source` is plausible as this account's server: the registrar in use or another address its name resolved to. */
  isServer(row: RegistrationIndex, source: Source): boolean;
  /** Where out-of-dialog requests of the account go; undefined while it is not resolved (a look-up is started, `onServerKnown` follows). */
  serverOf(row: RegistrationIndex): PeerId | undefined;
  /** Our Contact URI for this account towards this peer, without brackets: `sip:user@host:port;transport=tcp;line=…`. */
  contactUri(row: RegistrationIndex, peer: PeerId): string;
  /** user@domain of the account's address of record, as they stand in a URI. */
  aor(row: RegistrationIndex): { readonly user: string; readonly domain: string };
  /** Service-Route values of the last 2xx (RFC 3608), each with brackets; empty when none. */
  serviceRoute(row: RegistrationIndex): readonly string[];
  /** Seconds left of the binding, 0 when not registered: what a REGISTER through the tunnel is granted. */
  secondsLeft(row: RegistrationIndex): number;
  /** True when the account's transport is TLS: its messages never leave by another. */
  isSecure(row: RegistrationIndex): boolean;
  isNatEmulated(row: RegistrationIndex): boolean;
  /**
   * Authorization or Proxy-Authorization line ("Name: value") for a request that we originated for the account (MWI SUBSCRIBE,
   * BYE for a lost phone) and that `challenge` (401/407) asks for; undefined when the rules forbid an answer: foreign realm,
   * foreign peer, weaker algorithm than pinned, secret gone.
   */
  authorize(
    row: RegistrationIndex,
    challenge: SipView,
    source: Source,
    method: string,
    uri: string,
  ): string | undefined;
}
