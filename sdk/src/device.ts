import { problemOf, WakelineProblem } from "./problem.ts";
import type {
  Account,
  CallerName,
  CallState,
  Notify,
  Presence,
  PushAddress,
  PushPayload,
  Registration,
  Subscription,
} from "./types.ts";

/** What an app keeps in its keychain between starts. */
export interface Enrolment {
  readonly server: string;
  readonly deviceId: string;
  readonly token: string;
}

type Fetch = (url: string, init: RequestInit) => Promise<Response>;

/**
 * One enrolled installation. Every method rejects with `WakelineProblem` when the server refuses or cannot be reached. Works where `fetch`
 * does: browsers, React Native, Capacitor, Node, Bun.
 */
export class WakelineDevice {
  readonly enrolment: Enrolment;
  readonly #fetch: Fetch;

  constructor(enrolment: Enrolment, fetcher: Fetch = (url, init) => fetch(url, init)) {
    this.enrolment = enrolment;
    this.#fetch = fetcher;
  }

  /** Enrols this installation with the app's key, or a token of the app's own issuer. Keep `enrolment` of the result. */
  static async enrol(
    options: {
      readonly server: string;
      readonly app: string;
      readonly appKey: string;
      readonly push: PushAddress;
      readonly name?: string;
    },
    fetcher: Fetch = (url, init) => fetch(url, init),
  ): Promise<WakelineDevice> {
    const server = options.server.replace(/\/+$/, "");
    const { app, push, name } = options;
    const body = { app, push, ...(name === undefined ? {} : { name }) };
    const made = await call<{ deviceId: string; token: string }>(
      fetcher,
      `${server}/v1/devices`,
      "POST",
      options.appKey,
      body,
    );
    return new WakelineDevice({ server, deviceId: made.deviceId, token: made.token }, fetcher);
  }

  /** Call it at every start with the push token of now: tokens change. */
  async setPush(push: PushAddress): Promise<void> {
    await this.#call("PATCH", "/v1/devices/me", { push });
  }

  /** Erases the device, its subscriptions and every account without another device. */
  async leave(): Promise<void> {
    await this.#call("DELETE", "/v1/devices/me");
  }

  /** Sends a harmless push to this device; the provider's answer is in the result. */
  testPush(): Promise<unknown> {
    return this.#call("POST", "/v1/devices/me/test-push", {});
  }

  /** Hands an account over. For an account that another device has, the password must prove itself at the SIP server (403 when it does not). */
  subscribe(
    account: Account,
    options: { readonly presence?: Presence; readonly notify?: Notify } = {},
  ): Promise<Subscription> {
    return this.#call("POST", "/v1/subscriptions", { account, ...options });
  }

  subscriptions(): Promise<readonly Subscription[]> {
    return this.#call("GET", "/v1/subscriptions");
  }

  subscription(id: string): Promise<Subscription> {
    return this.#call("GET", `/v1/subscriptions/${encodeURIComponent(id)}`);
  }

  change(id: string, patch: { readonly account?: Partial<Account>; readonly notify?: Notify }): Promise<Subscription> {
    return this.#call("PATCH", `/v1/subscriptions/${encodeURIComponent(id)}`, patch);
  }

  /**
   * Tells where the app is. Resolves when Wakeline has done what that asks for (background: registered; foreground: its binding removed), at
   * the latest after `waitSec`; look at `state`.
   */
  async setPresence(id: string, presence: Presence, waitSec = 10): Promise<Registration> {
    const path = `/v1/subscriptions/${encodeURIComponent(id)}/presence`;
    const answer = await this.#call<{ registration: Registration }>("PUT", path, { presence, waitSec });
    return answer.registration;
  }

  /** The switch goes off: the password is erased, the binding at the SIP server removed. */
  async unsubscribe(id: string): Promise<void> {
    await this.#call("DELETE", `/v1/subscriptions/${encodeURIComponent(id)}`);
  }

  /** Is it still worth ringing? Ask when a push came late. */
  callState(id: string): Promise<{
    readonly state: CallState;
    readonly from: CallerName;
    readonly at: string;
    readonly deadline?: string;
  }> {
    return this.#call("GET", `/v1/calls/${encodeURIComponent(id)}`);
  }

  /** Missed and answered calls, newest first. */
  calls(since?: Date): Promise<readonly (Readonly<Record<string, unknown>> & { readonly state: CallState })[]> {
    const query = since === undefined ? "" : `?since=${encodeURIComponent(since.toISOString())}`;
    return this.#call("GET", `/v1/calls${query}`);
  }

  /** Tells that a push came, so that the server learns how fast this phone wakes. */
  async acknowledge(payload: PushPayload, receivedAt: Date = new Date()): Promise<void> {
    await this.#call("POST", `/v1/pushes/${encodeURIComponent(payload.id)}/receipt`, {
      receivedAt: receivedAt.toISOString(),
    });
  }

  /** Tunnel for use without a push, as for an outgoing call: browsers cannot set a header, so the token is in the URL. */
  tunnelUrl(): string {
    return `${this.enrolment.server.replace(/^http/, "ws")}/v1/tunnel?token=${encodeURIComponent(this.enrolment.token)}`;
  }

  #call<T>(method: string, path: string, body?: unknown): Promise<T> {
    return call(this.#fetch, `${this.enrolment.server}${path}`, method, this.enrolment.token, body);
  }
}

async function call<T>(fetcher: Fetch, url: string, method: string, token: string, body?: unknown): Promise<T> {
  let response: Response;
  try {
    response = await fetcher(url, {
      method,
      headers: {
        authorization: `Bearer ${token}`,
        ...(body === undefined ? {} : { "content-type": "application/json" }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
  } catch (cause) {
    throw new WakelineProblem(0, "unreachable", cause instanceof Error ? cause.message : String(cause), [], undefined);
  }
  if (!response.ok) throw await problemOf(response);
  return (response.status === 204 ? undefined : await response.json()) as T;
}
