/** Realms in use at once; each is named by some account that used it last. */
const realmsMax = 0xffff;

export interface Realm {
  /** As between its quotes, latin1. */
  readonly text: string;
  readonly bytes: Uint8Array;
  /** `", realm="…", nonce="`: what stands between username and nonce of an answer. */
  readonly untilNonce: Uint8Array;
  uses: number;
}

/** Interned realms: thousands of accounts share one. Number 0 is none. */
export class Realms {
  readonly #byId: (Realm | undefined)[] = [undefined];
  readonly #byText = new Map<string, number>();
  readonly #free: number[] = [];

  /** HOT. Undefined for 0. */
  get(id: number): Realm | undefined {
    return this.#byId[id];
  }

  /** HOT. Whether realm `id` is bytes[from, to). */
  is(id: number, bytes: Uint8Array, from: number, to: number): boolean {
    const realm = this.#byId[id];
    if (realm === undefined || realm.bytes.length !== to - from) return false;
    for (let n = 0; n < realm.bytes.length; n++) if (realm.bytes[n] !== bytes[from + n]) return false;
    return true;
  }

  /** The number of a realm, one use more; 0 when there is no room for another. */
  acquire(text: string): number {
    let id = this.#byText.get(text);
    if (id === undefined) {
      if (this.#byText.size >= realmsMax - 1) return 0;
      id = this.#free.pop() ?? this.#byId.length;
      this.#byId[id] = { text, bytes: latin1(text), untilNonce: latin1(`", realm="${text}", nonce="`), uses: 0 };
      this.#byText.set(text, id);
    }
    this.#byId[id]!.uses++;
    return id;
  }

  release(id: number): void {
    const realm = this.#byId[id];
    if (realm === undefined || --realm.uses > 0) return;
    this.#byText.delete(realm.text);
    this.#byId[id] = undefined;
    this.#free.push(id);
  }
}

function latin1(text: string): Uint8Array {
  // A plain Uint8Array: hot loops see one kind of array only.
  return new Uint8Array(Buffer.from(text, "latin1"));
}
