import { createHash } from "node:crypto";
import type { RegistrationIndex } from "../base/ids.ts";
import type { Columns } from "./columns.ts";
import { Flag } from "./row-flags.ts";

const tagsMax = 256;

/**
 * Which realm each account proved itself in: other requests of ours are answered in no other (ES2021-05). A realm stands in the mapped file
 * as 64 bits of its hash, which nobody can aim at.
 */
export class RealmPins {
  readonly #columns: Columns;
  readonly #tags = new Map<string, readonly [number, number]>();

  constructor(columns: Columns) {
    this.#columns = columns;
  }

  /** Remembers the realm; returns true when another one stood there. */
  pin(row: RegistrationIndex, realm: string): boolean {
    if (this.is(row, realm)) return false;
    const stood = this.#columns.is(row, Flag.realmKnown);
    const [first, second] = this.#tag(realm);
    this.#columns.setRealm(row, first, second);
    return stood;
  }

  is(row: RegistrationIndex, realm: string): boolean {
    const columns = this.#columns;
    if (!columns.is(row, Flag.realmKnown)) return false;
    const [first, second] = this.#tag(realm);
    return columns.realmWord(row, 0) === first && columns.realmWord(row, 1) === second;
  }

  #tag(realm: string): readonly [number, number] {
    let tag = this.#tags.get(realm);
    if (tag === undefined) {
      const hash = createHash("sha256").update(realm, "latin1").digest();
      tag = [hash.readUInt32LE(0), hash.readUInt32LE(4)];
      if (this.#tags.size >= tagsMax) this.#tags.clear();
      this.#tags.set(realm, tag);
    }
    return tag;
  }
}
