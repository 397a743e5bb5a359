import { signal } from "@preact/signals";
import JsSIP from "jssip";
import type { RTCSession } from "jssip/lib/RTCSession";
import { jsSipSocket, judgeCall, WakelineDevice, type PushPayload } from "../../../sdk/src/index.ts";
import type { Arrow } from "./ladder.tsx";

export interface PhoneAccount {
  readonly user: string;
  readonly domain: string;
  readonly password: string;
  readonly proxy: string;
}

/** What the person sees of the phone. */
export type PhoneState =
  | { readonly kind: "starting" }
  | { readonly kind: "awake" }
  | { readonly kind: "asleep" }
  | { readonly kind: "waking" }
  | { readonly kind: "ringing"; readonly from: string }
  | { readonly kind: "calling" }
  | { readonly kind: "talking" }
  | { readonly kind: "failed"; readonly why: string };

/**
 * A browser phone: stock JsSIP on Wakeline's tunnel. Asleep it has no socket at all: only a push, which here comes over the page's own channel,
 * wakes it.
 */
export class BrowserPhone {
  readonly user: string;
  readonly state = signal<PhoneState>({ kind: "starting" });
  /** The far end's sound; an <audio> element plays it. */
  readonly remote = signal<MediaStream | undefined>(undefined);
  readonly #account: PhoneAccount;
  readonly #onArrow: (arrow: Omit<Arrow, "atMs">) => void;
  #device: WakelineDevice | undefined;
  #subscription = "";
  #ua: JsSIP.UA | undefined;
  #call: RTCSession | undefined;

  constructor(account: PhoneAccount, onArrow: (arrow: Omit<Arrow, "atMs">) => void) {
    this.user = account.user;
    this.#account = account;
    this.#onArrow = onArrow;
  }

  /** Enrols, hands the account over, and is awake. */
  async start(server: string, app: string, appKey: string): Promise<void> {
    const { user, domain, password, proxy } = this.#account;
    try {
      this.#device = await WakelineDevice.enrol({
        server,
        app,
        appKey,
        push: { provider: "webhook", token: user },
        name: user,
      });
      const { id } = await this.#device.subscribe({ username: user, domain, password, proxy, transport: "udp" });
      this.#subscription = id;
      const { state, lastReason } = await this.#device.setPresence(id, "background");
      if (state !== "registered") throw new Error(lastReason ?? state);
      this.#open(this.#device.tunnelUrl());
      this.state.value = { kind: "awake" };
    } catch (cause) {
      this.state.value = { kind: "failed", why: cause instanceof Error ? cause.message : String(cause) };
    }
  }

  /** The app is suspended: nothing of it is left running. */
  sleep(): void {
    this.#ua?.stop();
    this.#ua = undefined;
    this.#call = undefined;
    this.state.value = { kind: "asleep" };
  }

  wake(): void {
    if (this.#device === undefined) return;
    this.#open(this.#device.tunnelUrl());
    this.state.value = { kind: "awake" };
  }

  /** A push came. */
  onPush(payload: PushPayload): void {
    void this.#device?.acknowledge(payload);
    if (payload.kind === "cancel" && this.state.value.kind === "waking") this.sleep();
    const verdict = judgeCall(payload);
    if (verdict.kind === "ignore" || this.state.value.kind !== "asleep") return;
    this.state.value = { kind: "waking" };
    this.#open(verdict.tunnel);
  }

  call(user: string): void {
    if (this.#ua === undefined) return;
    this.state.value = { kind: "calling" };
    this.#ua.call(`sip:${user}@${this.#account.domain}`, { mediaConstraints: { audio: true, video: false } });
  }

  answer(): void {
    this.#call?.answer({ mediaConstraints: { audio: true, video: false } });
  }

  hangUp(): void {
    if (this.#call !== undefined && !this.#call.isEnded()) this.#call.terminate();
  }

  async leave(): Promise<void> {
    this.sleep();
    await this.#device?.unsubscribe(this.#subscription);
  }

  #open(url: string): void {
    this.#ua?.stop();
    const { user, domain, password } = this.#account;
    const socket = jsSipSocket(url);
    const ua = new JsSIP.UA({
      sockets: [watched(socket, (isOut, line) => this.#report(isOut, line))],
      uri: `sip:${user}@${domain}`,
      password,
      register: false,
      session_timers: false,
    });
    ua.on("newRTCSession", ({ session, originator }: { session: RTCSession; originator: string }) => {
      this.#onSession(session, originator === "remote");
    });
    this.#ua = ua;
    ua.start();
  }

  #onSession(session: RTCSession, isIncoming: boolean): void {
    this.#call = session;
    if (isIncoming) this.state.value = { kind: "ringing", from: session.remote_identity.uri.user };
    session.on("accepted", () => {
      this.state.value = { kind: "talking" };
    });
    const over = (): void => {
      if (this.#call !== session) return;
      this.#call = undefined;
      this.remote.value = undefined;
      this.state.value = { kind: "awake" };
    };
    session.on("ended", over);
    session.on("failed", over);
    const listen = (peer: RTCPeerConnection): void => {
      peer.addEventListener("track", ({ streams }) => {
        this.remote.value = streams[0];
      });
    };
    session.on("peerconnection", ({ peerconnection }: { peerconnection: RTCPeerConnection }) => listen(peerconnection));
    if (session.connection) listen(session.connection);
  }

  #report(isOut: boolean, firstLine: string): void {
    const status = /^SIP\/2\.0 (\d{3} .*)$/.exec(firstLine)?.[1];
    const label = status ?? firstLine.split(" ")[0] ?? "";
    this.#onArrow({ from: isOut ? this.user : "wakeline", to: isOut ? "wakeline" : this.user, label, isPush: false });
  }
}

/** The same socket, with each message's first line told on its way. */
function watched(
  socket: ReturnType<typeof jsSipSocket>,
  tell: (isOut: boolean, firstLine: string) => void,
): ReturnType<typeof jsSipSocket> {
  const send = socket.send.bind(socket);
  const firstLine = (data: unknown): string => {
    const text = typeof data === "string" ? data : new TextDecoder().decode(data as ArrayBuffer);
    return text.trim() === "" ? "" : (text.split("\r\n")[0] ?? "");
  };
  const note = (isOut: boolean, data: unknown): void => {
    const line = firstLine(data);
    if (line !== "") tell(isOut, line);
  };
  socket.send = (message) => {
    note(true, message);
    return send(message);
  };
  // JsSIP sets `ondata` later; what it sets is called behind ours.
  let onData = socket.ondata;
  Object.defineProperty(socket, "ondata", {
    get: () => (data: unknown) => {
      note(false, data);
      onData(typeof data === "string" ? data : new TextDecoder().decode(data as ArrayBuffer));
    },
    set: (handler: typeof onData) => {
      onData = handler;
    },
  });
  return socket;
}
