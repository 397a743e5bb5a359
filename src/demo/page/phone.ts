import { signal } from "@preact/signals";
import JsSIP from "jssip";
import type { RTCSession } from "jssip/lib/RTCSession";
import { jsSipSocket, judgeCall, WakelineDevice, type PushPayload } from "../../../sdk/src/index.ts";
import { labelOf } from "../../base/ladder.ts";
import { keepPhone, readKeptPhone } from "./kept-phone.ts";
import { titleOf, type PhoneAccount, type Settings } from "./settings.ts";
import { nowMs, tellAct, tellLine, type DemoRail } from "./story.ts";
import { openTone } from "./tone.ts";
import { watched } from "./watched-socket.ts";

/** What the person sees of the phone. */
export type PhoneState =
  | { readonly kind: "starting" }
  | { readonly kind: "awake"; readonly news?: string }
  | { readonly kind: "asleep" }
  | { readonly kind: "waking" }
  /** `wokeMs`: from the push to the ringing; absent when it was awake. */
  | { readonly kind: "ringing"; readonly from: string; readonly wokeMs?: number }
  | { readonly kind: "calling"; readonly to: string; readonly isRinging: boolean }
  | { readonly kind: "talking"; readonly sinceMs: number }
  | { readonly kind: "failed"; readonly why: string };

const noteHertz = { alice: 440, bob: 587 } as const;

/** A browser phone: stock JsSIP on Wakeline's tunnel. Asleep it has no socket at all: only a push wakes it. */
export class BrowserPhone {
  readonly user: "alice" | "bob";
  readonly state = signal<PhoneState>({ kind: "starting" });
  /** The far end's sound; an <audio> element plays it. */
  readonly remote = signal<MediaStream | undefined>(undefined);
  readonly #account: PhoneAccount;
  #device: WakelineDevice | undefined;
  #pushToken = "";
  #ua: JsSIP.UA | undefined;
  #call: RTCSession | undefined;
  #tone: ReturnType<typeof openTone> | undefined;
  #wakingSinceMs: number | undefined;

  constructor(user: "alice" | "bob", account: PhoneAccount) {
    this.user = user;
    this.#account = account;
  }

  /** The enrolled device; undefined until `start` is done. */
  get device(): WakelineDevice | undefined {
    return this.#device;
  }

  /** What the page's own channel knows it by. */
  get pushToken(): string {
    return this.#pushToken;
  }

  /** Enrols and hands the account over, unless an earlier opening of the page did; then it is awake. `opened`: the push that opened the page. */
  async start({ server, app, appKey }: Settings, opened: PushPayload | undefined): Promise<void> {
    const { user, domain, password, proxy } = this.#account;
    try {
      const kept = readKeptPhone(appKey, user);
      this.#pushToken = kept?.pushToken ?? `${user}-${crypto.randomUUID()}`;
      const device =
        kept === undefined
          ? await WakelineDevice.enrol({
              server,
              app,
              appKey,
              push: { provider: "webhook", token: this.#pushToken },
              name: `${titleOf(user)}'s phone`,
            })
          : new WakelineDevice(kept.enrolment);
      this.#device = device;
      if (kept !== undefined && opened !== undefined) {
        this.state.value = { kind: "asleep" };
        this.onPush(opened);
        return;
      }
      if (kept === undefined) {
        tellAct(`${titleOf(user)}'s app hands the account over: Wakeline registers`);
        const account = { username: user, domain, password, proxy, transport: "udp" } as const;
        const { id } = await device.subscribe(account);
        keepPhone(appKey, user, { enrolment: device.enrolment, pushToken: this.#pushToken, subscription: id });
        const { state, lastReason } = await device.setPresence(id, "background");
        if (state !== "registered") throw new Error(lastReason ?? state);
      }
      this.#open(device.tunnelUrl());
      this.state.value = { kind: "awake" };
    } catch (cause) {
      this.#fail(cause instanceof Error ? cause.message : String(cause));
    }
  }

  /** The app is suspended: nothing of it is left running. */
  sleep(): void {
    tellAct(`${titleOf(this.user)}'s phone falls asleep: its socket is closed`);
    this.#end();
    this.state.value = { kind: "asleep" };
  }

  wake(): void {
    if (this.#device === undefined) return;
    tellAct(`${titleOf(this.user)} opens the app by hand`);
    this.#open(this.#device.tunnelUrl());
    this.state.value = { kind: "awake" };
  }

  /** A push came. */
  onPush(payload: PushPayload): void {
    const { kind } = this.state.value;
    tellLine({
      kind: "push",
      atMs: nowMs(),
      from: `${this.user}-wakeline`,
      to: this.user,
      label: `push ${payload.kind}`,
    });
    void this.#device?.acknowledge(payload).catch(() => {});
    if (payload.kind === "cancel" && kind === "waking") {
      this.#end();
      this.state.value = { kind: "asleep" };
    }
    const verdict = judgeCall(payload);
    if (verdict.kind === "ignore" || kind !== "asleep") return;
    this.#wakingSinceMs = Date.parse(payload.sentAt);
    this.state.value = { kind: "waking" };
    if (verdict.kind === "ring") this.#open(verdict.tunnel);
    else void this.#openLate(payload, verdict.tunnel);
  }

  /** A push that took its time: rings only when the call still does. */
  async #openLate({ call = "" }: PushPayload, tunnel: string): Promise<void> {
    const state = await this.#device?.callState(call).then(
      (answer) => answer.state,
      () => "missed" as const,
    );
    if (this.state.value.kind !== "waking") return;
    if (state === "ringing") return this.#open(tunnel);
    this.wake();
    this.state.value = { kind: "awake", news: "The push came late: the call is over." };
  }

  call(user: string): void {
    if (this.#ua === undefined) return;
    tellAct(`${titleOf(this.user)} calls ${titleOf(user)}`);
    this.state.value = { kind: "calling", to: user, isRinging: false };
    this.#ua.call(`sip:${user}@${this.#account.domain}`, this.#sound());
  }

  answer(): void {
    tellAct(`${titleOf(this.user)} answers`);
    this.#call?.answer(this.#sound());
  }

  hangUp(): void {
    tellAct(`${titleOf(this.user)} ${this.state.value.kind === "ringing" ? "declines" : "hangs up"}`);
    if (this.#call === undefined || this.#call.isEnded()) return;
    if (this.state.value.kind === "ringing") this.#call.terminate({ status_code: 603, reason_phrase: "Decline" });
    else this.#call.terminate();
  }

  #sound(): { readonly mediaStream: MediaStream } {
    this.#tone ??= openTone(noteHertz[this.user]);
    return { mediaStream: this.#tone.stream };
  }

  /** Nothing of a call or a socket is left. */
  #end(): void {
    this.#ua?.stop();
    this.#ua = undefined;
    this.#call = undefined;
    this.#silence();
  }

  #silence(): void {
    this.#tone?.stop();
    this.#tone = undefined;
    this.remote.value = undefined;
  }

  #fail(why: string): void {
    this.state.value = { kind: "failed", why };
  }

  #open(url: string): void {
    this.#end();
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
    if (isIncoming) {
      const wokeMs = this.#wakingSinceMs === undefined ? undefined : Math.max(1, nowMs() - this.#wakingSinceMs);
      this.#wakingSinceMs = undefined;
      const from = session.remote_identity.uri.user;
      this.state.value = { kind: "ringing", from, ...(wokeMs === undefined ? {} : { wokeMs }) };
    }
    session.on("progress", () => {
      const { value } = this.state;
      if (value.kind === "calling") this.state.value = { ...value, isRinging: true };
    });
    session.on("accepted", () => {
      this.state.value = { kind: "talking", sinceMs: nowMs() };
    });
    const over = (news: string): void => {
      if (this.#call !== session) return;
      this.#call = undefined;
      this.#silence();
      this.state.value = { kind: "awake", news };
    };
    session.on("ended", () => over("The call is over."));
    session.on("failed", ({ cause }: { cause: string }) => over(newsOf(cause, isIncoming)));
    const listen = (peer: RTCPeerConnection): void => {
      peer.addEventListener("track", ({ streams }) => {
        this.remote.value = streams[0];
      });
    };
    session.on("peerconnection", ({ peerconnection }: { peerconnection: RTCPeerConnection }) => listen(peerconnection));
    if (session.connection) listen(session.connection);
  }

  #report(isOut: boolean, startLine: string): void {
    const wakeline: DemoRail = `${this.user}-wakeline`;
    const [from, to] = isOut ? [this.user, wakeline] : [wakeline, this.user];
    tellLine({ kind: "message", atMs: nowMs(), from, to, label: labelOf(startLine) });
  }
}

/** What a call that never was leaves behind, in words; `cause` is JsSIP's. */
function newsOf(cause: string, isIncoming: boolean): string {
  if (cause === "Canceled") return isIncoming ? "A missed call." : "The call was given up before an answer.";
  if (cause === "Rejected") return isIncoming ? "The call was declined." : "They declined.";
  if (cause === "Unavailable" || cause === "Not Found") return "They cannot be reached.";
  return `No call: ${cause.toLowerCase()}.`;
}
