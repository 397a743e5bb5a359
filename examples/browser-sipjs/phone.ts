/**
 * A phone in a page: SIP.js on Wakeline's tunnel. `bun examples/browser-sipjs/index.html` serves it. It stays awake: how a page is woken by Web
 * Push is in docs/guides/web.md.
 */
import { Inviter, Invitation, SessionState, TransportState, UserAgent, Web, type Session } from "sip.js";
import { sipJsTransport, Tunnel, WakelineDevice } from "../../sdk/src/index.ts"; // in your app: "@wakeline/client"

const element = (id: string): HTMLElement => document.getElementById(id) as HTMLElement;
const settings = element("settings") as HTMLFormElement;
const target = element("target") as HTMLInputElement;
const sound = element("sound") as HTMLAudioElement;
let shown = "";
const show = (text: string): void => {
  shown = text;
  element("state").textContent = text;
};
const fail = (cause: unknown): void => show(`failed: ${String(cause)}`);
let call: Session | undefined;
let agent: UserAgent | undefined;

settings.addEventListener("submit", (event) => {
  event.preventDefault();
  const given = new FormData(settings);
  const text = (name: string): string => {
    const value = given.get(name);
    return typeof value === "string" ? value : "";
  };
  start(text).catch(fail);
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
    if (now.kind !== "open" || !now.resumed) return;
    show(shown);
    renewMedia();
  });
  const uri = UserAgent.makeURI(`sip:${username}@${domain}`);
  if (uri === undefined) throw new Error("no SIP address");
  agent = new UserAgent({
    uri,
    transportConstructor: sipJsTransport(TransportState, tunnel),
    authorizationUsername: username,
    authorizationPassword: password,
    logBuiltinEnabled: false,
    delegate: {
      onInvite: (invitation) => watch(invitation, `${invitation.remoteIdentity.uri.user ?? "somebody"} calls`),
    },
  });
  await agent.start();
  show("ready");
}

function renewMedia(): void {
  if (call?.state !== SessionState.Established) return;
  const session = call;
  const sessionDescriptionHandlerOptions: Web.SessionDescriptionHandlerOptions = { offerOptions: { iceRestart: true } };
  session.invite({ sessionDescriptionHandlerOptions }).catch(async () => {
    // Another offer is under way. SIP.js 0.21 finds that out after it has made its own, and leaves it standing.
    const media = session.sessionDescriptionHandler;
    const peer = media instanceof Web.SessionDescriptionHandler ? media.peerConnection : undefined;
    if (peer?.signalingState === "have-local-offer") await peer.setLocalDescription({ type: "rollback" });
    setTimeout(renewMedia, 1_000);
  });
}

function watch(session: Session, greeting: string): void {
  call = session;
  show(greeting);
  session.stateChange.addListener((state) => {
    if (state === SessionState.Terminated) show("ready");
    if (state !== SessionState.Established) return;
    show("talking");
    const media = session.sessionDescriptionHandler;
    if (media instanceof Web.SessionDescriptionHandler) sound.srcObject = media.remoteMediaStream;
  });
}

element("call").addEventListener("click", () => {
  const whom = UserAgent.makeURI(target.value);
  if (agent === undefined || whom === undefined) return;
  const inviter = new Inviter(agent, whom);
  watch(inviter, "calling");
  inviter.invite().catch(fail);
});
element("answer").addEventListener("click", () => {
  if (call instanceof Invitation) call.accept().catch(fail);
});
element("hang-up").addEventListener("click", () => {
  const ending =
    call?.state === SessionState.Established
      ? call.bye()
      : call instanceof Inviter
        ? call.cancel()
        : call instanceof Invitation
          ? call.reject()
          : undefined;
  ending?.catch(fail);
});
