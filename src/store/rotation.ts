import type { Database } from "bun:sqlite";
import type { AccountId } from "../base/ids.ts";
import { uuidText } from "../base/uuid.ts";
import { dropOldDataKeys } from "./data-keys.ts";
import { failureOf, StoreFault } from "./faults.ts";
import { secretPlace, settingPlace } from "./secret.ts";
import { sealedUnder, type KeyRing, type Vault } from "./vault.ts";
import type { Outcome } from "./writer-protocol.ts";

/** Rows a transaction: about 10 ms, between which other writes go on. */
const rowsAtOnce = 250;

/**
 * Seals every secret and setting anew under the ring's current key, step by step, then drops the older keys. Reads go on
 * under either key. A process that dies in between leaves both keys and a mixture of rows, which is a state to go on from.
 */
export class Rotation {
  /** Of the request that started it; undefined when it is one taken up again. */
  readonly id: number | undefined;
  readonly #database: Database;
  readonly #vault: Vault;
  readonly #ring: KeyRing;
  #afterRow = 0;
  #resealed = 0;
  #damaged = 0;

  constructor(database: Database, vault: Vault, ring: KeyRing, id?: number) {
    this.#database = database;
    this.#vault = vault;
    this.#ring = ring;
    this.id = id;
  }

  /** "more" until all is done; then the outcome, whose value is how many secrets were sealed anew. */
  step(): "more" | Outcome {
    const rows = this.#database
      .query<{ rowid: number; account_id: Uint8Array; secret: Uint8Array }, [number, number]>(
        "select rowid, account_id, secret from accounts where rowid > ? order by rowid limit ?",
      )
      .all(this.#afterRow, rowsAtOnce);
    const update = this.#database.query("update accounts set secret = ? where rowid = ?");
    this.#database.transaction(() => {
      for (const row of rows) {
        const sealed = this.#reseal(secretPlace(uuidText(row.account_id) as AccountId), row.secret);
        if (sealed !== undefined) update.run(sealed, row.rowid);
      }
    })();
    const last = rows.at(-1);
    if (last !== undefined) {
      this.#afterRow = last.rowid;
      return "more";
    }
    this.#settings();
    if (this.#damaged > 0) {
      const text = `${this.#damaged} secrets do not open under their key; the old keys are kept`;
      return { ok: false, failure: failureOf(new StoreFault(text)) };
    }
    dropOldDataKeys(this.#database, this.#ring);
    return { ok: true, value: this.#resealed };
  }

  /** A handful: signing keys of the server. */
  #settings(): void {
    const rows = this.#database
      .query<{ name: string; value: Uint8Array }, []>("select name, value from settings")
      .all();
    const update = this.#database.query("update settings set value = ? where name = ?");
    this.#database.transaction(() => {
      for (const row of rows) {
        const sealed = this.#reseal(settingPlace(row.name), row.value);
        if (sealed !== undefined) update.run(sealed, row.name);
      }
    })();
  }

  #reseal(place: string, sealed: Uint8Array): Buffer | undefined {
    if (sealedUnder(sealed) === this.#ring.current) return undefined;
    const opened = this.#vault.open(place, sealed);
    if (!opened.ok) {
      this.#damaged++;
      return undefined;
    }
    this.#resealed++;
    return this.#vault.seal(place, opened.plain);
  }
}
