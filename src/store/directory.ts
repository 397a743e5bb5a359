import type { AccountId } from "../base/ids.ts";
import type { AccountRecord, Directory, Proof, Secret, SubscriptionRecord } from "../base/records.ts";
import { uuidBytes, uuidText } from "../base/uuid.ts";
import { openReader } from "./database.ts";
import {
  accountColumns,
  accountOf,
  subscriptionColumns,
  subscriptionOf,
  type AccountRow,
  type SubscriptionRow,
  wakeable,
} from "./rows.ts";
import { openSealed, secretOf, secretPlace } from "./secret.ts";
import { Vault, type VaultKeys } from "./vault.ts";

/** Accounts read at a time, a millisecond: no read transaction stays open while the shard works on them, so no checkpoint waits for it. */
const accountsPage = 500;
/** Accounts asked for by one statement: each costs half of what a statement of its own does. */
const batch = 32;
const anyOfBatch = `in (${Array.from({ length: batch }, () => "?").join(", ")})`;
/** Sealed secrets that are read ahead; half of them, the oldest, go when there are more. */
const preparedMax = 4_096;

/** To be registered: any subscription in the background, or mode continuous (also when `auto` has learned that) with any at all. */
const wanted =
  "case when exists (select 1 from subscriptions s where s.account_id = a.account_id and s.background = 1) then 1 " +
  "when a.registration_mode = 'continuous' or (a.registration_mode = 'auto' and a.learned_mode = 'continuous') " +
  "then exists (select 1 from subscriptions s where s.account_id = a.account_id) else 0 end as wanted";

interface ProofRow {
  readonly username: string;
  readonly secret: Uint8Array;
}

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
  const proof = database.query<ProofRow, [Uint8Array]>(
    "select coalesce(auth_username, username) as username, secret from accounts where account_id = ?",
  );
  const proofs = database.query<{ [name: string]: unknown }, (Uint8Array | null)[]>(
    `select account_id, coalesce(auth_username, username), secret from accounts where account_id ${anyOfBatch}`,
  );
  const voicemail = database.query<{ [name: string]: unknown }, (Uint8Array | null)[]>(
    `select distinct s.account_id from subscriptions s join devices d using (device_id)
     where s.account_id ${anyOfBatch} and s.notify_voicemail = 1 and (${wakeable})`,
  );
  const subscriptions = database.query<SubscriptionRow, [Uint8Array]>(
    `select ${subscriptionColumns} from subscriptions s join devices d using (device_id) where s.account_id = ?`,
  );
  const page = database.query<AccountRow & { rowid: number; wanted: number }, [number, number, number, number]>(
    `select a.rowid as rowid, ${accountColumns}, ${wanted} from accounts a
     where a.rowid > ? and a.placement % ? = ? order by a.rowid limit ?`,
  );

  const count = database.query<{ count: number }, [number, number]>(
    "select count(*) as count from accounts where placement % ? = ?",
  );
  /** Two generations: the older one goes as a whole. */
  let prepared = new Map<AccountId, ProofRow>();
  let preparedBefore = new Map<AccountId, ProofRow>();

  function forgetPrepared(accountId: AccountId): void {
    prepared.delete(accountId);
    preparedBefore.delete(accountId);
  }

  /** One read for both: every account is challenged at a cold start. */
  function proofOf(accountId: AccountId): Proof | undefined {
    const key = uuidBytes(accountId);
    if (key === undefined) return undefined;
    let ready = prepared.get(accountId) ?? preparedBefore.get(accountId);
    forgetPrepared(accountId);
    let username = "";
    const plain = openSealed(vault, secretPlace(accountId), () => {
      const row = ready ?? proof.get(key);
      // Asked once more: what was read ahead is sealed under a key that is gone.
      ready = undefined;
      if (row !== null) username = row.username;
      return row?.secret;
    });
    return plain === undefined ? undefined : { username, secret: secretOf(plain) };
  }

  /** The answers to `query` for each batch of the accounts; columns as the statement names them. */
  function* inBatches(
    query: { values(...keys: (Uint8Array | null)[]): unknown[][] },
    accountIds: readonly AccountId[],
  ): Iterable<readonly unknown[]> {
    for (let at = 0; at < accountIds.length; at += batch) {
      const keys = Array.from({ length: batch }, (_, n) => uuidBytes(accountIds[at + n] ?? "") ?? null);
      yield* query.values(...keys);
    }
  }

  return {
    account(accountId: AccountId): AccountRecord | undefined {
      forgetPrepared(accountId);
      const key = uuidBytes(accountId);
      const row = key === undefined ? null : account.get(key);
      return row === null ? undefined : accountOf(row);
    },

    secret(accountId: AccountId): Secret | undefined {
      return proofOf(accountId)?.secret;
    },

    proof: proofOf,

    prepareProofs(accountIds: readonly AccountId[]): void {
      if (prepared.size + accountIds.length > preparedMax / 2) {
        preparedBefore = prepared;
        prepared = new Map();
      }
      for (const [id, username, secret] of inBatches(proofs, accountIds) as Iterable<
        [Uint8Array, string, Uint8Array]
      >) {
        prepared.set(uuidText(id) as AccountId, { username, secret });
      }
    },

    subscriptions(accountId: AccountId): readonly SubscriptionRecord[] {
      const key = uuidBytes(accountId);
      return key === undefined ? [] : subscriptions.all(key).map(subscriptionOf);
    },

    wantVoicemail(accountIds: readonly AccountId[]): readonly AccountId[] {
      const found = inBatches(voicemail, accountIds) as Iterable<[Uint8Array]>;
      return Array.from(found, ([id]) => uuidText(id) as AccountId);
    },

    *accounts() {
      for (let after = 0; ;) {
        const rows = page.all(after, options.shards, options.shard, accountsPage);
        if (rows.length > 0) yield rows.map((row) => ({ record: accountOf(row), wanted: row.wanted === 1 }));
        const last = rows.at(-1);
        if (last === undefined || rows.length < accountsPage) return;
        after = last.rowid;
      }
    },

    size(): number {
      return count.get(options.shards, options.shard)?.count ?? 0;
    },

    close(): void {
      database.close();
    },
  };
}
