import { callApi, globalFetch, patientMs, timeoutMsDefault, type CallOptions, type Fetch } from "./fetch.ts";
import { WakelineProblem } from "./problem.ts";
import { judgeCall, type CallDecision } from "./push.ts";
import type {
  Account,
  AccountChange,
  CallRecord,
  CallStatus,
  Device,
  Notify,
  Presence,
  PushAddress,
  PushPayload,
  Registration,
  Subscription,
  TestPush,
} from "./types.ts";

/** What an app keeps in its keychain between starts. */
export interface Enrolment {
  readonly server: string;
  readonly deviceId: string;
  readonly token: string;
}

/** Where the platform has no `fetch`, or another is wanted. */
export interface DeviceOptions {
  readonly fetch?: Fetch;
}

/** A phone that is about to ring cannot wait longer for an answer about the call. */
const decideMsMax = 3_000;

/**
 * One enrolled installation. Every method rejects with `WakelineProblem` when the server refuses, cannot be reached or is too slow, and takes
 * an `AbortSignal` and a time limit (20 s; 60 s to enrol and to subscribe). A server that is busy and says for how long is asked again within it. Works where `fetch` does: browsers, service workers, React Native, Capacitor, Node, Bun.
 */
export class WakelineDevice {
  readonly enrolment: Enrolment;
  readonly #fetch: Fetch;

  constructor(enrolment: Enrolment, options: DeviceOptions = {}) {
    this.enrolment = enrolment;
    this.#fetch = options.fetch ?? globalFetch;
  }

  /** Enrols this installation with the app's key, or a token of the app's own issuer. Keep `enrolment` of the result. */
  static async enrol(
    enrolment: {
      readonly server: string;
      readonly app: string;
      readonly appKey: string;
      readonly push: PushAddress;
      readonly name?: string;
    },
    options: DeviceOptions & CallOptions = {},
  ): Promise<WakelineDevice> {
    const server = enrolment.server.replace(/\/+$/, "");
    const { app, push, name } = enrolment;
    const made = await callApi<{ readonly deviceId: string; readonly token: string }>(
      options.fetch ?? globalFetch,
      {
        method: "POST",
        url: `${server}/v1/devices`,
        bearer: enrolment.appKey,
        body: { app, push, ...(name === undefined ? {} : { name }) },
      },
      { timeoutMs: patientMs, ...options },
    );
    return new WakelineDevice({ server, deviceId: made.deviceId, token: made.token }, options);
  }

  /** This installation as the server sees it: whether its push token lives, how fast it wakes, until when it is kept. */
  describe(options?: CallOptions): Promise<Device> {
    return this.#call("GET", "/v1/devices/me", undefined, options);
  }

  /** Call it at every start with the push token of now: tokens change. */
  setPush(push: PushAddress, options?: CallOptions): Promise<Device> {
    return this.#call("PATCH", "/v1/devices/me", { push }, options);
  }

  setName(name: string, options?: CallOptions): Promise<Device> {
    return this.#call("PATCH", "/v1/devices/me", { name }, options);
  }

  /** Erases the device, its subscriptions and every account without another device. */
  leave(options?: CallOptions): Promise<void> {
    return this.#call("DELETE", "/v1/devices/me", undefined, options);
  }

  /** Sends a harmless push to this device; the provider's answer is in the result. */
  testPush(options?: CallOptions): Promise<TestPush> {
    return this.#call("POST", "/v1/devices/me/test-push", {}, options);
  }

  /** Hands an account over. For an account that another device has, the password must prove itself at the SIP server (403 when it does not). */
  subscribe(
    account: Account,
    options: { readonly presence?: Presence; readonly notify?: Notify } & CallOptions = {},
  ): Promise<Subscription> {
    const { presence, notify } = options;
    const body = {
      account,
      ...(presence === undefined ? {} : { presence }),
      ...(notify === undefined ? {} : { notify }),
    };
    return this.#call("POST", "/v1/subscriptions", body, { timeoutMs: patientMs, ...options });
  }

  subscriptions(options?: CallOptions): Promise<readonly Subscription[]> {
    return this.#call("GET", "/v1/subscriptions", undefined, options);
  }

  subscription(id: string, options?: CallOptions): Promise<Subscription> {
    return this.#call("GET", `/v1/subscriptions/${encodeURIComponent(id)}`, undefined, options);
  }

  change(
    id: string,
    patch: { readonly account?: AccountChange; readonly notify?: Notify },
    options?: CallOptions,
  ): Promise<Subscription> {
    return this.#call("PATCH", `/v1/subscriptions/${encodeURIComponent(id)}`, patch, options);
  }

  /**
   * Tells where the app is. Resolves when Wakeline has done what that asks for (background: registered; foreground: its binding removed), at
   * the latest after `waitSec` (0 to 15); look at `state`.
   */
  async setPresence(
    id: string,
    presence: Presence,
    options: { readonly waitSec?: number } & CallOptions = {},
  ): Promise<Registration> {
    const waitSec = options.waitSec ?? 10;
    const path = `/v1/subscriptions/${encodeURIComponent(id)}/presence`;
    const { registration } = await this.#call<Subscription>(
      "PUT",
      path,
      { presence, waitSec },
      { timeoutMs: timeoutMsDefault + waitSec * 1_000, ...options },
    );
    return registration;
  }

  /** The switch goes off: the password is erased, the binding at the SIP server removed. */
  unsubscribe(id: string, options?: CallOptions): Promise<void> {
    return this.#call("DELETE", `/v1/subscriptions/${encodeURIComponent(id)}`, undefined, options);
  }

  /** What became of a call. `decideCall` asks it for you. */
  callState(call: string, options?: CallOptions): Promise<CallStatus> {
    return this.#call("GET", `/v1/calls/${encodeURIComponent(call)}`, undefined, options);
  }

  /** Missed and answered calls, newest first. */
  calls(options: { readonly since?: Date } & CallOptions = {}): Promise<readonly CallRecord[]> {
    const query = options.since === undefined ? "" : `?since=${encodeURIComponent(options.since.toISOString())}`;
    return this.#call("GET", `/v1/calls${query}`, undefined, options);
  }

  /**
   * Whether to ring for a push: at once when it is fresh, after asking the server when it came late. When the server cannot be reached (the
   * network may be just waking too) the deadline decides. Never rejects. iOS: report the call to the system first, then ask.
   */
  async decideCall(payload: PushPayload, options: { readonly now?: Date } & CallOptions = {}): Promise<CallDecision> {
    const now = options.now ?? new Date();
    const verdict = judgeCall(payload, now);
    if (verdict.kind !== "ask") return verdict;
    const isOverdue = payload.deadline !== undefined && now.getTime() > Date.parse(payload.deadline);
    try {
      const { state } = await this.callState(payload.call ?? "", { timeoutMs: decideMsMax, ...options });
      return state === "ringing" ? { kind: "ring", tunnel: verdict.tunnel } : { kind: "over", state };
    } catch (cause) {
      const isTemporary = cause instanceof WakelineProblem && cause.isTemporary;
      return isTemporary && !isOverdue ? { kind: "ring", tunnel: verdict.tunnel } : { kind: "over", state: undefined };
    }
  }

  /**
   * Tells that a push came, so that the server learns how fast this phone wakes and notices when pushes stop. `priority`: what Android says
   * the message came with (`getPriority`), for Google lowers it for apps that wake the phone for nothing.
   */
  acknowledge(
    payload: PushPayload,
    options: { readonly receivedAt?: Date; readonly priority?: "high" | "normal" } & CallOptions = {},
  ): Promise<void> {
    const { receivedAt = new Date(), priority } = options;
    return this.#call(
      "POST",
      `/v1/pushes/${encodeURIComponent(payload.id)}/receipt`,
      { receivedAt: receivedAt.toISOString(), ...(priority === undefined ? {} : { priority }) },
      options,
    );
  }

  /** Tunnel for use without a push, as for an outgoing call: browsers cannot set a header, so the token is in the URL. */
  tunnelUrl(): string {
    return `${this.enrolment.server.replace(/^http/, "ws")}/v1/tunnel?token=${encodeURIComponent(this.enrolment.token)}`;
  }

  #call<T>(method: string, path: string, body: unknown, options: CallOptions | undefined): Promise<T> {
    const { server, token } = this.enrolment;
    return callApi(this.#fetch, { method, url: `${server}${path}`, bearer: token, body }, options);
  }
}
