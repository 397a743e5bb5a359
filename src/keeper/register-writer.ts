import { hexDigits } from "../base/hex.ts";
import type { RegistrationIndex } from "../base/ids.ts";
import type { LocalAddress, Transport } from "../net/network.ts";
import type { Arena } from "./arena.ts";
import type { Columns } from "./columns.ts";
import type { Credentials } from "./credentials.ts";
import { writeBranch, writeCallId, writeLineToken, writeTag } from "./names.ts";
import type { Profile } from "./profile.ts";
import { copy, put } from "./put.ts";
import { RegisterShape } from "./register-shape.ts";
import type { RegisterTemplate } from "./register-template.ts";
import { ChainFlag, Purpose, type PurposeId, type VolatileRows } from "./volatile-rows.ts";
import { Flag } from "./row-flags.ts";

/** Room for the largest REGISTER: four credentials with the longest nonces, and a list of bindings to remove. */
const requestBytesMax = 24_576;
const nothing = new Uint8Array(0);
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
    const template = profile.template(transport, local, columns.contactPort(row), columns.is(row, Flag.plain));
    const kind = this.#kind(row);
    if (kind < 0) return this.#writeParts(row, profile, template, new RegisterShape(0, 0, 0, 0, undefined, nothing));
    const userLength = this.#arena.lengthAt(volatile.entry(row));
    const digits = digitsOf(columns.cseq(row));
    const askedSec = volatile.askedSec(row);
    const realm = kind === 0 ? undefined : this.#credentials.realm(row);
    const shape = template.shapes.find(userLength, digits, askedSec, kind, realm);
    if (shape !== undefined) return this.#fill(row, profile, shape);
    const made = new RegisterShape(userLength, digits, askedSec, kind, realm, nothing);
    const length = this.#writeParts(row, profile, template, made);
    made.bytes = this.bytes.slice(0, length);
    template.shapes.add(made);
    return length;
  }

  /** HOT. -1 for a request that is like no other: another purpose than to bind, bindings to remove, an instance or a digest user of its own. */
  #kind(row: RegistrationIndex): number {
    const volatile = this.#volatile;
    if (volatile.purpose(row) !== Purpose.bind) return -1;
    if (this.#removals.size > 0 && this.#removals.has(row)) return -1;
    if (this.#instances.size > 0 && this.#instances.has(row)) return -1;
    return volatile.chain(row, ChainFlag.credentials) ? this.#credentials.kind(row) : 0;
  }

  /** HOT. */
  #fill(row: RegistrationIndex, profile: Profile, shape: RegisterShape): number {
    const columns = this.#columns;
    const volatile = this.#volatile;
    const out = this.bytes;
    const user = this.#arena.bytes;
    const from = this.#arena.partAt(volatile.entry(row));
    const to = from + shape.userLength;
    out.set(shape.bytes);
    writeBranch(columns, row, volatile.branchWord(row, 0), volatile.branchWord(row, 1), out, shape.branch);
    copy(out, shape.fromUser, user, from, to);
    writeTag(columns, row, out, shape.tag);
    copy(out, shape.toUser, user, from, to);
    writeCallId(columns, row, out, shape.callId);
    writeDigits(out, shape.cseq, columns.cseq(row), shape.digits);
    copy(out, shape.contactUser, user, from, to);
    writeLineToken(columns, row, out, shape.line);
    if (shape.instance !== 0) this.#writeUuid(row, out, shape.instance);
    if (shape.kind !== 0) {
      copy(out, shape.credentials.user, user, from, to);
      this.#credentials.fill(row, profile, out, shape.credentials);
    }
    return shape.bytes.length;
  }

  /** Part by part; `shape` is told where what is. */
  #writeParts(row: RegistrationIndex, profile: Profile, template: RegisterTemplate, shape: RegisterShape): number {
    const columns = this.#columns;
    const volatile = this.#volatile;
    const out = this.bytes;
    const arena = this.#arena;
    const user = arena.bytes;
    const from = arena.partAt(volatile.entry(row));
    const to = from + arena.lengthAt(volatile.entry(row));

    let at = put(out, 0, template.untilBranch);
    shape.branch = at;
    at = writeBranch(columns, row, volatile.branchWord(row, 0), volatile.branchWord(row, 1), out, at);
    at = put(out, at, template.untilFromUser);
    shape.fromUser = at;
    at = copy(out, at, user, from, to);
    at = put(out, at, template.untilTag);
    shape.tag = at;
    at = writeTag(columns, row, out, at);
    at = put(out, at, template.untilToUser);
    shape.toUser = at;
    at = copy(out, at, user, from, to);
    at = put(out, at, template.untilCallId);
    shape.callId = at;
    at = writeCallId(columns, row, out, at);
    at = put(out, at, template.untilCSeq);
    shape.cseq = at;
    at = writeDigits(out, at, columns.cseq(row), digitsOf(columns.cseq(row)));
    at = put(out, at, template.afterCSeq);
    const purpose = volatile.purpose(row);
    if (purpose !== Purpose.query) {
      at = put(out, at, template.untilContactUser);
      shape.contactUser = at;
      at = copy(out, at, user, from, to);
      at = put(out, at, template.untilLine);
      shape.line = at;
      at = writeLineToken(columns, row, out, at);
      at = this.#writeInstance(row, template, purpose, out, at, shape);
      if (purpose === Purpose.unbind) at = put(out, at, template.zeroExpires);
      else {
        // The Expires header is for all Contacts that say nothing themselves (RFC 3261 §10.2.1.1).
        at = put(out, at, this.#removals.get(row) ?? nothing);
        at = put(out, at, template.expires);
        at = writeDigits(out, at, volatile.askedSec(row), digitsOf(volatile.askedSec(row)));
        out[at++] = 0x0d;
        out[at++] = 0x0a;
      }
    }
    if (volatile.chain(row, ChainFlag.credentials)) {
      at = this.#credentials.write(row, profile, out, at, shape.credentials);
    }
    return put(out, at, template.tail);
  }

  #writeInstance(
    row: RegistrationIndex,
    template: RegisterTemplate,
    purpose: PurposeId,
    out: Uint8Array,
    at: number,
    shape: RegisterShape,
  ): number {
    const own = this.#instances.get(row);
    // A registrar that knows bindings by their instance would take away the phone's, if the phone shows the same one.
    if (template.plain || (purpose === Purpose.unbind && own !== undefined)) return put(out, at, template.closeUri);
    let to = put(out, at, template.untilInstance);
    if (own !== undefined) to = put(out, to, own);
    else {
      to = put(out, to, urnUuid);
      shape.instance = to;
      to = this.#writeUuid(row, out, to);
    }
    return put(out, to, template.afterInstance);
  }

  /** HOT. */
  #writeUuid(row: RegistrationIndex, out: Uint8Array, at: number): number {
    const columns = this.#columns;
    let to = at;
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

function digitsOf(value: number): number {
  let digits = 1;
  for (let bound = 10; value >= bound; bound *= 10) digits++;
  return digits;
}

function writeDigits(out: Uint8Array, at: number, value: number, digits: number): number {
  let rest = value;
  for (let n = at + digits - 1; n >= at; n--) {
    const next = Math.floor(rest / 10);
    out[n] = 0x30 + (rest - next * 10);
    rest = next;
  }
  return at + digits;
}
