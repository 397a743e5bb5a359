import type { RegistrationIndex } from "../base/ids.ts";
import type { Directory, Proof } from "../base/records.ts";
import { algorithmName, algorithmOf, hashInto, hexChars, type KnownAlgorithmId } from "../sip/auth/algorithm.ts";
import { ha1Hex } from "../sip/auth/digest.ts";
import type { Columns } from "./columns.ts";

/** Room for `username:realm:password`, each at its longest in UTF-8. */
const textBytesMax = 4096;
const colon = 0x3a;

/** Reads the secrets of a shard's accounts when a challenge asks for them, and holds those of accounts that are leaving. */
export class Secrets {
  readonly #columns: Columns;
  readonly #directory: Directory;
  /** Of accounts that are being removed: the directory has them no longer. */
  readonly #held = new Map<RegistrationIndex, Proof>();
  readonly #encoder = new TextEncoder();
  readonly #text = new Uint8Array(textBytesMax);
  readonly #hash = new Uint8Array(32);

  constructor(columns: Columns, directory: Directory) {
    this.#columns = columns;
    this.#directory = directory;
  }

  hold(row: RegistrationIndex, proof: Proof): void {
    this.#held.set(row, proof);
  }
  release(row: RegistrationIndex): void {
    this.#held.delete(row);
  }
  /** What is held of a row is another's from now on. */
  move(from: RegistrationIndex, to: RegistrationIndex): void {
    const held = this.#held.get(from);
    if (held !== undefined) this.#held.set(to, held);
    this.#held.delete(from);
  }

  /** The secrets of these rows are about to be asked for: the directory reads them, sealed, in one go. */
  prepare(rows: readonly RegistrationIndex[]): void {
    this.#directory.prepareProofs(rows.map((row) => this.#columns.accountId(row)));
  }

  /** Undefined when the account or its secret is gone. */
  proof(row: RegistrationIndex): Proof | undefined {
    return this.#held.get(row) ?? this.#directory.proof(this.#columns.accountId(row));
  }

  /**
   * Writes HA1 as hash bytes for the realm at bytes[from, to) to out[at, …); false when the account has only hashes, and none for
   * this realm and algorithm.
   */
  writeHa1(
    row: RegistrationIndex,
    algorithm: KnownAlgorithmId,
    bytes: Uint8Array,
    from: number,
    to: number,
    out: Uint8Array,
    at: number,
  ): boolean {
    const proof = this.proof(row);
    if (proof === undefined) return false;
    if (proof.secret.kind === "ha1") {
      const realm = Buffer.from(bytes.subarray(from, to)).toString("latin1");
      const hash = ha1Of(proof, realm, algorithm);
      if (hash === undefined || hash.length !== hexChars(algorithm)) return false;
      out.set(Buffer.from(hash, "hex"), at);
      return true;
    }
    const text = this.#text;
    let end = this.#encoder.encodeInto(proof.username, text).written;
    text[end++] = colon;
    if (end + to - from + 1 > textBytesMax) return false;
    for (let n = from; n < to; n++) text[end++] = bytes[n]!;
    text[end++] = colon;
    const { read, written } = this.#encoder.encodeInto(proof.secret.password, text.subarray(end));
    if (read < proof.secret.password.length) return false;
    hashInto(algorithm, text.subarray(0, end + written), this.#hash);
    text.fill(0, 0, end + written);
    const length = hexChars(algorithm) / 2;
    for (let n = 0; n < length; n++) out[at + n] = this.#hash[n]!;
    return true;
  }
}

/** HA1 in hex for this realm and algorithm; undefined when the account has only hashes, and none for it. */
export function ha1Of(proof: Proof, realm: string, algorithm: KnownAlgorithmId): string | undefined {
  if (proof.secret.kind === "password") {
    return ha1Hex(algorithmName(algorithm), proof.username, realm, proof.secret.password);
  }
  const entry = proof.secret.entries.find((one) => one.realm === realm && algorithmOf(one.algorithm) === algorithm);
  return entry?.hash.toLowerCase();
}
