import { SipText, sipText } from "../fakes/sip-text.ts";
import { Inbox } from "./inbox.ts";

let serial = 0;

/** A number that no other call of this run has. */
export function nextSerial(): number {
  return ++serial;
}

/** `lines` in place of the lines of the same names; `Name:` alone removes. */
function replaced(base: readonly string[], lines: readonly string[]): string[] {
  const nameOf = (line: string): string => line.slice(0, line.indexOf(":")).toLowerCase();
  const names = new Set(lines.map(nameOf));
  return [...base.filter((line) => !names.has(nameOf(line))), ...lines.filter((line) => !line.endsWith(":"))];
}

export interface Extra {
  readonly lines?: readonly string[];
  readonly body?: string;
}

export function sdp(who: string): string {
  return `v=0\r\no=${who} 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0 101\r\na=rtpmap:101 telephone-event/8000\r\n`;
}

/** Where messages of one party come from. */
export interface Party {
  /** `UDP 127.0.0.1:5070` */
  readonly sentBy: string;
  readonly contact: string;
}

/** A request outside dialogs. */
export function newRequest(
  party: Party,
  method: string,
  uri: string,
  { from, to }: { readonly from: string; readonly to: string },
  { lines = [], body = method === "INVITE" ? sdp("caller") : "" }: Extra = {},
): SipText {
  const n = nextSerial();
  const base = [
    `Via: SIP/2.0/${party.sentBy};branch=z9hG4bKit${n};rport`,
    "Max-Forwards: 69",
    `From: ${from};tag=from${n}`,
    `To: ${to}`,
    `Call-ID: call-${n}@integration`,
    `CSeq: ${n} ${method}`,
    `Contact: <${party.contact}>`,
    ...(body === "" ? [] : [`Content-Type: ${method === "MESSAGE" ? "text/plain" : "application/sdp"}`]),
  ];
  return new SipText(sipText(`${method} ${uri} SIP/2.0`, replaced(base, lines), body));
}

/** One party's view of a dialog: what its requests carry. */
export interface DialogSide {
  readonly target: string;
  readonly routes: readonly string[];
  readonly from: string;
  readonly to: string;
  readonly callId: string;
}

/** The side of who sent `request` and got `response`. */
export function callerSide(request: SipText, response: SipText): DialogSide {
  return {
    target: response.contactUri,
    routes: response.all("Record-Route").toReversed(),
    from: request.get("From"),
    to: response.get("To"),
    callId: request.get("Call-ID"),
  };
}

/** The side of who got `request` and sent `response`. */
export function calleeSide(request: SipText, response: SipText): DialogSide {
  return {
    target: request.contactUri,
    routes: request.all("Record-Route"),
    from: response.get("To"),
    to: request.get("From"),
    callId: request.get("Call-ID"),
  };
}

export function dialogRequest(
  party: Party,
  method: string,
  side: DialogSide,
  cseq: number,
  { lines = [], body = "" }: Extra = {},
): SipText {
  const base = [
    `Via: SIP/2.0/${party.sentBy};branch=z9hG4bKit${nextSerial()};rport`,
    "Max-Forwards: 69",
    ...side.routes.map((route) => `Route: ${route}`),
    `From: ${side.from}`,
    `To: ${side.to}`,
    `Call-ID: ${side.callId}`,
    `CSeq: ${cseq} ${method}`,
    `Contact: <${party.contact}>`,
    ...(body === "" ? [] : ["Content-Type: application/sdp"]),
  ];
  return new SipText(sipText(`${method} ${side.target} SIP/2.0`, replaced(base, lines), body));
}

/** The answer to a request; `reason` as it may be, nobody reads it. */
export function responseTo(
  party: Party,
  request: SipText,
  status: number,
  tag: string,
  { lines = [], body = request.method === "INVITE" && status === 200 ? sdp("answer") : "" }: Extra = {},
): SipText {
  const to = request.get("To");
  const base = [
    ...request.all("Via").map((via) => `Via: ${via}`),
    ...request.all("Record-Route").map((route) => `Record-Route: ${route}`),
    `From: ${request.get("From")}`,
    `To: ${to.includes(";tag=") || status === 100 ? to : `${to};tag=${tag}`}`,
    `Call-ID: ${request.get("Call-ID")}`,
    `CSeq: ${request.get("CSeq")}`,
    ...(status < 300 ? [`Contact: <${party.contact}>`] : []),
    ...(body === "" ? [] : ["Content-Type: application/sdp"]),
  ];
  return new SipText(sipText(`SIP/2.0 ${status} Whatever`, replaced(base, lines), body));
}

/** CANCEL, or the ACK to a failure: the INVITE's own transaction (RFC 3261 §9.1, §17.1.1.3). */
export function sameTransaction(
  method: "CANCEL" | "ACK",
  invite: SipText,
  to: string,
  lines: readonly string[] = [],
): SipText {
  return new SipText(
    sipText(`${method} ${invite.uri} SIP/2.0`, [
      `Via: ${invite.get("Via")}`,
      "Max-Forwards: 69",
      `From: ${invite.get("From")}`,
      `To: ${to}`,
      `Call-ID: ${invite.get("Call-ID")}`,
      `CSeq: ${invite.cseq} ${method}`,
      ...lines,
    ]),
  );
}

/** A method, or a status and what it answers: `INVITE`, `200 INVITE`. */
function nameOf(message: SipText): string {
  return message.isResponse ? `${message.status} ${message.method}` : message.method;
}

/** SIP messages of one party; those of other calls stay for their tests. */
export class SipInbox {
  readonly #inbox: Inbox<SipText>;
  /** Repetitions of UDP. */
  readonly #seen = new Set<string>();

  constructor(who: string) {
    this.#inbox = new Inbox(who, (message) => `${nameOf(message)} ${message.get("Call-ID")}`);
  }

  push(text: string, mayRepeat: boolean): void {
    if (!mayRepeat && this.#seen.has(text)) return;
    this.#seen.add(text);
    this.#inbox.push(new SipText(text));
  }

  /** What nobody has taken, of one call when it is named. */
  left(callId?: string): string[] {
    return this.#inbox.left
      .filter((label) => callId === undefined || label.endsWith(` ${callId}`))
      .map((label) => label.slice(0, label.lastIndexOf(" ")));
  }

  /** `INVITE`, `200 INVITE`, of this Call-ID when one is given. */
  gets(name: string, callId?: string, withinMs?: number): Promise<SipText> {
    return this.#inbox.next(
      name,
      (message) => nameOf(message) === name && (callId === undefined || message.get("Call-ID") === callId),
      withinMs,
    );
  }
}
