export { WakelineDevice, type DeviceOptions, type Enrolment } from "./device.ts";
export type { CallOptions, Fetch, FetchAnswer } from "./fetch.ts";
export { jsSipSocket, type JsSipSocket } from "./jssip-socket.ts";
export { problemCodes, WakelineProblem, type FieldFault, type ProblemCode } from "./problem.ts";
export { judgeCall, readPush, type CallDecision, type CallVerdict } from "./push.ts";
export { serverFacts, type ServerFacts } from "./server-facts.ts";
export { sipJsOptions, type SipJsTunnelOptions } from "./sipjs-options.ts";
export { sipJsTransport, type SipJsEmitter, type SipJsStates, type SipJsTransport } from "./sipjs-transport.ts";
export { Tunnel, type TunnelEnd, type TunnelOptions, type TunnelState } from "./tunnel.ts";
export type {
  Account,
  AccountChange,
  Caller,
  CallRecord,
  CallState,
  CallStatus,
  Device,
  Notify,
  Presence,
  PushAddress,
  PushPayload,
  PushProvider,
  Registration,
  Subscription,
  TestPush,
} from "./types.ts";
export type { TunnelSocket, TunnelSocketClass } from "./web-socket.ts";
