import { sipText, type SipText } from "../fakes/sip-text.ts";

/** One side of a dialog, as a plain UA keeps it (RFC 3261 §12). */
export interface UaDialog {
  readonly callId: string;
  readonly localTag: string;
  readonly remoteTag: string;
  /** From value of our requests, tag included. */
  readonly local: string;
  readonly remote: string;
  readonly routes: readonly string[];
  target: string;
  cseq: number;
}

export interface ResponseParts {
  readonly tag?: string;
  readonly contact?: string;
  readonly lines?: readonly string[];
  readonly body?: string;
}

const forming: ReadonlySet<string> = new Set(["INVITE", "SUBSCRIBE", "REFER", "UPDATE"]);

export function responseText(request: SipText, status: number, parts: ResponseParts = {}): string {
  const to = request.get("To");
  const withTag = status === 100 || parts.tag === undefined || /;tag=/i.test(to) ? to : `${to};tag=${parts.tag}`;
  const forms = status > 100 && status < 300 && forming.has(request.method);
  const body = parts.body ?? "";
  return sipText(
    `SIP/2.0 ${status} ${reasons[status] ?? "Whatever"}`,
    [
      ...request.all("Via").map((via) => `Via: ${via}`),
      ...(forms ? request.all("Record-Route").map((route) => `Record-Route: ${route}`) : []),
      `From: ${request.get("From")}`,
      `To: ${withTag}`,
      `Call-ID: ${request.get("Call-ID")}`,
      `CSeq: ${request.get("CSeq")}`,
      ...(forms && parts.contact !== undefined ? [`Contact: <${parts.contact}>`] : []),
      ...(parts.lines ?? []),
      ...(body === "" ? [] : ["Content-Type: application/sdp"]),
    ],
    body,
  );
}

/** ACK of a final response of 300 or more (§17.1.1.3). */
export function ackOf(request: SipText, response: SipText): string {
  return sipText(`ACK ${request.uri} SIP/2.0`, [
    `Via: ${request.get("Via")}`,
    "Max-Forwards: 70",
    ...request.all("Route").map((route) => `Route: ${route}`),
    `From: ${request.get("From")}`,
    `To: ${response.get("To")}`,
    `Call-ID: ${request.get("Call-ID")}`,
    `CSeq: ${request.cseq} ACK`,
  ]);
}

export function cancelOf(request: SipText, lines: readonly string[]): string {
  return sipText(`CANCEL ${request.uri} SIP/2.0`, [
    `Via: ${request.get("Via")}`,
    "Max-Forwards: 70",
    ...request.all("Route").map((route) => `Route: ${route}`),
    `From: ${request.get("From")}`,
    `To: ${request.get("To")}`,
    `Call-ID: ${request.get("Call-ID")}`,
    `CSeq: ${request.cseq} CANCEL`,
    ...lines,
  ]);
}

export interface RequestParts {
  readonly via: string;
  readonly contact?: string;
  readonly lines?: readonly string[];
  readonly body?: string;
  /** ACK: that of its INVITE. Otherwise the dialog's next. */
  readonly cseq?: number;
}

export function dialogRequest(dialog: UaDialog, method: string, parts: RequestParts): string {
  const cseq = parts.cseq ?? ++dialog.cseq;
  const body = parts.body ?? "";
  return sipText(
    `${method} ${dialog.target} SIP/2.0`,
    [
      `Via: ${parts.via}`,
      "Max-Forwards: 70",
      ...dialog.routes.map((route) => `Route: ${route}`),
      `From: ${dialog.local}`,
      `To: ${dialog.remote}`,
      `Call-ID: ${dialog.callId}`,
      `CSeq: ${cseq} ${method}`,
      ...(parts.contact === undefined || !forming.has(method) ? [] : [`Contact: <${parts.contact}>`]),
      ...(parts.lines ?? []),
      ...(body === "" ? [] : ["Content-Type: application/sdp"]),
    ],
    body,
  );
}

/** The dialog of a 2xx that we got for `request`, or that we gave with `tag`. */
export function dialogOf(side: "asked" | "served", request: SipText, response: SipText): UaDialog {
  const asked = side === "asked";
  const from = request.get("From");
  const to = response.get("To");
  const routes = response.all("Record-Route");
  const contactOf = asked ? response : request;
  return {
    callId: request.get("Call-ID"),
    localTag: tagIn(asked ? from : to),
    remoteTag: tagIn(asked ? to : from),
    local: asked ? from : to,
    remote: asked ? to : from,
    routes: asked ? routes.toReversed() : request.all("Record-Route"),
    target: contactOf.contactUri,
    cseq: asked ? request.cseq : 0,
  };
}

export function tagIn(value: string): string {
  return /;tag=([^;>\s]*)/i.exec(value)?.[1] ?? "";
}

export function sdpOf(who: string): string {
  return `v=0\r\no=${who} 1 1 IN IP4 203.0.113.5\r\ns=-\r\nc=IN IP4 203.0.113.5\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n`;
}

const reasons: Readonly<Record<number, string>> = {
  100: "Trying",
  180: "Ringing",
  183: "Session Progress",
  200: "OK",
  407: "Proxy Authentication Required",
  480: "Temporarily Unavailable",
  481: "Call/Transaction Does Not Exist",
  486: "Busy Here",
  487: "Request Terminated",
  603: "Decline",
};
