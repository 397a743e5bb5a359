import type { Static } from "@sinclair/typebox";
import type { DeviceId } from "../base/ids.ts";
import type { Config } from "../config/config.ts";
import { buildPayload } from "../push/payload.ts";
import type { Delivery, PushGateway } from "../push/types.ts";
import type { DeviceRecord, Store } from "../store/types.ts";
import type { Clock } from "../time/clock.ts";
import type { EgressRule } from "./account-input.ts";
import type { AppKeys } from "./app-keys.ts";
import type { DeviceTokens } from "./device-tokens.ts";
import { done, invalid, refused, type Result } from "./problem.ts";
import { readPush } from "./push-input.ts";
import type { Receipts } from "./receipts.ts";
import type { DevicePatchBody, EnrolBody } from "./schemas.ts";
import type { Subscriptions } from "./subscriptions.ts";
import { quotable } from "./text-rules.ts";

const dayMs = 86_400_000;
/** A test push that takes longer has told what it can. */
const testPushMs = 10_000;

/** WebSocket close code for a device that was removed. */
const deviceGoneCode = 4003;

/** Enrolment of app installations and what they do with themselves. */
export class Devices {
  readonly #store: Store;
  readonly #appKeys: AppKeys;
  readonly #tokens: DeviceTokens;
  readonly #subscriptions: Subscriptions;
  readonly #gateway: PushGateway;
  readonly #receipts: Receipts;
  readonly #clock: Clock;
  readonly #egress: EgressRule;
  readonly #limits: Config["limits"];
  readonly #closeTunnel: (deviceId: DeviceId, code: number, reason: string) => void;

  constructor(options: {
    readonly store: Store;
    readonly appKeys: AppKeys;
    readonly tokens: DeviceTokens;
    readonly subscriptions: Subscriptions;
    readonly gateway: PushGateway;
    readonly receipts: Receipts;
    readonly clock: Clock;
    readonly egress: EgressRule;
    readonly limits: Config["limits"];
    readonly closeTunnel: (deviceId: DeviceId, code: number, reason: string) => void;
  }) {
    this.#store = options.store;
    this.#appKeys = options.appKeys;
    this.#tokens = options.tokens;
    this.#subscriptions = options.subscriptions;
    this.#gateway = options.gateway;
    this.#receipts = options.receipts;
    this.#clock = options.clock;
    this.#egress = options.egress;
    this.#limits = options.limits;
    this.#closeTunnel = options.closeTunnel;
  }

  /** The bearer is the app's key or a token of its issuer. */
  async enrol(
    bearer: string,
    body: Static<typeof EnrolBody>,
  ): Promise<Result<{ readonly deviceId: DeviceId; readonly token: string }>> {
    const verdict = await this.#appKeys.check(body.app, bearer);
    if (verdict === "refused") return refused(401, "unauthorized", { detail: "the app or its key is not known here" });
    if (verdict === "unavailable") {
      return refused(503, "issuerUnavailable", {
        detail: "the keys of the app's issuer could not be fetched",
        retryAfterSec: 10,
      });
    }
    const push = readPush(this.#appKeys.app(body.app), body.push, this.#egress);
    const nameFault = body.name === undefined ? undefined : quotable(body.name);
    if (nameFault !== undefined) return invalid([{ field: "name", detail: nameFault }]);
    if (!push.ok) return push;
    const nowMs = this.#clock.wallMs();
    const deviceId = Bun.randomUUIDv7() as DeviceId;
    await this.#store.putDevice({
      deviceId,
      app: body.app,
      name: body.name,
      push: push.value,
      tokenState: "alive",
      alertTokenState: "alive",
      tokenSetAtMs: nowMs,
      createdAtMs: nowMs,
      lastSeenAtMs: nowMs,
    });
    return done({ deviceId, token: await this.#tokens.issue({ deviceId, app: body.app }) });
  }

  /** A push target given again is alive again, whatever a provider said of it before. */
  async patch(device: DeviceRecord, body: Static<typeof DevicePatchBody>): Promise<Result<undefined>> {
    const { name, push: input } = body;
    const nameFault = name === undefined ? undefined : quotable(name);
    if (nameFault !== undefined) return invalid([{ field: "name", detail: nameFault }]);
    const push = input === undefined ? undefined : readPush(this.#appKeys.app(device.app), input, this.#egress);
    if (push?.ok === false) return push;
    await this.#store.patchDevice(device.deviceId, {
      ...(name === undefined ? {} : { name }),
      ...(push === undefined ? {} : { push: push.value, tokenState: "alive", alertTokenState: "alive" }),
      lastSeenAtMs: this.#clock.wallMs(),
    });
    return done(undefined);
  }

  async remove(device: DeviceRecord): Promise<void> {
    await this.#subscriptions.removeDevice(device);
    this.#closeTunnel(device.deviceId, deviceGoneCode, "device removed");
  }

  /** A harmless push; resolves with what its provider said. */
  async testPush(device: DeviceRecord): Promise<{ readonly id: string; readonly delivery: Delivery }> {
    const nowMs = this.#clock.wallMs();
    const id = Bun.randomUUIDv7();
    this.#receipts.sending(id, device, nowMs);
    const delivery = await this.#gateway.push({
      deviceId: device.deviceId,
      payload: buildPayload({ id, kind: "test", text: "Wakeline can reach this phone." }, nowMs),
      deadlineMs: nowMs + testPushMs,
    });
    if (delivery.kind === "accepted") this.#receipts.accepted(id);
    return { id, delivery };
  }

  /** Unix ms when the device is dropped unless it is seen before. */
  leaseUntilMs(device: DeviceRecord): number {
    return device.lastSeenAtMs + this.#limits.leaseDays * dayMs;
  }
}
