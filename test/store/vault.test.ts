import { describe, expect, test } from "bun:test";
import { assert, property, string, uint8Array, nat } from "fast-check";
import { KeyRing, newVaultKeys, openWith, sealedUnder, Vault } from "../../src/store/vault.ts";

function vaultWith(id: number, fill: number) {
  const keys = newVaultKeys();
  const ring = new KeyRing(keys);
  ring.add(id, Buffer.alloc(32, fill));
  ring.use(id);
  return { keys, ring, vault: new Vault(keys) };
}

describe("the vault", () => {
  test("opens what it sealed, for the same place alone", () => {
    const { vault } = vaultWith(1, 7);
    assert(
      property(string(), uint8Array({ maxLength: 400 }), string(), (place, plain, elsewhere) => {
        const sealed = vault.seal(place, plain);
        const opened = vault.open(place, sealed);
        expect(opened.ok && Buffer.compare(opened.plain, Buffer.from(plain))).toBe(0);
        if (elsewhere !== place) expect(vault.open(elsewhere, sealed)).toEqual({ ok: false, reason: "refused" });
      }),
    );
  });

  test("refuses a value with any bit changed", () => {
    const { vault } = vaultWith(1, 7);
    const sealed = vault.seal("accounts:secret:a", Buffer.from("password"));
    assert(
      property(nat(sealed.length * 8 - 1), (bit) => {
        const forged = Buffer.from(sealed);
        forged[bit >> 3]! ^= 1 << (bit & 7);
        expect(vault.open("accounts:secret:a", forged).ok).toBe(false);
      }),
    );
  });

  test("refuses what is no sealed value", () => {
    const { vault } = vaultWith(1, 7);
    for (const bytes of [Buffer.alloc(0), Buffer.alloc(32, 1), Buffer.alloc(200), Buffer.alloc(200, 255)]) {
      expect(vault.open("p", bytes).ok).toBe(false);
    }
  });

  test("never seals to the same bytes twice", () => {
    const { vault } = vaultWith(1, 7);
    const seen = new Set(Array.from({ length: 1_000 }, () => vault.seal("p", Buffer.from("x")).toString("hex")));
    expect(seen.size).toBe(1_000);
  });

  test("names the key a value is under", () => {
    const { vault } = vaultWith(0x01020304, 7);
    expect(sealedUnder(vault.seal("p", Buffer.from("x")))).toBe(0x01020304);
    expect(openWith(Buffer.alloc(32, 7), "p", vault.seal("p", Buffer.from("x")))?.toString()).toBe("x");
    expect(openWith(Buffer.alloc(32, 8), "p", vault.seal("p", Buffer.from("x")))).toBeUndefined();
  });
});

describe("the ring of data keys", () => {
  test("a new key reaches everyone who has the shared memory, the old one still opens until it is dropped", () => {
    const { keys, ring, vault } = vaultWith(1, 7);
    const elsewhere = new Vault({ ring: keys.ring });
    const old = vault.seal("p", Buffer.from("old"));
    ring.add(2, Buffer.alloc(32, 8));
    ring.use(2);
    const fresh = elsewhere.seal("p", Buffer.from("fresh"));
    expect(sealedUnder(fresh)).toBe(2);
    expect(elsewhere.open("p", old).ok).toBe(true);
    ring.drop(1);
    expect(elsewhere.open("p", old)).toEqual({ ok: false, reason: "unknownKey" });
    expect(vault.open("p", fresh).ok).toBe(true);
    expect(Buffer.from(keys.ring).includes(Buffer.alloc(32, 7))).toBe(false);
  });

  test("takes a key once, refuses one of the wrong length, and is full after four", () => {
    const { ring } = vaultWith(1, 7);
    ring.add(1, Buffer.alloc(32, 9));
    expect(ring.key(1)).toEqual(Buffer.alloc(32, 7));
    expect(() => ring.add(2, Buffer.alloc(31))).toThrow(RangeError);
    for (const id of [2, 3, 4]) ring.add(id, Buffer.alloc(32, id));
    expect(ring.ids()).toEqual([1, 2, 3, 4]);
    expect(() => ring.add(5, Buffer.alloc(32))).toThrow("more than 4");
    expect(() => ring.use(9)).toThrow("not in the ring");
  });

  test("without a key nothing is sealed", () => {
    expect(() => new Vault(newVaultKeys()).seal("p", Buffer.from("x"))).toThrow("no key");
  });
});
