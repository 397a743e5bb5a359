import type { PushPayload } from "../push/types.ts";
import { DemoUa, type UaCall, type UaMessage } from "./ua.ts";

/** What the demo's HTTP calls return; a refusal throws with the problem's text, for the demo cannot go on without. */
async function callApi(url: string, method: string, token: string, body?: unknown): Promise<unknown> {
  const response = await fetch(url, {
    method,
    headers: {
      authorization: `Bearer ${token}`,
      ...(body === undefined ? {} : { "content-type": "application/json" }),
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  const text = await response.text();
  if (!response.ok) throw new Error(`${method} ${url} answered ${response.status}: ${text}`);
  return text === "" ? undefined : JSON.parse(text);
}

/**
 * A headless phone as an app would be: enrols with a webhook as its push, subscribes its account, sleeps, and when a push comes opens the
 * tunnel named in it. It speaks SIP over that WebSocket (RFC 7118).
 */
export class DemoPhone {
  readonly #publicUrl: string;
  readonly #account: {
    readonly username: string;
    readonly domain: string;
    readonly password: string;
    readonly proxy: string;
  };
  readonly #onMessage: (message: UaMessage) => void;
  readonly #onCall: (call: UaCall) => void;
  #deviceToken = "";
  #subscription = "";
  #socket: WebSocket | undefined;
  #ua: DemoUa | undefined;

  constructor(options: {
    readonly publicUrl: string;
    readonly account: {
      readonly username: string;
      readonly domain: string;
      readonly password: string;
      readonly proxy: string;
    };
    readonly onMessage: (message: UaMessage) => void;
    readonly onCall: (call: UaCall) => void;
  }) {
    this.#publicUrl = options.publicUrl;
    this.#account = options.account;
    this.#onMessage = options.onMessage;
    this.#onCall = options.onCall;
  }

  async enrol(app: string, appKey: string, pushToken: string): Promise<void> {
    const device = await callApi(`${this.#publicUrl}/v1/devices`, "POST", appKey, {
      app,
      push: { provider: "webhook", token: pushToken },
      name: "demo phone",
    });
    this.#deviceToken = (device as { token: string }).token;
  }

  async subscribe(): Promise<void> {
    const { username, domain, password, proxy } = this.#account;
    const subscription = await callApi(`${this.#publicUrl}/v1/subscriptions`, "POST", this.#deviceToken, {
      account: { username, domain, password, proxy, transport: "udp" },
      presence: "foreground",
    });
    this.#subscription = (subscription as { id: string }).id;
  }

  /** Resolves once Wakeline has done what the new presence asks; the registration's state is returned. */
  async setPresence(presence: "background" | "foreground"): Promise<string> {
    const url = `${this.#publicUrl}/v1/subscriptions/${this.#subscription}/presence`;
    const answer = await callApi(url, "PUT", this.#deviceToken, { presence, waitSec: 10 });
    return (answer as { registration: { state: string } }).registration.state;
  }

  async unsubscribe(): Promise<void> {
    await callApi(`${this.#publicUrl}/v1/subscriptions/${this.#subscription}`, "DELETE", this.#deviceToken);
  }

  /** Opens the tunnel of a push. */
  openTunnel(payload: PushPayload): Promise<void> {
    return this.#open(payload.tunnel ?? "");
  }

  call(user: string): UaCall {
    if (this.#ua === undefined) throw new Error("the phone has no tunnel");
    return this.#ua.call(user);
  }

  closeTunnel(): void {
    this.#socket?.close();
    this.#ua?.close();
    this.#socket = undefined;
    this.#ua = undefined;
  }

  async #open(url: string): Promise<void> {
    const socket = new WebSocket(url, "sip");
    socket.binaryType = "arraybuffer";
    const { username, domain, password } = this.#account;
    const ua = new DemoUa({
      user: username,
      domain,
      password,
      sentBy: () => `${url.startsWith("wss:") ? "WSS" : "WS"} demo-phone.invalid`,
      contact: () => `sip:${username}@demo-phone.invalid;transport=ws`,
      isReliable: true,
      send: (text) => socket.send(Buffer.from(text, "latin1")),
      onMessage: this.#onMessage,
      onCall: this.#onCall,
    });
    socket.addEventListener("message", ({ data }) => {
      ua.receive(typeof data === "string" ? Buffer.from(data, "utf8") : new Uint8Array(data as ArrayBuffer));
    });
    await new Promise<void>((resolve, reject) => {
      socket.addEventListener("open", () => resolve(), { once: true });
      socket.addEventListener("error", () => reject(new Error(`the tunnel ${url.split("?")[0]} did not open`)), {
        once: true,
      });
    });
    this.#socket = socket;
    this.#ua = ua;
  }
}
