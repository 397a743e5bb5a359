import { fromByteArray } from "ipaddr.js";
import type { AccountId, RegistrationIndex } from "../base/ids.ts";
import { readUuid, uuidText } from "../base/uuid.ts";
import type { Transport } from "../net/network.ts";
import { algorithmShift, Flag, modeShift, type ModeNumber } from "./row-flags.ts";
import { RowIndex } from "./row-index.ts";

/**
 * What a shard knows of its registrations and must not lose: fixed rows in one mapped file. A process that dies leaves them
 * as they were; the next one goes on with the same timers. No secret stands here: not a digest, not a nonce.
 *
 * A row holds all fields of a registration side by side, so that a refresh touches two cache lines and not twenty.
 */

/** Written into the header; a file of another layout is begun anew. */
const layoutVersion = 2;
const magicHigh = 0x57414b45; // WAKE
const magicLow = 0x434f4c53; // COLS

/** Rows a file has: line tokens and branches carry row numbers of 20 bits. */
export const rowsMax = 1 << 20;

const headerBytes = 4096;
const headerWords = headerBytes / 4;
const rowWords = 28;
const rowBytes = rowWords * 4;
const lineWords = 16;

/** Header words. */
const HeaderWord = { magicHigh: 0, magicLow: 1, version: 2, capacity: 3, clean: 4, used: 5 } as const;

/** Word of each field in a row. Times are Float64 and take two words from an even one. */
const Field = {
  uuid: 0,
  actMs: 4,
  expiresMs: 6,
  version: 8,
  /** state in bits 0-7, flags above. */
  stateAndFlags: 9,
  cseq: 10,
  generation: 11,
  token: 12,
  serverAddress: 16,
  /** port in bits 0-15, transport in 16-23, address family in 24-31; 0: no server yet. */
  server: 20,
  contactPort: 21,
  contactHost: 22,
  /** last status in bits 0-15, learned mode in 16-23, failed attempts in 24-31. */
  history: 23,
  mayEndSec: 24,
  realm: 25,
  check: 27,
} as const;

/** Address and `server` behind it. */
export const serverWords = 5;

export interface ServerAddress {
  readonly transport: Transport;
  readonly address: string;
  readonly port: number;
}

const transports: readonly Transport[] = ["udp", "tcp", "tls"];

/** Size of a file for `rows` rows. */
export function columnsBytes(rows: number): number {
  return headerBytes + rows * rowBytes;
}

/**
 * Takes a mapped file or, in simulations, plain memory; its length gives the number of rows. What it holds of this layout is
 * kept, anything else is begun anew.
 * @throws RangeError when there is no room for a row.
 */
export function openColumns(memory: ArrayBuffer | Uint8Array): Columns {
  return memory instanceof ArrayBuffer ? new Columns(new Uint8Array(memory)) : new Columns(memory);
}

export class Columns {
  readonly capacity: number;
  /** True when the last owner said good-bye: nothing was under way. */
  readonly wasClean: boolean;
  readonly #bytes: Uint8Array;
  readonly #words: Uint32Array;
  /** The same words, signed: an engine computes with these as they are, with a word over 2**31 by way of a float. */
  readonly #ints: Int32Array;
  readonly #times: Float64Array;
  readonly #header: Uint32Array;
  readonly #byAccount: RowIndex;
  readonly #isProbe = (row: RegistrationIndex): boolean => {
    const at = row * rowWords;
    for (let n = 0; n < 4; n++) if (this.#ints[at + n] !== probe[n]) return false;
    return true;
  };
  /** Rows that may be used again, oldest first. */
  #free: { readonly row: RegistrationIndex; readonly sinceMs: number }[] = [];
  #freeFrom = 0;
  #torn = 0;

  constructor(memory: Uint8Array) {
    this.capacity = Math.min(Math.floor((memory.byteLength - headerBytes) / rowBytes), rowsMax);
    if (this.capacity < 1) throw new RangeError("no room for a registration");
    const { buffer, byteOffset } = memory;
    this.#bytes = new Uint8Array(buffer, byteOffset + headerBytes, this.capacity * rowBytes);
    this.#words = new Uint32Array(buffer, byteOffset + headerBytes, this.capacity * rowWords);
    this.#ints = new Int32Array(buffer, byteOffset + headerBytes, this.capacity * rowWords);
    this.#times = new Float64Array(buffer, byteOffset + headerBytes, (this.capacity * rowWords) / 2);
    this.#header = new Uint32Array(buffer, byteOffset, headerWords);
    this.#byAccount = new RowIndex((row) => this.#hash(row));
    this.wasClean = this.#adopt();
  }

  /** Makes room in the index for so many rows at once. */
  reserve(rows: number): void {
    this.#byAccount.reserve(rows);
  }

  /** HOT. Reads a word of each cache line of the row: see `RowTimers.advance`. */
  touch(row: RegistrationIndex): number {
    const at = row * rowWords;
    return this.#ints[at]! ^ this.#ints[at + lineWords]! ^ this.#ints[at + rowWords - 1]!;
  }

  /** Rows in use. */
  get size(): number {
    return this.#byAccount.size;
  }

  /** Rows of the file that were found torn and were dropped. */
  get torn(): number {
    return this.#torn;
  }

  /** Row numbers in use are below this. */
  get used(): number {
    return this.#header[HeaderWord.used]!;
  }

  /** Says that nothing is under way; the next owner sees it as `wasClean`. */
  markClean(clean: boolean): void {
    this.#header[HeaderWord.clean] = clean ? 1 : 0;
  }

  /** A row for the account, all fields zero; undefined when every row is taken. Freed rows rest `restMs` before another account gets them. */
  allocate(accountId: AccountId, nowMs: number, restMs: number): RegistrationIndex | undefined {
    const row = this.#take(nowMs, restMs);
    if (row === undefined) return undefined;
    if (!readUuid(accountId, probeBytes)) throw new RangeError("an account id is a UUID");
    this.#words.fill(0, row * rowWords, (row + 1) * rowWords);
    this.#ints.set(probe, row * rowWords);
    this.#byAccount.add(row);
    return row;
  }

  /** A further row with all that `row` holds, which no account is found under. */
  copy(row: RegistrationIndex, nowMs: number, restMs: number): RegistrationIndex | undefined {
    const other = this.#take(nowMs, restMs);
    if (other === undefined) return undefined;
    this.#words.copyWithin(other * rowWords, row * rowWords, (row + 1) * rowWords);
    this.set(other, Flag.farewell, true);
    return other;
  }

  free(row: RegistrationIndex, nowMs: number): void {
    this.unlink(row);
    this.#words.fill(0, row * rowWords, (row + 1) * rowWords);
    this.#free.push({ row, sinceMs: nowMs });
  }

  /** The account is no longer found under its id; the row stays. */
  unlink(row: RegistrationIndex): void {
    if (!this.is(row, Flag.farewell)) this.#byAccount.remove(row);
    this.set(row, Flag.farewell, true);
  }

  find(accountId: AccountId): RegistrationIndex | undefined {
    if (!readUuid(accountId, probeBytes)) return undefined;
    return this.#byAccount.find(mixId(probe[0]!, probe[1]!, probe[2]!, probe[3]!), this.#isProbe);
  }

  /** Whether the row belongs to somebody. */
  isUsed(row: number): boolean {
    return row >= 0 && row < this.used && !this.#isEmpty(row);
  }

  accountId(row: RegistrationIndex): AccountId {
    return uuidText(this.#bytes.subarray(row * rowBytes, row * rowBytes + 16)) as AccountId;
  }

  /** One of the four words of the account's id, signed: what names are derived from. */
  idWord(row: RegistrationIndex, n: number): number {
    return this.#ints[row * rowWords + Field.uuid + n]!;
  }

  /** Writes the row's check: call it when all fields are as they should be found after a crash. */
  seal(row: RegistrationIndex): void {
    this.#ints[row * rowWords + Field.check] = this.#checkOf(row);
  }

  version(row: RegistrationIndex): number {
    return this.#words[row * rowWords + Field.version]!;
  }
  setVersion(row: RegistrationIndex, version: number): void {
    this.#words[row * rowWords + Field.version] = version;
  }

  /** A number of RegistrationStateId. */
  state(row: RegistrationIndex): number {
    return this.#words[row * rowWords + Field.stateAndFlags]! & 0xff;
  }
  setState(row: RegistrationIndex, state: number): void {
    const at = row * rowWords + Field.stateAndFlags;
    this.#words[at] = (this.#words[at]! & ~0xff) | state;
  }

  is(row: RegistrationIndex, flag: number): boolean {
    return (this.#words[row * rowWords + Field.stateAndFlags]! & flag) !== 0;
  }
  set(row: RegistrationIndex, flag: number, on: boolean): void {
    const at = row * rowWords + Field.stateAndFlags;
    this.#words[at] = on ? this.#words[at]! | flag : this.#words[at]! & ~flag;
  }

  /** Weakest algorithm to be answered, as a number of `Algorithm`; 0: any. */
  algorithmFloor(row: RegistrationIndex): number {
    return (this.#words[row * rowWords + Field.stateAndFlags]! >>> algorithmShift) & 3;
  }
  setAlgorithmFloor(row: RegistrationIndex, floor: number): void {
    const at = row * rowWords + Field.stateAndFlags;
    this.#words[at] = (this.#words[at]! & ~Flag.algorithmFloor) | ((floor & 3) << algorithmShift);
  }

  /** The mode that the account asks for. */
  mode(row: RegistrationIndex): ModeNumber {
    return ((this.#words[row * rowWords + Field.stateAndFlags]! >>> modeShift) & 3) as ModeNumber;
  }
  setMode(row: RegistrationIndex, mode: ModeNumber): void {
    const at = row * rowWords + Field.stateAndFlags;
    this.#words[at] = (this.#words[at]! & ~Flag.mode) | (mode << modeShift);
  }

  /** When the row is to be looked at next (refresh, retry); Unix milliseconds, 0: never. */
  actMs(row: RegistrationIndex): number {
    return this.#times[(row * rowWords + Field.actMs) >> 1]!;
  }
  setActMs(row: RegistrationIndex, atMs: number): void {
    this.#times[(row * rowWords + Field.actMs) >> 1] = atMs;
  }

  /** When the binding ends that the registrar last confirmed; Unix milliseconds, 0: none. */
  expiresMs(row: RegistrationIndex): number {
    return this.#times[(row * rowWords + Field.expiresMs) >> 1]!;
  }
  setExpiresMs(row: RegistrationIndex, atMs: number): void {
    this.#times[(row * rowWords + Field.expiresMs) >> 1] = atMs;
  }

  cseq(row: RegistrationIndex): number {
    return this.#words[row * rowWords + Field.cseq]!;
  }
  setCSeq(row: RegistrationIndex, cseq: number): void {
    this.#words[row * rowWords + Field.cseq] = cseq;
  }

  /** Random, signed, and another when the row is rebuilt; Call-ID and From-tag derive from it. */
  generation(row: RegistrationIndex): number {
    return this.#ints[row * rowWords + Field.generation]!;
  }
  setGeneration(row: RegistrationIndex, generation: number): void {
    this.#ints[row * rowWords + Field.generation] = generation;
  }

  /** One of the four words of the line token, signed. */
  tokenWord(row: RegistrationIndex, n: number): number {
    return this.#ints[row * rowWords + Field.token + n]!;
  }
  setTokenWord(row: RegistrationIndex, n: number, word: number): void {
    this.#ints[row * rowWords + Field.token + n] = word;
  }

  /** The server that the last REGISTER went to; undefined before the first. */
  server(row: RegistrationIndex): ServerAddress | undefined {
    const packed = this.#words[row * rowWords + Field.server]!;
    if (packed === 0) return undefined;
    const from = row * rowBytes + Field.serverAddress * 4;
    const bytes = this.#bytes.subarray(from, from + 16);
    return {
      transport: transports[(packed >>> 16) & 0xff] ?? "udp",
      address: fromByteArray([...bytes.subarray(0, packed >>> 24 === 6 ? 16 : 4)]).toString(),
      port: packed & 0xffff,
    };
  }
  /** Copies the words that `server` reads; `isServer` compares with them. */
  copyServer(row: RegistrationIndex, words: Uint32Array): void {
    const at = row * rowWords + Field.serverAddress;
    for (let n = 0; n < serverWords; n++) words[n] = this.#words[at + n]!;
  }
  isServer(row: RegistrationIndex, words: Uint32Array): boolean {
    const at = row * rowWords + Field.serverAddress;
    for (let n = 0; n < serverWords; n++) if (this.#words[at + n] !== words[n]) return false;
    return true;
  }
  hasServer(row: RegistrationIndex): boolean {
    return this.#words[row * rowWords + Field.server] !== 0;
  }
  /** `address` as 4 or 16 bytes. */
  setServer(row: RegistrationIndex, transport: Transport, address: Uint8Array, port: number): void {
    const family = address.length === 16 ? 6 : 4;
    this.#words.fill(0, row * rowWords + Field.serverAddress, row * rowWords + Field.serverAddress + 4);
    this.#bytes.set(address, row * rowBytes + Field.serverAddress * 4);
    this.#words[row * rowWords + Field.server] = (port | (transports.indexOf(transport) << 16) | (family << 24)) >>> 0;
  }

  /** Port in our present Contact; 0 before the first REGISTER. */
  contactPort(row: RegistrationIndex): number {
    return this.#words[row * rowWords + Field.contactPort]!;
  }
  setContactPort(row: RegistrationIndex, port: number): void {
    this.#words[row * rowWords + Field.contactPort] = port;
  }
  /** Hash of the host in our present Contact. */
  contactHost(row: RegistrationIndex): number {
    return this.#words[row * rowWords + Field.contactHost]!;
  }
  setContactHost(row: RegistrationIndex, hash: number): void {
    this.#words[row * rowWords + Field.contactHost] = hash;
  }

  lastStatus(row: RegistrationIndex): number {
    return this.#words[row * rowWords + Field.history]! & 0xffff;
  }
  setLastStatus(row: RegistrationIndex, status: number): void {
    const at = row * rowWords + Field.history;
    this.#words[at] = (this.#words[at]! & ~0xffff) | status;
  }
  /** What `auto` has learned; `ModeId.auto`: nothing yet. */
  learnedMode(row: RegistrationIndex): ModeNumber {
    return ((this.#words[row * rowWords + Field.history]! >>> 16) & 3) as ModeNumber;
  }
  setLearnedMode(row: RegistrationIndex, mode: ModeNumber): void {
    const at = row * rowWords + Field.history;
    this.#words[at] = (this.#words[at]! & ~0xff0000) | (mode << 16);
  }
  /** Attempts that failed since the last success; stays at 255. */
  failures(row: RegistrationIndex): number {
    return this.#words[row * rowWords + Field.history]! >>> 24;
  }
  setFailures(row: RegistrationIndex, failures: number): void {
    const at = row * rowWords + Field.history;
    this.#words[at] = ((this.#words[at]! & 0xffffff) | (Math.min(failures, 255) << 24)) >>> 0;
  }

  /** Until when a binding of ours may be at the registrar, confirmed or not; Unix seconds, 0: none can be. */
  mayEndSec(row: RegistrationIndex): number {
    return this.#words[row * rowWords + Field.mayEndSec]!;
  }
  setMayEndSec(row: RegistrationIndex, atSec: number): void {
    this.#words[row * rowWords + Field.mayEndSec] = atSec;
  }

  /** 64 bits of a hash of the realm that the account proved itself in. */
  realmWord(row: RegistrationIndex, n: 0 | 1): number {
    return this.#words[row * rowWords + Field.realm + n]!;
  }
  setRealm(row: RegistrationIndex, first: number, second: number): void {
    this.#words[row * rowWords + Field.realm] = first;
    this.#words[row * rowWords + Field.realm + 1] = second;
    this.set(row, Flag.realmKnown, true);
  }

  /** Moves every persisted time: the wall clock was set. */
  shiftTimes(byMs: number): void {
    for (let row = 0 as RegistrationIndex; row < this.used; row = (row + 1) as RegistrationIndex) {
      if (this.#isEmpty(row)) continue;
      if (this.actMs(row) !== 0) this.setActMs(row, this.actMs(row) + byMs);
      if (this.expiresMs(row) !== 0) this.setExpiresMs(row, this.expiresMs(row) + byMs);
      const mayEndSec = this.mayEndSec(row);
      if (mayEndSec !== 0) this.setMayEndSec(row, Math.max(1, mayEndSec + Math.round(byMs / 1000)));
      this.seal(row);
    }
  }

  #adopt(): boolean {
    const header = this.#header;
    const known =
      header[HeaderWord.magicHigh] === magicHigh &&
      header[HeaderWord.magicLow] === magicLow &&
      header[HeaderWord.version] === layoutVersion &&
      header[HeaderWord.capacity] === this.capacity &&
      header[HeaderWord.used]! <= this.capacity;
    if (!known) {
      header.fill(0);
      header[HeaderWord.magicHigh] = magicHigh;
      header[HeaderWord.magicLow] = magicLow;
      header[HeaderWord.version] = layoutVersion;
      header[HeaderWord.capacity] = this.capacity;
      return true;
    }
    const clean = header[HeaderWord.clean] === 1;
    header[HeaderWord.clean] = 0;
    const used = this.used;
    this.#byAccount.reserve(used);
    for (let row = 0 as RegistrationIndex; row < used; row = (row + 1) as RegistrationIndex) {
      const empty = this.#isEmpty(row);
      const whole = !empty && this.#ints[row * rowWords + Field.check] === this.#checkOf(row);
      if (whole && !this.is(row, Flag.farewell) && !this.#isTwin(row)) {
        this.#byAccount.add(row);
        continue;
      }
      // What a farewell needs (its HA1) died with the process; the binding expires by itself.
      if (!empty && !whole) this.#torn++;
      this.#words.fill(0, row * rowWords, (row + 1) * rowWords);
      this.#free.push({ row, sinceMs: -Infinity });
    }
    return clean;
  }

  /** Whether another row has this account: no crash leaves that behind, but a file is input. */
  #isTwin(row: RegistrationIndex): boolean {
    const at = row * rowWords;
    for (let n = 0; n < 4; n++) probe[n] = this.#ints[at + n]!;
    return this.#byAccount.find(mixId(probe[0]!, probe[1]!, probe[2]!, probe[3]!), this.#isProbe) !== undefined;
  }

  #take(nowMs: number, restMs: number): RegistrationIndex | undefined {
    const oldest = this.#free[this.#freeFrom];
    const full = this.used >= this.capacity;
    if (oldest !== undefined && (full || nowMs - oldest.sinceMs >= restMs)) {
      this.#freeFrom++;
      if (this.#freeFrom > 1024 && this.#freeFrom * 2 > this.#free.length) {
        this.#free = this.#free.slice(this.#freeFrom);
        this.#freeFrom = 0;
      }
      return oldest.row;
    }
    if (full) return undefined;
    return this.#header[HeaderWord.used]!++ as RegistrationIndex;
  }

  #isEmpty(row: number): boolean {
    const at = row * rowWords;
    return (this.#words[at]! | this.#words[at + 1]! | this.#words[at + 2]! | this.#words[at + 3]!) === 0;
  }

  #hash(row: RegistrationIndex): number {
    const at = row * rowWords;
    const words = this.#ints;
    return mixId(words[at]!, words[at + 1]!, words[at + 2]!, words[at + 3]!);
  }

  /** HOT, with every change of a row. Two lanes, so that the multiplications overlap. */
  #checkOf(row: RegistrationIndex): number {
    const words = this.#ints;
    const at = row * rowWords;
    let a = row + 1;
    let b = layoutVersion;
    for (let i = at; i < at + Field.check - 1; i += 2) {
      a = Math.imul(a ^ words[i]!, 0x9e3779b1);
      b = Math.imul(b ^ words[i + 1]!, 0x85ebca6b);
      a ^= a >>> 15;
      b ^= b >>> 13;
    }
    a = Math.imul(a ^ words[at + Field.check - 1]!, 0x9e3779b1);
    return a ^ (b << 7) ^ (b >>> 25) ^ (a >>> 16);
  }
}

/** The id that is being looked for; a row's words are compared with these. */
const probe = new Int32Array(4);
const probeBytes = new Uint8Array(probe.buffer);

function mixId(a: number, b: number, c: number, d: number): number {
  const mixed = Math.imul(a ^ Math.imul(b, 0x9e3779b1) ^ Math.imul(c, 0x85ebca6b) ^ d, 0xc2b2ae35);
  return mixed ^ (mixed >>> 15);
}
