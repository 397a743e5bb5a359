import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { randomBytes } from "node:crypto";
import type { AccountId } from "../../src/base/ids.ts";
import { placementHash } from "../../src/base/placement.ts";
import { uuidText } from "../../src/base/uuid.ts";
import { openWriter } from "../../src/store/database.ts";
import { openDirectory } from "../../src/store/directory.ts";
import { newVaultKeys } from "../../src/store/vault.ts";

/**
 * Claim: a shard that starts reads 500,000 accounts, with whether each is to be registered, in about half a second.
 * Baseline, 2 busy cores x64, Bun 1.4.5: one shard 620-860 ms, each of two 240-330 ms (they read at once); one account 8 us.
 */
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
        account.run(accountId, placementHash(uuidText(accountId) as AccountId), `u${n}`, `User ${n}`, randomBytes(90));
        subscription.run(Bun.randomUUIDv7("buffer"), accountId, deviceId, n % 10 === 0 ? 0 : 1);
      }
    })();
    database.run("pragma wal_checkpoint(truncate)");
  }
  database.close();
}

function read(shards: number, shard: number): { readonly ids: AccountId[]; readonly ms: number } {
  const directory = openDirectory({ dataDir, vaultKeys: newVaultKeys(), shards, shard });
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
const directory = openDirectory({ dataDir, vaultKeys: newVaultKeys(), shards: 2, shard: 0 });
const startMs = performance.now();
const lookups = 100_000;
for (let n = 0; n < lookups; n++) directory.account(ids[(n * 7_919) % ids.length]!);
console.log(`account(): ${(((performance.now() - startMs) * 1_000) / lookups).toFixed(2)} us`);
directory.close();
keeper.close();
rmSync(dataDir, { recursive: true });
