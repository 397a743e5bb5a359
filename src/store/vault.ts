import { createCipheriv, createDecipheriv, randomFillSync } from "node:crypto";

/**
 * Secrets at rest: AES-256-GCM under data keys that are known by number. Layout of a sealed value, big endian:
 *
 *     0  version (1)    1  key id (4)    5  iv (12)    17  tag (16)    33  ciphertext
 *
 * The additional data names the place ("accounts:secret:<accountId>"), so that a value moved to another row is refused.
 * Data keys live in the database, wrapped by the master key (see data-keys.ts); unwrapped only in memory that all threads of
 * the process share, so that a rotation reaches every thread at once.
 */
const layoutVersion = 1;
const keyIdAt = 1;
const ivAt = 5;
const tagAt = 17;
const textAt = 33;
export const keyBytes = 32;

/** Rotation needs two; a third and fourth while a crashed one is taken up again. */
const slotsMax = 4;
const slotBytes = 4 + keyBytes;
const headerBytes = 4;

/** The unwrapped data keys of this process. Pass it to workers as it is: shared memory, never a copy, never a file. */
export interface VaultKeys {
  readonly ring: SharedArrayBuffer;
}

export type Opened =
  | { readonly ok: true; readonly plain: Buffer }
  /** "unknownKey": sealed under a key that is not in the ring (any more). "refused": forged, moved or damaged. */
  | { readonly ok: false; readonly reason: "unknownKey" | "refused" };

export function newVaultKeys(): VaultKeys {
  return { ring: new SharedArrayBuffer(headerBytes + slotsMax * slotBytes) };
}

/** Adds and drops data keys; only the store worker does. Key ids are positive. */
export class KeyRing {
  readonly #ids: Int32Array;
  readonly #bytes: Uint8Array;

  constructor(keys: VaultKeys) {
    this.#ids = new Int32Array(keys.ring, 0, 1 + slotsMax);
    this.#bytes = new Uint8Array(keys.ring, headerBytes + slotsMax * 4);
  }

  /** The key that new values are sealed under; 0 while there is none. */
  get current(): number {
    return Atomics.load(this.#ids, 0);
  }

  ids(): readonly number[] {
    return Array.from({ length: slotsMax }, (_, slot) => Atomics.load(this.#ids, 1 + slot)).filter((id) => id !== 0);
  }

  /** Makes a key known to all threads; adding one that is there already changes nothing. Throws when the ring is full. */
  add(id: number, key: Uint8Array): void {
    if (key.length !== keyBytes) throw new RangeError(`a data key has ${keyBytes} bytes`);
    if (this.#slot(id) >= 0) return;
    const slot = this.#slot(0);
    if (slot < 0) throw new RangeError(`more than ${slotsMax} data keys`);
    this.#bytes.set(key, slot * keyBytes);
    Atomics.store(this.#ids, 1 + slot, id); // published last: who sees the id sees the bytes
  }

  use(id: number): void {
    if (this.#slot(id) < 0) throw new RangeError(`data key ${id} is not in the ring`);
    Atomics.store(this.#ids, 0, id);
  }

  drop(id: number): void {
    const slot = this.#slot(id);
    if (slot < 0) return;
    Atomics.store(this.#ids, 1 + slot, 0);
    this.#bytes.fill(0, slot * keyBytes, (slot + 1) * keyBytes);
  }

  /** A copy of a key's bytes; undefined when it is not (or no longer) in the ring. */
  key(id: number): Buffer | undefined {
    const slot = this.#slot(id);
    if (id === 0 || slot < 0) return undefined;
    const key = Buffer.alloc(keyBytes);
    key.set(this.#bytes.subarray(slot * keyBytes, (slot + 1) * keyBytes));
    // Dropped while we copied: the bytes may be half zero.
    return Atomics.load(this.#ids, 1 + slot) === id ? key : undefined;
  }

  #slot(id: number): number {
    for (let slot = 0; slot < slotsMax; slot++) if (Atomics.load(this.#ids, 1 + slot) === id) return slot;
    return -1;
  }
}

/** Seals under the ring's current key and opens under any of its keys; one a thread, no state of its own. */
export class Vault {
  readonly #ring: KeyRing;

  constructor(keys: VaultKeys) {
    this.#ring = new KeyRing(keys);
  }

  /** Only where rows are written, so that no value is sealed under a key that is just being dropped. Throws without a key. */
  seal(place: string, plain: Uint8Array): Buffer {
    const id = this.#ring.current;
    const key = this.#ring.key(id);
    if (key === undefined) throw new Error("the vault has no key");
    return sealWith(key, id, place, plain);
  }

  open(place: string, sealed: Uint8Array): Opened {
    const key = this.#ring.key(sealedUnder(sealed));
    if (key === undefined) return { ok: false, reason: "unknownKey" };
    const plain = openWith(key, place, sealed);
    return plain === undefined ? { ok: false, reason: "refused" } : { ok: true, plain };
  }
}

/** Id of the key a value was sealed under; 0 when it is not a sealed value. */
export function sealedUnder(sealed: Uint8Array): number {
  if (sealed.length < textAt || sealed[0] !== layoutVersion) return 0;
  return new DataView(sealed.buffer, sealed.byteOffset).getInt32(keyIdAt);
}

export function sealWith(key: Uint8Array, id: number, place: string, plain: Uint8Array): Buffer {
  const sealed = Buffer.alloc(textAt + plain.length);
  sealed[0] = layoutVersion;
  sealed.writeInt32BE(id, keyIdAt);
  // Random 96 bits: a key would have to seal 2^32 values before a repetition is worth a thought (NIST SP 800-38D §8.3).
  randomFillSync(sealed, ivAt, tagAt - ivAt);
  const cipher = createCipheriv("aes-256-gcm", key, sealed.subarray(ivAt, tagAt));
  cipher.setAAD(Buffer.concat([sealed.subarray(0, ivAt), Buffer.from(place)]));
  cipher.update(plain).copy(sealed, textAt);
  cipher.final();
  cipher.getAuthTag().copy(sealed, tagAt);
  return sealed;
}

/** Undefined when the value is forged, damaged or was sealed for another place or under another key. */
export function openWith(key: Uint8Array, place: string, sealed: Uint8Array): Buffer | undefined {
  if (sealed.length < textAt) return undefined;
  try {
    const decipher = createDecipheriv("aes-256-gcm", key, sealed.subarray(ivAt, tagAt), {
      authTagLength: textAt - tagAt,
    });
    decipher.setAAD(Buffer.concat([sealed.subarray(0, ivAt), Buffer.from(place)]));
    decipher.setAuthTag(sealed.subarray(tagAt, textAt));
    const plain = decipher.update(sealed.subarray(textAt));
    decipher.final();
    return plain;
  } catch {
    return undefined; // node:crypto's way to say that the tag does not fit
  }
}
