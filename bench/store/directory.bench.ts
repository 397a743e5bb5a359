import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { randomBytes } from "node:crypto";
import type { AccountId } from "../../src/base/ids.ts";
import { placementHash } from "../../src/base/placement.ts";
import { uuidText } from "../../src/base/uuid.ts";
import { openWriter } from "../../src/store/database.ts";
import { openDirectory } from "../../src/store/directory.ts";
import { secretBytes, secretPlace } from "../../src/store/secret.ts";
import { KeyRing, keyBytes, newVaultKeys, Vault } from "../../src/store/vault.ts";

/**
 * Claim: a shard that starts reads 500,000 accounts, with whether each is to be registered, in about half a second.
 * Baseline, 2 busy cores x64, Bun 1.4.5: one shard 620-860 ms, each of two 240-330 ms (they read at once); one account 8 us.
 */
const vaultKeys = newVaultKeys();
const ring = new KeyRing(vaultKeys);
ring.add(1, randomBytes(keyBytes));
ring.use(1);
const vault = new Vault(vaultKeys);
const rows = Number(process.argv[2] ?? 500_000);
const dataDir = mkdtempSync(join(tmpdir(), "wakeline-bench-"));

function fill(): void {
  const database = openWriter(dataDir);
  database.run("pragma synchronous = off");
  const device = database.query(
    "insert into devices values (?, 'com.example.phone', ?, 'fcm', ?, null, null, 0, 0, 1, 1, ?)",
  );
  const account = database.query(
    `insert into accounts values (?, ?, 'com.example.phone', ?, 'sip.example.com', null, ?, null, null, 'auto', 600,
     'auto', null, 0, null, null, null, 1, ?)`,
  );
  const subscription = database.query("insert into subscriptions values (?, ?, ?, ?, 1, 1, 1, 0, 1)");
  for (let from = 0; from < rows; from += 10_000) {
    database.transaction(() => {
      for (let n = from; n < Math.min(rows, from + 10_000); n++) {
        const [deviceId, accountId] = [Bun.randomUUIDv7("buffer"), Bun.randomUUIDv7("buffer")];
        device.run(deviceId, `phone ${n}`, "t".repeat(150), n);
        const text = uuidText(accountId) as AccountId;
        const secret = vault.seal(secretPlace(text), secretBytes({ kind: "password", password: `password ${n}` }));
        account.run(accountId, placementHash(text), `u${n}`, `User ${n}`, secret);
        subscription.run(Bun.randomUUIDv7("buffer"), accountId, deviceId, n % 10 === 0 ? 0 : 1);
      }
    })();
    database.run("pragma wal_checkpoint(truncate)");
  }
  database.close();
}

function read(shards: number, shard: number): { readonly ids: AccountId[]; readonly ms: number } {
  const directory = openDirectory({ dataDir, vaultKeys, shards, shard });
  const ids: AccountId[] = [];
  const startMs = performance.now();
  for (const page of directory.accounts()) for (const { record } of page) ids.push(record.accountId);
  const ms = performance.now() - startMs;
  directory.close();
  return { ids, ms };
}

fill();
const keeper = openWriter(dataDir); // as in the server: the log and its index exist
for (const [shards, shard] of [
  [1, 0],
  [1, 0],
  [2, 0],
  [2, 1],
] as const) {
  const { ids, ms } = read(shards, shard);
  console.log(`shard ${shard} of ${shards}: ${ids.length} accounts in ${ms.toFixed(0)} ms`);
}
const { ids } = read(2, 0);
const directory = openDirectory({ dataDir, vaultKeys, shards: 2, shard: 0 });
const lookups = 64_000;
const asked = Array.from({ length: lookups }, (_, n) => ids[(n * 7_919) % ids.length]!);

function report(name: string, run: () => void): void {
  const startMs = performance.now();
  run();
  console.log(`${name}: ${(((performance.now() - startMs) * 1_000) / lookups).toFixed(2)} us`);
}

/** Accounts in an order that is none, so many at a time. */
function inBatches(size: number, visit: (some: readonly AccountId[]) => void): void {
  for (let at = 0; at < lookups; at += size) visit(asked.slice(at, at + size));
}

report("account()", () => {
  for (const id of asked) directory.account(id);
});
report("proof(), one by one", () => {
  for (const id of asked) directory.proof(id);
});
report("proof(), 32 read ahead", () =>
  inBatches(32, (some) => {
    directory.prepareProofs(some);
    for (const id of some) directory.proof(id);
  }),
);
report("subscriptions()", () => {
  for (const id of asked) directory.subscriptions(id);
});
report("wantVoicemail() of 32, each", () => inBatches(32, (some) => directory.wantVoicemail(some)));
directory.close();
keeper.close();
rmSync(dataDir, { recursive: true });
