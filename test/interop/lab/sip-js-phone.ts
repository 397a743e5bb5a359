import {
  type Invitation,
  Inviter,
  Registerer,
  RegistererState,
  type Session,
  type SessionDescriptionHandler,
  SIPExtension,
  SessionState,
  TransportState,
  UserAgent,
} from "sip.js";
import { sipJsTransport } from "../../../sdk/src/index.ts";
import { tapWebSockets } from "./frames.ts";
import { type Phone, type PhoneCall, type PhoneOptions, phoneSdp } from "./phone.ts";
import { until } from "./wait.ts";

/** Stands where a browser's WebRTC would: SIP.js lets an app bring its own (its documented option). */
function describeMedia(): SessionDescriptionHandler {
  return {
    close: () => {},
    getDescription: () => Promise.resolve({ body: phoneSdp, contentType: "application/sdp" }),
    hasDescription: (contentType) => contentType === "application/sdp",
    rollbackDescription: () => Promise.resolve(),
    setDescription: () => Promise.resolve(),
    sendDtmf: () => false,
  };
}

const sessions = new WeakMap<PhoneCall, Session>();

/** A phone on stock SIP.js 0.21. */
export function sipJsPhone(options: PhoneOptions): Phone {
  tapWebSockets();
  const calls: PhoneCall[] = [];
  const uri = UserAgent.makeURI(`sip:${options.username}@${options.domain}`);
  if (uri === undefined) throw new Error("no SIP URI");
  const agent = new UserAgent({
    uri,
    transportOptions: { server: options.url, connectionTimeout: 5 },
    ...(options.tunnel === undefined ? {} : { transportConstructor: sipJsTransport(TransportState, options.tunnel) }),
    authorizationUsername: options.username,
    authorizationPassword: options.password,
    sessionDescriptionHandlerFactory: describeMedia,
    reconnectionAttempts: 5,
    reconnectionDelay: 1,
    logBuiltinEnabled: false,
    gracefulShutdown: false,
    sipExtension100rel: SIPExtension.Supported,
    sipExtensionReplaces: SIPExtension.Supported,
    delegate: { onInvite: (invitation) => calls.push(incomingCall(invitation)) },
  });
  const registerer = options.register ? new Registerer(agent) : undefined;
  return {
    options,
    calls,
    async start() {
      await agent.start();
      if (registerer === undefined) return;
      await registerer.register();
      await until("SIP.js registers", () => registerer.state === RegistererState.Registered);
    },
    call(target) {
      const targetUri = UserAgent.makeURI(target);
      if (targetUri === undefined) throw new Error(`no SIP URI: ${target}`);
      const inviter = new Inviter(agent, targetUri);
      const call = watch(inviter, () => undefined);
      void inviter.invite({
        requestDelegate: { onProgress: () => call.trail.push("progress"), onReject: () => call.trail.push("failed") },
      });
      return call;
    },
    async stop() {
      await agent.stop();
    },
  };
}

function incomingCall(invitation: Invitation): PhoneCall {
  const call = watch(invitation, () => invitation);
  invitation.delegate = { ...invitation.delegate, onCancel: () => call.trail.push("cancelled") };
  return call;
}

function watch(session: Session, invitation: () => Invitation | undefined): PhoneCall & { readonly trail: string[] } {
  const trail: string[] = [];
  let wasEstablished = false;
  session.stateChange.addListener((state) => {
    if (state === SessionState.Established) {
      wasEstablished = true;
      trail.push("accepted");
    }
    if (state === SessionState.Terminated) trail.push(wasEstablished ? "ended" : "failed");
  });
  session.delegate = {
    onAck: () => trail.push("confirmed"),
    onInfo: (info) => {
      trail.push("info");
      void info.accept();
    },
  };
  const call: PhoneCall & { readonly trail: string[] } = {
    trail,
    progress: () => invitation()?.progress({ statusCode: 183, rel100: true }),
    answer: () => invitation()?.accept(),
    reject: (statusCode, contact) =>
      invitation()?.reject({
        statusCode,
        ...(contact === undefined ? {} : { extraHeaders: [`Contact: <${contact}>`] }),
      }),
    reinvite: async () => {
      // With a delegate of its own SIP.js takes a refusal for news, not for an error.
      await session.invite({ requestDelegate: { onReject: () => trail.push("refused") } });
    },
    update: () => {
      throw new Error("SIP.js 0.21 sends no UPDATE");
    },
    bye: async () => void (await session.bye()),
    refer: async (target) => {
      const uri = UserAgent.makeURI(target);
      if (uri !== undefined) await session.refer(uri);
    },
    referTo: async (other) => {
      const otherSession = sessions.get(other);
      if (otherSession !== undefined) await session.refer(otherSession);
    },
    info: async (digit) => {
      const body = {
        contentDisposition: "render",
        contentType: "application/dtmf-relay",
        content: `Signal=${digit}\r\nDuration=160`,
      };
      await session.info({ requestOptions: { body } });
    },
  };
  sessions.set(call, session);
  return call;
}
