export { WakelineDevice, type Enrolment } from "./device.ts";
export { jsSipSocket, type JsSipSocket } from "./jssip-socket.ts";
export { WakelineProblem, type FieldFault } from "./problem.ts";
export { judgeCall, readPush, type CallVerdict } from "./push.ts";
export { sipJsOptions, type SipJsTunnelOptions } from "./sipjs-options.ts";
export type {
  Account,
  CallerName,
  CallState,
  Notify,
  Presence,
  PushAddress,
  PushPayload,
  PushProvider,
  Registration,
  Subscription,
} from "./types.ts";
