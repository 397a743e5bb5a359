/**
 * A phone in a page: JsSIP on Wakeline's tunnel. `bun examples/browser-jssip/index.html` serves it. It stays awake: how a page is woken by Web
 * Push is in docs/guides/web.md.
 */
import JsSIP from "jssip";
import type { RTCSession } from "jssip/lib/RTCSession";
import { jsSipSocket, Tunnel, WakelineDevice } from "../../sdk/src/index.ts"; // in your app: "@wakeline/client"

const element = (id: string): HTMLElement => document.getElementById(id) as HTMLElement;
const settings = element("settings") as HTMLFormElement;
const target = element("target") as HTMLInputElement;
const sound = element("sound") as HTMLAudioElement;
let shown = "";
const show = (text: string): void => {
  shown = text;
  element("state").textContent = text;
};
let call: RTCSession | undefined;
let ua: JsSIP.UA | undefined;

settings.addEventListener("submit", (event) => {
  event.preventDefault();
  const given = new FormData(settings);
  const text = (name: string): string => {
    const value = given.get(name);
    return typeof value === "string" ? value : "";
  };
  start(text).catch((cause: unknown) => show(`failed: ${String(cause)}`));
});

async function start(text: (name: string) => string): Promise<void> {
  const [username, domain, password, proxy] = [text("username"), text("domain"), text("password"), text("proxy")];
  const device = await WakelineDevice.enrol({
    server: text("server"),
    app: text("app"),
    appKey: text("appKey"),
    push: { provider: "webhook", token: username },
  });
  const subscription = await device.subscribe({
    username,
    domain,
    password,
    ...(proxy === "" ? {} : { proxy }),
  });
  // Wakeline registers; calls come through the tunnel while it is open.
  const { state, lastReason } = await device.setPresence(subscription.id, "background");
  if (state !== "registered") throw new Error(`${state} ${lastReason ?? ""}`);

  const tunnel = new Tunnel({ url: device.tunnelUrl() });
  addEventListener("online", () => tunnel.networkChanged());
  tunnel.onState((now) => {
    if (now.kind === "resuming") element("state").textContent = "the network is away";
    if (now.kind === "closed") show(`closed: ${now.why}`);
    // The tunnel is back on another network: the sound has to find its way there too.
    if (now.kind === "open" && now.resumed) {
      show(shown);
      renewMedia();
    }
  });
  ua = new JsSIP.UA({
    sockets: [jsSipSocket(tunnel)],
    uri: `sip:${username}@${domain}`,
    password,
    register: false,
  });
  ua.on("connected", () => show("ready"));
  ua.on("newRTCSession", ({ session, originator }: { session: RTCSession; originator: string }) => {
    show(originator === "remote" ? `${session.remote_identity.uri.user} calls` : "calling");
    watch(session);
  });
  ua.start();
}

function renewMedia(): void {
  if (call?.isEstablished() !== true) return;
  // False: another offer is under way.
  const isSent = call.renegotiate({ rtcOfferConstraints: { iceRestart: true } });
  if (!isSent) setTimeout(renewMedia, 1_000);
}

function watch(session: RTCSession): void {
  call = session;
  const listen = (peer: RTCPeerConnection): void =>
    peer.addEventListener("track", ({ streams }) => {
      sound.srcObject = streams[0] ?? null;
    });
  session.on("peerconnection", ({ peerconnection }: { peerconnection: RTCPeerConnection }) => listen(peerconnection));
  if (session.connection) listen(session.connection);
  session.on("confirmed", () => show("talking"));
  session.on("ended", () => show("ready"));
  session.on("failed", ({ cause }: { cause: string }) => show(`ready (${cause})`));
}

const mediaConstraints = { audio: true, video: false };
element("call").addEventListener("click", () => ua?.call(target.value, { mediaConstraints }));
element("answer").addEventListener("click", () => call?.answer({ mediaConstraints }));
element("hang-up").addEventListener("click", () => call?.terminate());
