import { createHash } from "node:crypto";
import type { AccountId, DeviceId, SubscriptionId } from "../../src/base/ids.ts";
import type {
  AccountEntry,
  AccountRecord,
  Directory,
  Presence,
  Proof,
  Secret,
  SubscriptionRecord,
} from "../../src/base/records.ts";
import type { AccountTransport } from "../../src/base/records.ts";
import { accountRecord } from "../fakes/account-record.ts";

export const domain = "virtual.test";
/** In every password: what carries it has leaked. */
export const secretMarker = "Geheim-7uQ-";

export interface SimAccount {
  readonly record: AccountRecord;
  readonly password: string;
  readonly subscriptions: SubscriptionRecord[];
}

function uuid(kind: number, n: number): string {
  return `0193b00${kind}-0000-7000-8000-${n.toString(16).padStart(12, "0")}`;
}

export function deviceIdOf(n: number): DeviceId {
  return uuid(2, n) as DeviceId;
}

/** What the store would say, in memory. */
export class SimDirectory implements Directory {
  readonly byId = new Map<AccountId, SimAccount>();
  /** By user, as the provider knows them: of accounts, too, that Wakeline has erased. */
  readonly passwords = new Map<string, string>();
  #subscriptions = 0;

  add(n: number, transport: AccountTransport, change: Partial<AccountRecord> = {}): SimAccount {
    const username = `u${n}`;
    const account: SimAccount = {
      password: `${secretMarker}${username}`,
      subscriptions: [],
      record: accountRecord({ accountId: uuid(1, n) as AccountId, username, domain, transport, ...change }),
    };
    this.byId.set(account.record.accountId, account);
    this.passwords.set(username, account.password);
    return account;
  }

  subscribe(account: SimAccount, deviceId: DeviceId): void {
    account.subscriptions.push({
      subscriptionId: uuid(3, ++this.#subscriptions) as SubscriptionId,
      accountId: account.record.accountId,
      deviceId,
      presence: "background",
      notify: { message: true, voicemail: true, missed: true, preview: false },
      wakeable: true,
    });
  }

  unsubscribe(account: SimAccount, deviceId: DeviceId): void {
    const at = account.subscriptions.findIndex((one) => one.deviceId === deviceId);
    if (at >= 0) account.subscriptions.splice(at, 1);
  }

  setPresence(account: SimAccount, deviceId: DeviceId, presence: Presence): void {
    const at = account.subscriptions.findIndex((one) => one.deviceId === deviceId);
    const one = account.subscriptions[at];
    if (one !== undefined) account.subscriptions[at] = { ...one, presence };
  }

  isWanted(account: SimAccount): boolean {
    return account.subscriptions.some(({ presence }) => presence === "background");
  }

  accountsOf(deviceId: DeviceId): AccountId[] {
    return [...this.byId.values()]
      .filter(({ subscriptions }) => subscriptions.some((one) => one.deviceId === deviceId))
      .map(({ record }) => record.accountId);
  }

  account(accountId: AccountId): AccountRecord | undefined {
    return this.byId.get(accountId)?.record;
  }
  secret(accountId: AccountId): Secret | undefined {
    const account = this.byId.get(accountId);
    return account === undefined ? undefined : { kind: "password", password: account.password };
  }
  proof(accountId: AccountId): Proof | undefined {
    const record = this.account(accountId);
    const secret = this.secret(accountId);
    return record === undefined || secret === undefined
      ? undefined
      : { username: record.authUsername ?? record.username, secret };
  }
  prepareProofs(): void {}
  wantVoicemail(accountIds: readonly AccountId[]): readonly AccountId[] {
    return accountIds.filter((accountId) =>
      this.subscriptions(accountId).some(({ notify, wakeable }) => notify.voicemail && wakeable),
    );
  }
  subscriptions(accountId: AccountId): readonly SubscriptionRecord[] {
    return this.byId.get(accountId)?.subscriptions ?? [];
  }
  *accounts(): Iterable<readonly AccountEntry[]> {
    yield Array.from(this.byId.values(), (account) => ({ record: account.record, wanted: this.isWanted(account) }));
  }
  size(): number {
    return this.byId.size;
  }
}

/** What must not lie in a mapped file: the password, and its HA1 in both spellings. */
export function secretsOf(account: SimAccount, realm: string): Buffer[] {
  const { username } = account.record;
  const ha1 = createHash("md5").update(`${username}:${realm}:${account.password}`).digest();
  return [Buffer.from(account.password), ha1, Buffer.from(ha1.toString("hex"))];
}
