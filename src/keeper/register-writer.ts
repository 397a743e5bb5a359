import type { RegistrationIndex } from "../base/ids.ts";
import type { LocalAddress, Transport } from "../net/network.ts";
import type { Arena } from "./arena.ts";
import { Flag, type Columns } from "./columns.ts";
import type { Credentials } from "./credentials.ts";
import { writeBranch, writeCallId, writeLineToken, writeTag } from "./names.ts";
import type { Profile } from "./profile.ts";
import { copy, put } from "./put.ts";
import { ChainFlag, Purpose, type VolatileRows } from "./volatile-rows.ts";

/** Room for the largest REGISTER: four credentials with the longest nonces, and a list of bindings to remove. */
const requestBytesMax = 24_576;
const hexDigits = new TextEncoder().encode("0123456789abcdef");
const urnUuid = new TextEncoder().encode("urn:uuid:");

/**
 * HOT: ≤ 400 ns a REGISTER without credentials, ≤ 1,000 ns with MD5, nothing allocated; bench/keeper/write-register.bench.ts.
 *
 * Writes the REGISTER that a row's columns describe. The same columns give the same bytes, so a retransmission is written again and no message
 * is kept (RFC 3261 §17.1.2: retransmissions are identical).
 */
export class RegisterWriter {
  /** The request written last, at bytes[0, length). */
  readonly bytes = new Uint8Array(requestBytesMax);
  readonly #columns: Columns;
  readonly #volatile: VolatileRows;
  readonly #arena: Arena;
  readonly #credentials: Credentials;
  /** `+sip.instance` of accounts that brought their own, without `<>`. */
  readonly #instances: ReadonlyMap<RegistrationIndex, Uint8Array>;
  /** Bindings to remove with the REGISTER in hand: `, <uri>;expires=0` each. */
  readonly #removals: ReadonlyMap<RegistrationIndex, Uint8Array>;

  constructor(options: {
    readonly columns: Columns;
    readonly volatile: VolatileRows;
    readonly arena: Arena;
    readonly credentials: Credentials;
    readonly instances: ReadonlyMap<RegistrationIndex, Uint8Array>;
    readonly removals: ReadonlyMap<RegistrationIndex, Uint8Array>;
  }) {
    this.#columns = options.columns;
    this.#volatile = options.volatile;
    this.#arena = options.arena;
    this.#credentials = options.credentials;
    this.#instances = options.instances;
    this.#removals = options.removals;
  }

  /** Returns the length of the request, at `bytes[0, length)` until the next call. */
  write(row: RegistrationIndex, profile: Profile, transport: Transport, local: LocalAddress): number {
    const columns = this.#columns;
    const volatile = this.#volatile;
    const out = this.bytes;
    const plain = columns.is(row, Flag.plain);
    const template = profile.template(transport, local, columns.contactPort(row), plain);
    const userAt = volatile.entry(row);
    const arena = this.#arena;
    const user = arena.bytes;
    const userFrom = arena.partAt(userAt);
    const userTo = userFrom + arena.lengthAt(userAt);

    let at = put(out, 0, template.untilBranch);
    at = writeBranch(columns, row, volatile.branchWord(row, 0), volatile.branchWord(row, 1), out, at);
    at = put(out, at, template.untilFromUser);
    at = copy(out, at, user, userFrom, userTo);
    at = put(out, at, template.untilTag);
    at = writeTag(columns, row, out, at);
    at = put(out, at, template.untilToUser);
    at = copy(out, at, user, userFrom, userTo);
    at = put(out, at, template.untilCallId);
    at = writeCallId(columns, row, out, at);
    at = put(out, at, template.untilCSeq);
    at = writeDigits(out, at, columns.cseq(row));
    at = put(out, at, template.afterCSeq);
    const purpose = volatile.purpose(row);
    if (purpose !== Purpose.query) {
      at = put(out, at, template.untilContactUser);
      at = copy(out, at, user, userFrom, userTo);
      at = put(out, at, template.untilLine);
      at = writeLineToken(columns, row, out, at);
      // A registrar that knows bindings by their instance would take away the phone's, if the phone shows the same one.
      const isShared = purpose === Purpose.unbind && this.#instances.size > 0 && this.#instances.has(row);
      if (plain || isShared) at = put(out, at, template.closeUri);
      else {
        at = put(out, at, template.untilInstance);
        at = this.#writeInstance(row, out, at);
        at = put(out, at, template.afterInstance);
      }
      if (purpose === Purpose.unbind) at = put(out, at, template.zeroExpires);
      else {
        const removals = this.#removals.get(row);
        if (removals !== undefined) {
          // The Expires header is for all Contacts that say nothing themselves (RFC 3261 §10.2.1.1).
          at = put(out, at, removals);
        }
        at = put(out, at, template.expires);
        at = writeDigits(out, at, volatile.askedSec(row));
        out[at++] = 0x0d;
        out[at++] = 0x0a;
      }
    }
    if (volatile.chain(row, ChainFlag.credentials)) at = this.#credentials.write(row, profile, out, at);
    return put(out, at, template.tail);
  }

  #writeInstance(row: RegistrationIndex, out: Uint8Array, at: number): number {
    const own = this.#instances.size === 0 ? undefined : this.#instances.get(row);
    if (own !== undefined) return put(out, at, own);
    let to = put(out, at, urnUuid);
    const columns = this.#columns;
    for (let n = 0; n < 4; n++) {
      // Words are little-endian: the first byte of the id is the lowest of its first word.
      let word = columns.idWord(row, n);
      for (let byte = 0; byte < 4; byte++) {
        out[to] = hexDigits[(word >>> 4) & 15]!;
        out[to + 1] = hexDigits[word & 15]!;
        word >>>= 8;
        to += 2;
        // 8-4-4-4-12: a dash after bytes 4, 6, 8 and 10.
        const written = n * 4 + byte + 1;
        if (written === 4 || written === 6 || written === 8 || written === 10) out[to++] = 0x2d;
      }
    }
    return to;
  }
}

function writeDigits(out: Uint8Array, at: number, value: number): number {
  let digits = 1;
  for (let rest = value; rest >= 10; rest = Math.floor(rest / 10)) digits++;
  let rest = value;
  for (let n = at + digits - 1; n >= at; n--) {
    out[n] = 0x30 + (rest % 10);
    rest = Math.floor(rest / 10);
  }
  return at + digits;
}
