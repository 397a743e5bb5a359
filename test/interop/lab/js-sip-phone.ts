import { UA, WebSocketInterface } from "jssip";
import type { RTCSession } from "jssip/lib/RTCSession";
import { jsSipSocket } from "../../../sdk/src/index.ts";
import { tapWebSockets } from "./frames.ts";
import { type Phone, type PhoneCall, type PhoneOptions, phoneSdp } from "./phone.ts";
import { until } from "./wait.ts";

/** A browser's WebRTC with nothing behind it: JsSIP takes it from the global scope. */
class SilentPeerConnection extends EventTarget {
  readonly iceGatheringState = "complete";
  readonly iceConnectionState = "connected";
  signalingState: RTCSignalingState = "stable";
  localDescription: RTCSessionDescriptionInit | null = null;

  createOffer(): Promise<RTCSessionDescriptionInit> {
    return Promise.resolve({ type: "offer", sdp: phoneSdp });
  }

  createAnswer(): Promise<RTCSessionDescriptionInit> {
    return Promise.resolve({ type: "answer", sdp: phoneSdp });
  }

  setLocalDescription(description: RTCSessionDescriptionInit): Promise<void> {
    this.localDescription = description;
    this.signalingState = description.type === "offer" ? "have-local-offer" : "stable";
    return Promise.resolve();
  }

  setRemoteDescription(description: RTCSessionDescriptionInit): Promise<void> {
    this.signalingState = description.type === "offer" ? "have-remote-offer" : "stable";
    return Promise.resolve();
  }

  addTrack(): void {}

  getSenders(): readonly never[] {
    return [];
  }

  getReceivers(): readonly never[] {
    return [];
  }

  close(): void {}
}

class SilentDescription {
  readonly type: string;
  readonly sdp: string;

  constructor({ type, sdp }: { readonly type: string; readonly sdp: string }) {
    this.type = type;
    this.sdp = sdp;
  }
}

export const silentStream = {
  getTracks: () => [],
  getAudioTracks: () => [],
  getVideoTracks: () => [],
} as unknown as MediaStream;

let phonesAlive = 0;

/** JsSIP looks for WebRTC in `window`. It stands there only while a phone lives: others in this process would take themselves for browsers. */
export function openWindow(): void {
  phonesAlive++;
  Object.assign(globalThis, {
    window: globalThis,
    RTCPeerConnection: SilentPeerConnection,
    RTCSessionDescription: SilentDescription,
  });
}

export function closeWindow(): void {
  if (--phonesAlive === 0) Reflect.deleteProperty(globalThis, "window");
}

const sessions = new WeakMap<PhoneCall, RTCSession>();

/** A phone on stock JsSIP 3.13. */
export function jsSipPhone(options: PhoneOptions): Phone {
  tapWebSockets();
  openWindow();
  const calls: PhoneCall[] = [];
  const agent = new UA({
    sockets: [options.tunnel === undefined ? new WebSocketInterface(options.url) : jsSipSocket(options.tunnel)],
    uri: `sip:${options.username}@${options.domain}`,
    password: options.password,
    register: options.register,
  });
  agent.on(
    "newRTCSession",
    ({ session, originator }: { readonly session: RTCSession; readonly originator: string }) => {
      if (originator === "remote") calls.push(watch(session));
    },
  );
  return {
    options,
    calls,
    async start() {
      let isOpen = false;
      agent.on("connected", () => {
        isOpen = true;
      });
      agent.start();
      await until("JsSIP connects", () => isOpen);
      if (options.register) await until("JsSIP registers", () => agent.isRegistered());
    },
    call: (target) => watch(agent.call(target, { mediaStream: silentStream })),
    stop() {
      agent.stop();
      closeWindow();
      return Promise.resolve();
    },
  };
}

function watch(session: RTCSession): PhoneCall {
  const trail: string[] = [];
  for (const step of ["progress", "accepted", "confirmed", "ended"] as const) session.on(step, () => trail.push(step));
  session.on("failed", ({ cause }: { readonly cause: string }) =>
    trail.push(cause === "Canceled" ? "cancelled" : "failed"),
  );
  session.on("newInfo", ({ originator }: { readonly originator: string }) => {
    if (originator === "remote") trail.push("info");
  });
  session.on("newDTMF", ({ originator }: { readonly originator: string }) => {
    if (originator === "remote") trail.push("info");
  });
  // The call that takes this one's place comes as a call of its own.
  session.on("replaces", ({ accept }) => accept());
  const call: PhoneCall = {
    trail,
    // JsSIP has no 183 of its own to send; it says 180 when the INVITE comes.
    progress: () => {},
    answer: () => session.answer({ mediaStream: silentStream }),
    reject: (status_code, contact) =>
      session.terminate({ status_code, ...(contact === undefined ? {} : { extraHeaders: [`Contact: <${contact}>`] }) }),
    reinvite: () => {
      session.renegotiate();
    },
    update: () => {
      session.renegotiate({ useUpdate: true });
    },
    bye: () => session.terminate(),
    refer: (target) => session.refer(target),
    referTo: (other) => {
      const replaces = sessions.get(other);
      if (replaces !== undefined) session.refer(replaces.remote_identity.uri, { replaces });
    },
    info: (digit) => session.sendInfo("application/dtmf-relay", `Signal=${digit}\r\nDuration=160`),
  };
  sessions.set(call, session);
  return call;
}
