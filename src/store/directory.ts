import type { AccountId } from "../base/ids.ts";
import type { AccountRecord, Directory, Proof, Secret, SubscriptionRecord } from "../base/records.ts";
import { uuidBytes } from "../base/uuid.ts";
import { openReader } from "./database.ts";
import {
  accountColumns,
  accountOf,
  subscriptionColumns,
  subscriptionOf,
  type AccountRow,
  type SubscriptionRow,
} from "./rows.ts";
import { openSealed, secretOf, secretPlace } from "./secret.ts";
import { Vault, type VaultKeys } from "./vault.ts";

/** Accounts read at a time: no read transaction stays open while the shard works on them, so no checkpoint waits for it. */
const accountsPage = 2_000;

/** To be registered: any subscription in the background, or mode continuous (also when `auto` has learned that) with any at all. */
const wanted =
  "case when exists (select 1 from subscriptions s where s.account_id = a.account_id and s.background = 1) then 1 " +
  "when a.registration_mode = 'continuous' or (a.registration_mode = 'auto' and a.learned_mode = 'continuous') " +
  "then exists (select 1 from subscriptions s where s.account_id = a.account_id) else 0 end as wanted";

/**
 * What a shard worker reads of the store, on its own read-only handle. Bench: 500,000 accounts in 0.5 s
 * (bench/store/directory.bench.ts). `secret` and `proof` throw when a stored secret is damaged.
 */
export function openDirectory(options: {
  readonly dataDir: string;
  readonly vaultKeys: VaultKeys;
  readonly shards: number;
  readonly shard: number;
}): Directory & { close(): void } {
  const database = openReader(options.dataDir);
  const vault = new Vault(options.vaultKeys);
  const account = database.query<AccountRow, [Uint8Array]>(
    `select ${accountColumns} from accounts a where account_id = ?`,
  );
  const proof = database.query<{ username: string; secret: Uint8Array }, [Uint8Array]>(
    "select coalesce(auth_username, username) as username, secret from accounts where account_id = ?",
  );
  const subscriptions = database.query<SubscriptionRow, [Uint8Array]>(
    `select ${subscriptionColumns} from subscriptions s join devices d using (device_id) where s.account_id = ?`,
  );
  const page = database.query<AccountRow & { rowid: number; wanted: number }, [number, number, number, number]>(
    `select a.rowid as rowid, ${accountColumns}, ${wanted} from accounts a
     where a.rowid > ? and a.placement % ? = ? order by a.rowid limit ?`,
  );

  /** One read for both: every account is challenged at a cold start. */
  function proofOf(accountId: AccountId): Proof | undefined {
    const key = uuidBytes(accountId);
    if (key === undefined) return undefined;
    let username = "";
    const plain = openSealed(vault, secretPlace(accountId), () => {
      const row = proof.get(key);
      if (row !== null) username = row.username;
      return row?.secret;
    });
    return plain === undefined ? undefined : { username, secret: secretOf(plain) };
  }

  return {
    account(accountId: AccountId): AccountRecord | undefined {
      const key = uuidBytes(accountId);
      const row = key === undefined ? null : account.get(key);
      return row === null ? undefined : accountOf(row);
    },

    secret(accountId: AccountId): Secret | undefined {
      return proofOf(accountId)?.secret;
    },

    proof: proofOf,

    subscriptions(accountId: AccountId): readonly SubscriptionRecord[] {
      const key = uuidBytes(accountId);
      return key === undefined ? [] : subscriptions.all(key).map(subscriptionOf);
    },

    *accounts() {
      for (let after = 0; ;) {
        const rows = page.all(after, options.shards, options.shard, accountsPage);
        for (const row of rows) yield { record: accountOf(row), wanted: row.wanted === 1 };
        const last = rows.at(-1);
        if (last === undefined || rows.length < accountsPage) return;
        after = last.rowid;
      }
    },

    close(): void {
      database.close();
    },
  };
}
