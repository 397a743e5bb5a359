import type { AccountId, DeviceId, SubscriptionId } from "../base/ids.ts";
import type { AccountRecord, Presence, ProofPlace, Secret } from "../base/records.ts";
import type { Config } from "../config/config.ts";
import type { AccountFields, DeviceRecord, Store, SubscriptionDetail } from "../store/types.ts";
import type { Clock } from "../time/clock.ts";
import type { ProofAnswer, RegistrationStatus } from "../workers/protocol.ts";
import {
  fieldsOf,
  isContinuous,
  isElsewhere,
  isProofMoved,
  isSameFields,
  patchAccount,
  proofPlaceOf,
  readAccount,
  readNotify,
  type EgressRule,
} from "./account-input.ts";
import { done, invalid, notFound, refused, type Result } from "./problem.ts";
import { RateLimiter } from "./rate-limiter.ts";
import type { SubscribeBody, SubscriptionPatchBody } from "./schemas.ts";
import type { Shards } from "./shards.ts";
import type { Turns } from "./turns.ts";

/** Wrong passwords that one account may be tried with before the registrar is spared: then one a minute. */
const refusedProofs = { burst: 5, perSec: 1 / 60, keysMax: 100_000 };
/** Proofs of one device that run at a time, each for up to 8 s: it has no more accounts. */
const provingMax = 16;
/** Proofs that got no answer, of one device: its registrar is down, or was never there. */
const unansweredProofs = { burst: 16, perSec: 1 / 10, keysMax: 100_000 };
/** When a registrar could not be asked. */
const unavailableRetrySec = 15;

/** A subscription and what its account's shard says of it now. */
export interface Standing {
  readonly subscription: SubscriptionDetail;
  readonly status: RegistrationStatus | undefined;
}

function tooManyProofs(detail: string, retryAfterSec: number): ReturnType<typeof refused> {
  return refused(429, "tooManyProofs", { detail, retryAfterSec });
}

const passwordNeeded = invalid([
  { field: "account.password", detail: "is needed to change the server of an account that other devices share" },
]);

/** The one subscription of a device, undefined when it is unknown or another device's. */
function owned(store: Store, device: DeviceRecord, id: string): SubscriptionDetail | undefined {
  const found = store.subscription(id as SubscriptionId);
  return found?.deviceId === device.deviceId ? found : undefined;
}

/**
 * What devices do with accounts. Writes to one account take turns; its credentials change only after its registrar has taken
 * the new ones; a secret leaves the store only after the shard has what it needs to un-REGISTER.
 */
export class Subscriptions {
  readonly #store: Store;
  readonly #shards: Shards;
  readonly #turns: Turns;
  readonly #clock: Clock;
  readonly #limits: Config["limits"];
  readonly #egress: EgressRule;
  readonly #accountsChanged: (deviceId: DeviceId) => void;
  readonly #proofs: RateLimiter;
  readonly #unanswered: RateLimiter;
  readonly #proving = new Map<DeviceId, number>();

  constructor(options: {
    readonly store: Store;
    readonly shards: Shards;
    readonly turns: Turns;
    readonly clock: Clock;
    readonly limits: Config["limits"];
    readonly egress: EgressRule;
    /** The device's set of accounts is another now: its open tunnel serves that. */
    readonly accountsChanged: (deviceId: DeviceId) => void;
  }) {
    this.#store = options.store;
    this.#shards = options.shards;
    this.#turns = options.turns;
    this.#clock = options.clock;
    this.#limits = options.limits;
    this.#egress = options.egress;
    this.#accountsChanged = options.accountsChanged;
    this.#proofs = new RateLimiter({ clock: options.clock, ...refusedProofs });
    this.#unanswered = new RateLimiter({ clock: options.clock, ...unansweredProofs });
  }

  /** A new account, or a further device of one that is there: then the secret must prove itself first. */
  async create(device: DeviceRecord, body: SubscribeBody): Promise<Result<Standing>> {
    const read = readAccount(device.app, body.account, this.#egress);
    if (!read.ok) return read;
    const { fields, secret } = read.value;
    const turn = identityOf(fields);
    // An account may go, or come, between the look and the turn: then the other way is taken, once.
    for (let attempt = 0; attempt < 3; attempt++) {
      const known = this.#store.accountByIdentity(fields.app, fields.username, fields.domain);
      const proof = known === undefined ? undefined : await this.#proveEntry(device, known, fields, secret);
      if (proof?.ok === false) return proof;
      const created = await this.#turns.take(turn, async () => {
        const present = this.#store.accountByIdentity(fields.app, fields.username, fields.domain);
        if (present?.accountId !== known?.accountId) return undefined;
        if (present === undefined) return this.#createAccount(device, fields, secret, body);
        if (this.#isOwn(device, present.accountId)) return this.#renew(device, present, secret, body);
        const full = this.#deviceIsFull(device);
        if (full !== undefined) return full;
        if (proof?.value.isProven === false) await this.#takeOver(present, fields, secret);
        return this.#join(device, present.accountId, secret, body);
      });
      if (created !== undefined) return created;
    }
    return refused(503, "busy", { detail: "the account is changing, try again", retryAfterSec: 1 });
  }

  list(device: DeviceRecord): Promise<readonly Standing[]> {
    return Promise.all(this.#store.subscriptionsOfDevice(device.deviceId).map((found) => this.#standing(found)));
  }

  async get(device: DeviceRecord, id: string): Promise<Result<Standing>> {
    const found = owned(this.#store, device, id);
    return found === undefined ? { ok: false, refusal: notFound } : done(await this.#standing(found));
  }

  async patch(device: DeviceRecord, id: string, body: SubscriptionPatchBody): Promise<Result<Standing>> {
    const found = owned(this.#store, device, id);
    if (found === undefined) return { ok: false, refusal: notFound };
    if (body.account !== undefined) {
      const changed = await this.#change(device, found.accountId, body.account);
      if (!changed.ok) return changed;
    }
    if (body.notify !== undefined) {
      await this.#store.setNotify(found.subscriptionId, readNotify(body.notify, found.notify));
    }
    return this.get(device, id);
  }

  /** Resolves when the shard has done what the presence asks, or with `pending` after `waitMs`. */
  async setPresence(
    device: DeviceRecord,
    id: string,
    presence: Presence,
    waitMs: number,
  ): Promise<Result<Standing & { readonly pending: boolean }>> {
    const found = owned(this.#store, device, id);
    if (found === undefined) return { ok: false, refusal: notFound };
    const asked = await this.#turns.take(identityOf(found.account), async () => {
      if (owned(this.#store, device, id) === undefined) return undefined;
      await this.#store.setPresence(found.subscriptionId, presence);
      // Asked inside the turn, awaited outside it: a slow registrar must not hold the account's other devices up.
      return [
        this.#shards.presence(found.accountId, { wanted: this.#isWanted(found.accountId), presence, waitMs }),
      ] as const;
    });
    if (asked === undefined) return { ok: false, refusal: notFound };
    const { pending, status } = await asked[0];
    const subscription = owned(this.#store, device, id);
    return subscription === undefined ? { ok: false, refusal: notFound } : done({ subscription, status, pending });
  }

  /** True when the subscription was the device's and is gone. */
  async remove(device: DeviceRecord, id: string): Promise<boolean> {
    const found = owned(this.#store, device, id);
    if (found === undefined) return false;
    const removed = await this.#turns.take(identityOf(found.account), async () => {
      if (owned(this.#store, device, id) === undefined) return false;
      const isLast = this.#store.subscriptionsOfAccount(found.accountId).length === 1;
      this.#shards.subscriptionRemoved(found.accountId, device.deviceId);
      if (isLast) await this.#erase(found.accountId);
      else {
        await this.#store.removeSubscription(found.subscriptionId);
        this.#shards.changed(found.accountId, this.#isWanted(found.accountId));
      }
      return true;
    });
    if (removed) this.#accountsChanged(device.deviceId);
    return removed;
  }

  /** Everything of the device: each subscription as `remove` does, then the device. */
  async removeDevice(device: DeviceRecord): Promise<void> {
    for (const { subscriptionId } of this.#store.subscriptionsOfDevice(device.deviceId))
      await this.remove(device, subscriptionId);
    const left = await this.#store.removeDevice(device.deviceId);
    for (const accountId of left) await this.removeAccount(accountId);
  }

  /** The account with all its subscriptions; false when it is unknown. */
  async removeAccount(accountId: AccountId): Promise<boolean> {
    const account = this.#store.account(accountId);
    if (account === undefined) return false;
    const devices = await this.#turns.take(identityOf(account), async () => {
      const subscriptions = this.#store.subscriptionsOfAccount(accountId);
      for (const { deviceId } of subscriptions) this.#shards.subscriptionRemoved(accountId, deviceId);
      await this.#erase(accountId);
      return subscriptions.map(({ deviceId }) => deviceId);
    });
    for (const deviceId of devices) this.#accountsChanged(deviceId);
    return true;
  }

  /** The registrar taught what mode it wants. */
  async learnMode(accountId: AccountId, mode: Exclude<AccountRecord["registrationMode"], "auto">): Promise<void> {
    if (this.#store.account(accountId) !== undefined) await this.#store.setLearnedMode(accountId, mode);
  }

  /** The secret is in the shard's memory before it is erased here, so that the binding can still be taken back. */
  async #erase(accountId: AccountId): Promise<void> {
    await this.#shards.remove(accountId);
    await this.#store.removeAccount(accountId);
  }

  async #createAccount(
    device: DeviceRecord,
    fields: AccountFields,
    secret: Secret,
    body: SubscribeBody,
  ): Promise<Result<Standing>> {
    const full = this.#deviceIsFull(device);
    if (full !== undefined) return full;
    const accountId = Bun.randomUUIDv7() as AccountId;
    const subscription = this.#newSubscription(device, accountId, body);
    await this.#store.createAccount(accountId, fields, secret, subscription);
    return this.#created(device, subscription.subscriptionId, accountId);
  }

  /**
   * The credentials of a device that names an account which is there already. Who joins others is asked about where the others keep the
   * account, and never at a host that his own request does not name: who came first may have named one of his own to hear the
   * password of who comes next.
   */
  async #proveEntry(
    device: DeviceRecord,
    known: AccountRecord,
    fields: AccountFields,
    secret: Secret,
  ): Promise<Result<ProofAnswer>> {
    const { accountId } = known;
    if (this.#isOwn(device, accountId)) {
      return this.#prove(device, accountId, secret, this.#isShared(accountId) ? undefined : proofPlaceOf(fields));
    }
    if (!isElsewhere(fieldsOf(known), fields)) return this.#prove(device, accountId, secret);
    const proof = await this.#prove(device, accountId, secret, proofPlaceOf(fields));
    if (!proof.ok || !proof.value.isProven) return proof;
    return refused(409, "otherServer", { detail: "another device keeps this account at another server" });
  }

  /** Whoever came first has only claimed the account: who has proved that it is his does not share it with them. */
  async #takeOver(account: AccountRecord, fields: AccountFields, secret: Secret): Promise<void> {
    const { accountId } = account;
    for (const { subscriptionId, deviceId } of this.#store.subscriptionsOfAccount(accountId)) {
      this.#shards.subscriptionRemoved(accountId, deviceId);
      await this.#store.removeSubscription(subscriptionId);
      this.#accountsChanged(deviceId);
    }
    await this.#store.updateAccount(accountId, fields, secret);
  }

  /** The secret has proved itself. The device takes the account as it is. */
  async #join(
    device: DeviceRecord,
    accountId: AccountId,
    secret: Secret,
    body: SubscribeBody,
  ): Promise<Result<Standing>> {
    const account = this.#store.account(accountId);
    if (account === undefined) return { ok: false, refusal: notFound };
    const full = this.#accountIsFull(accountId);
    if (full !== undefined) return full;
    await this.#store.updateAccount(accountId, fieldsOf(account), secret);
    const subscription = this.#newSubscription(device, accountId, body);
    await this.#store.createSubscription(subscription);
    return this.#created(device, subscription.subscriptionId, accountId);
  }

  /** The secret has proved itself. A device that is there already changes its account. */
  async #renew(
    device: DeviceRecord,
    account: AccountRecord,
    secret: Secret,
    body: SubscribeBody,
  ): Promise<Result<Standing>> {
    const own = this.#subscriptionOf(device, account.accountId);
    if (own === undefined) return { ok: false, refusal: notFound };
    const change = patchAccount(account, body.account, this.#egress);
    if (!change.ok) return change;
    await this.#store.updateAccount(account.accountId, change.value.fields, secret);
    await this.#store.setNotify(own.subscriptionId, readNotify(body.notify, own.notify));
    await this.#store.setPresence(own.subscriptionId, body.presence ?? "background");
    return this.#created(device, own.subscriptionId, account.accountId);
  }

  async #created(device: DeviceRecord, id: SubscriptionId, accountId: AccountId): Promise<Result<Standing>> {
    this.#shards.changed(accountId, this.#isWanted(accountId));
    this.#accountsChanged(device.deviceId);
    return this.get(device, id);
  }

  async #change(
    device: DeviceRecord,
    accountId: AccountId,
    patch: NonNullable<SubscriptionPatchBody["account"]>,
  ): Promise<Result<undefined>> {
    const account = this.#store.account(accountId);
    if (account === undefined) return { ok: false, refusal: notFound };
    const read = patchAccount(account, patch, this.#egress);
    if (!read.ok) return read;
    const { fields, secret } = read.value;
    const before = fieldsOf(account);
    const isMoved = isProofMoved(before, fields);
    const isShared = this.#isShared(accountId);
    if (secret === undefined) {
      // Who shares an account could else lead the others' secret to a server of his own.
      if (isMoved && isShared) return passwordNeeded;
      if (isSameFields(before, fields)) return done(undefined);
    } else {
      // Alone, the account is asked about where it will be: there alone can a new secret be right. What others share is theirs too: only
      // where it is now can tell whether this device knows their secret.
      const place = isMoved && !isShared ? proofPlaceOf(fields) : undefined;
      const proof = await this.#prove(device, accountId, secret, place);
      if (!proof.ok) return proof;
    }
    return this.#turns.take(identityOf(account), async () => {
      if (!this.#isOwn(device, accountId)) return { ok: false, refusal: notFound };
      // Somebody has joined meanwhile.
      if (isMoved && !isShared && this.#isShared(accountId)) return passwordNeeded;
      await this.#store.updateAccount(accountId, fields, secret);
      this.#shards.changed(accountId, this.#isWanted(accountId));
      return done(undefined);
    });
  }

  async #prove(
    { deviceId }: DeviceRecord,
    accountId: AccountId,
    secret: Secret,
    place?: ProofPlace,
  ): Promise<Result<ProofAnswer>> {
    const waitSec = this.#proofs.waitSec(accountId);
    if (waitSec > 0) return tooManyProofs("too many wrong passwords for this account", waitSec);
    const unansweredSec = this.#unanswered.waitSec(deviceId);
    if (unansweredSec > 0) return tooManyProofs("too many checks that no registrar has answered", unansweredSec);
    const running = this.#proving.get(deviceId) ?? 0;
    if (running >= provingMax) return tooManyProofs("too many checks of this device at once", 1);
    this.#proving.set(deviceId, running + 1);
    const proof = await this.#shards.prove(accountId, secret, place);
    const left = (this.#proving.get(deviceId) ?? 1) - 1;
    if (left === 0) this.#proving.delete(deviceId);
    else this.#proving.set(deviceId, left);
    const { outcome, status, reason } = proof;
    switch (outcome) {
      case "accepted":
        return done(proof);
      case "refused":
        this.#proofs.take(accountId);
        return refused(403, "credentialsRefused", {
          detail: `the registrar refused the credentials: ${status} ${reason}`.trim(),
          faults: [{ field: "account.password", detail: "was refused by the registrar" }],
        });
      case "unavailable":
        this.#unanswered.take(deviceId);
        return refused(503, "registrarUnavailable", {
          detail: `the registrar could not be asked: ${reason}`,
          retryAfterSec: unavailableRetrySec,
        });
      default:
        return outcome satisfies never;
    }
  }

  #subscriptionOf(device: DeviceRecord, accountId: AccountId): SubscriptionDetail | undefined {
    return this.#store.subscriptionsOfDevice(device.deviceId).find((one) => one.accountId === accountId);
  }

  #isOwn(device: DeviceRecord, accountId: AccountId): boolean {
    return this.#subscriptionOf(device, accountId) !== undefined;
  }

  #isShared(accountId: AccountId): boolean {
    return this.#store.subscriptionsOfAccount(accountId).length > 1;
  }

  #newSubscription(device: DeviceRecord, accountId: AccountId, body: SubscribeBody) {
    return {
      subscriptionId: Bun.randomUUIDv7() as SubscriptionId,
      accountId,
      deviceId: device.deviceId,
      presence: body.presence ?? "background",
      notify: readNotify(body.notify),
      createdAtMs: this.#clock.wallMs(),
    } as const;
  }

  #deviceIsFull(device: DeviceRecord): ReturnType<typeof refused> | undefined {
    const { accountsPerDevice } = this.#limits;
    return this.#store.accountsOfDevice(device.deviceId).length < accountsPerDevice
      ? undefined
      : refused(409, "limitReached", { detail: `a device has at most ${accountsPerDevice} accounts` });
  }

  #accountIsFull(accountId: AccountId): ReturnType<typeof refused> | undefined {
    const { devicesPerAccount } = this.#limits;
    return this.#store.subscriptionsOfAccount(accountId).length < devicesPerAccount
      ? undefined
      : refused(409, "limitReached", { detail: `an account has at most ${devicesPerAccount} devices` });
  }

  /** To be registered: any of its phones sleeps, or the mode keeps it registered always. */
  #isWanted(accountId: AccountId): boolean {
    const subscriptions = this.#store.subscriptionsOfAccount(accountId);
    const account = this.#store.account(accountId);
    if (account === undefined || subscriptions.length === 0) return false;
    return isContinuous(account) || subscriptions.some(({ presence }) => presence === "background");
  }

  async #standing(subscription: SubscriptionDetail): Promise<Standing> {
    return { subscription, status: await this.#shards.status(subscription.accountId) };
  }
}

/** The turn of an account, also of one that is about to be made. */
function identityOf({ app, username, domain }: Pick<AccountRecord, "app" | "username" | "domain">): string {
  return JSON.stringify([app, username, domain.toLowerCase()]);
}
