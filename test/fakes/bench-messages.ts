import { SipText, sipText } from "./sip-text.ts";

/** Host of every phone's Contact: no message to a server may name it outside its body. */
export const phoneHost = "phone.invalid";

/** A response of the callee; `lines` replace what they name. */
export function answerTo(
  request: SipText,
  status: number,
  contact: string,
  tag: string,
  options: { lines?: readonly string[]; body?: string },
): SipText {
  const to = request.get("To");
  const forms =
    status > 100 && status < 300 && ["INVITE", "SUBSCRIBE", "REFER", "UPDATE", "NOTIFY"].includes(request.method);
  const body = options.body ?? (request.method === "INVITE" && status >= 200 && status < 300 ? sdp("answer") : "");
  return new SipText(
    sipText(
      `SIP/2.0 ${status} ${reasons[status] ?? "Whatever"}`,
      replaced(
        [
          ...request.all("Via").map((via) => `Via: ${via}`),
          ...(forms ? request.all("Record-Route").map((route) => `Record-Route: ${route}`) : []),
          `From: ${request.get("From")}`,
          `To: ${to.includes(";tag=") || status === 100 ? to : `${to};tag=${tag}`}`,
          `Call-ID: ${request.get("Call-ID")}`,
          `CSeq: ${request.get("CSeq")}`,
          ...(forms ? [`Contact: <${contact}>`] : []),
          ...(body === "" ? [] : ["Content-Type: application/sdp"]),
        ],
        options.lines ?? [],
      ),
      body,
    ),
  );
}

const reasons: Readonly<Record<number, string>> = {
  100: "Trying",
  180: "Ringing",
  183: "Session Progress",
  200: "OK",
  202: "Accepted",
  302: "Moved Temporarily",
  401: "Unauthorized",
  407: "Proxy Authentication Required",
  480: "Temporarily Unavailable",
  481: "Call/Transaction Does Not Exist",
  486: "Busy Here",
  487: "Request Terminated",
  603: "Decline",
};

/** A body that offers or answers sound. */
export function sdp(who: string): string {
  return `v=0\r\no=${who} 1 1 IN IP4 198.51.100.20\r\ns=-\r\nc=IN IP4 198.51.100.20\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n`;
}

/** `lines` in place of the lines of the same names; `Name:` alone removes. */
export function replaced(base: readonly string[], lines: readonly string[]): string[] {
  const nameOf = (line: string): string => line.slice(0, line.indexOf(":")).toLowerCase();
  const names = new Set(lines.map(nameOf));
  return [...base.filter((line) => !names.has(nameOf(line))), ...lines.filter((line) => !line.endsWith(":"))];
}

/** The next message that came here, which must be this: a status, or a method. */
export function take(inbox: SipText[], expected: number | string, who: string): SipText {
  const message = inbox.shift();
  if (message === undefined) throw new Error(`${who} got nothing instead of ${expected}`);
  const got = message.isResponse ? message.status : message.method;
  if (got !== expected) throw new Error(`${who} got ${got} instead of ${expected}:\n${message.text}`);
  return message;
}

export function mustBeEmpty(inbox: SipText[], who: string): void {
  if (inbox.length > 0) throw new Error(`${who} got more:\n${inbox.map((message) => message.text).join("\n")}`);
}

/** The ACK to a final response of 300 or more, in the INVITE's own transaction (RFC 3261 §17.1.1.3). */
export function ackOf(invite: SipText, response: SipText): string {
  return sipText(`ACK ${invite.uri} SIP/2.0`, [
    `Via: ${invite.get("Via")}`,
    "Max-Forwards: 69",
    `From: ${invite.get("From")}`,
    `To: ${response.get("To")}`,
    `Call-ID: ${invite.get("Call-ID")}`,
    `CSeq: ${invite.cseq} ACK`,
  ]);
}

/** The CANCEL of an INVITE (§9.1), with these Reason values. */
export function cancelOf(invite: SipText, reasons: readonly string[]): string {
  return sipText(`CANCEL ${invite.uri} SIP/2.0`, [
    `Via: ${invite.get("Via")}`,
    "Max-Forwards: 69",
    `From: ${invite.get("From")}`,
    `To: ${invite.get("To")}`,
    `Call-ID: ${invite.get("Call-ID")}`,
    `CSeq: ${invite.cseq} CANCEL`,
    ...reasons.map((reason) => `Reason: ${reason}`),
  ]);
}
