import type { AccountId, CallUuid, DeviceId, TunnelId } from "../../src/base/ids.ts";
import type { Presence, ProofPlace, Secret } from "../../src/base/records.ts";
import type { Shards } from "../../src/edge/shards.ts";
import type {
  CallSummary,
  LadderEntry,
  ProofAnswer,
  RegistrarStatus,
  RegistrationStatus,
  ShardLoad,
  TroubleCursor,
} from "../../src/workers/protocol.ts";

/** Shards that only remember what they were told, as lines, and answer what a test has put in. */
export class FakeShards implements Shards {
  readonly told: string[] = [];
  readonly frames: { readonly tunnelId: TunnelId; readonly text: string }[] = [];
  readonly statuses = new Map<AccountId, RegistrationStatus>();
  /** `isProven` unless said. */
  proof: Omit<ProofAnswer, "isProven"> & Partial<ProofAnswer> = { outcome: "accepted", status: 200, reason: "OK" };
  /** What the last proof was asked with. */
  proved: Secret | undefined;
  /** Where it was asked; undefined: where the account is. */
  provedAt: ProofPlace | undefined;
  onPresence: (change: {
    readonly wanted: boolean;
    readonly presence: Presence;
    readonly waitMs: number;
  }) => Promise<{ pending: boolean; status: RegistrationStatus }> = ({ wanted }) =>
    Promise.resolve({ pending: false, status: { mode: "alternate", state: wanted ? "registered" : "idle" } });
  onProve: () => Promise<void> = () => Promise.resolve();
  onRemove: () => Promise<void> = () => Promise.resolve();
  callList: CallSummary[] = [];
  ladder: LadderEntry[] = [];
  registrarList: RegistrarStatus[] = [];
  troubleList: AccountId[] = [];
  reasons: string[] = [];
  loads: ShardLoad[] = [{ shard: 0, ready: true, restarts: 0 }];

  async presence(
    accountId: AccountId,
    change: { readonly wanted: boolean; readonly presence: Presence; readonly waitMs: number },
  ): Promise<{ readonly pending: boolean; readonly status: RegistrationStatus }> {
    this.told.push(`presence ${accountId} ${change.presence} wanted=${change.wanted} wait=${change.waitMs}`);
    return this.onPresence(change);
  }

  changed(accountId: AccountId, wanted: boolean): void {
    this.told.push(`changed ${accountId} wanted=${wanted}`);
  }

  async remove(accountId: AccountId): Promise<void> {
    this.told.push(`remove ${accountId}`);
    await this.onRemove();
  }

  async prove(accountId: AccountId, secret: Secret, place?: ProofPlace): Promise<ProofAnswer> {
    this.told.push(`prove ${accountId}`);
    this.proved = secret;
    this.provedAt = place;
    await this.onProve();
    return { isProven: true, ...this.proof };
  }

  async status(accountId: AccountId): Promise<RegistrationStatus | undefined> {
    return this.statuses.get(accountId);
  }

  retryNow(accountId: AccountId): void {
    this.told.push(`retryNow ${accountId}`);
  }

  subscriptionRemoved(accountId: AccountId, deviceId: DeviceId): void {
    this.told.push(`subscriptionRemoved ${accountId} ${deviceId}`);
  }

  async registrars(): Promise<readonly RegistrarStatus[]> {
    return this.registrarList;
  }

  async troubles({ row }: TroubleCursor, most: number) {
    const accounts = this.troubleList.slice(row, row + most);
    const isLast = row + most >= this.troubleList.length;
    return { accounts, next: isLast ? undefined : { shard: 0, row: row + most } };
  }

  async calls(): Promise<readonly CallSummary[]> {
    return this.callList;
  }

  async call(call: CallUuid) {
    const summary = this.callList.find((one) => one.call === call);
    return summary === undefined ? undefined : { summary, ladder: this.ladder };
  }

  trace(accountId: AccountId, untilMs: number): void {
    this.told.push(`trace ${accountId} ${untilMs}`);
  }

  tunnelOpened(
    tunnelId: TunnelId,
    deviceId: DeviceId,
    accounts: readonly AccountId[],
    ticketCall: CallUuid | undefined,
    voip: boolean,
  ): void {
    this.told.push(
      `tunnelOpened ${tunnelId} ${deviceId} [${accounts.join(",")}] call=${ticketCall ?? "none"} voip=${voip}`,
    );
    this.#notice();
  }

  tunnelAccounts(tunnelId: TunnelId, accounts: readonly AccountId[]): void {
    this.told.push(`tunnelAccounts ${tunnelId} [${accounts.join(",")}]`);
  }

  tunnelClosed(tunnelId: TunnelId): void {
    this.told.push(`tunnelClosed ${tunnelId}`);
    this.#notice();
  }

  frame(tunnelId: TunnelId, text: string): void {
    this.frames.push({ tunnelId, text });
    this.#notice();
  }

  /** What each accepted delivery said that its device may take. */
  readonly silences: (number | undefined)[] = [];

  delivery(
    call: CallUuid,
    deviceId: DeviceId,
    outcome: "accepted" | "failed",
    accountId: AccountId,
    silenceMs?: number,
  ): void {
    if (outcome === "accepted") this.silences.push(silenceMs);
    this.told.push(`delivery ${call} ${deviceId} ${outcome} ${accountId}`);
    this.#notice();
  }

  ready() {
    return { ok: this.reasons.length === 0, reasons: this.reasons };
  }

  load(): readonly ShardLoad[] {
    return this.loads;
  }

  /** Resolves once `holds` does; looked at whenever something of a tunnel or call was told. */
  async until(holds: () => boolean): Promise<void> {
    while (!holds()) await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }

  readonly #waiting: (() => void)[] = [];

  #notice(): void {
    for (const resolve of this.#waiting.splice(0)) resolve();
  }
}
