import { scan, ScanResult } from "../../../src/sip/message/scan.ts";
import { SipView } from "../../../src/sip/message/view.ts";

export interface RequestFields {
  readonly uri?: string;
  readonly branch?: string;
  readonly sentBy?: string;
  readonly fromTag?: string;
  readonly toTag?: string;
  readonly callId?: string;
  readonly cseq?: number;
  readonly headers?: readonly string[];
}

/** A request of Alice's. `branch` "" leaves the parameter out. */
export function request(method: string, fields: RequestFields = {}): string {
  const {
    uri = "sip:bob@192.0.2.1;line=abc",
    branch = "z9hG4bK-1",
    sentBy = "198.51.100.7:5060",
    fromTag = "alice",
    toTag,
    callId = "call-1",
    cseq = 7,
    headers = [],
  } = fields;
  return [
    `${method} ${uri} SIP/2.0`,
    `Via: SIP/2.0/UDP ${sentBy}${branch === "" ? "" : `;branch=${branch}`};rport`,
    "Max-Forwards: 70",
    `From: "Alice" <sip:alice@example.net>;tag=${fromTag}`,
    `To: <sip:bob@example.net>${toTag === undefined ? "" : `;tag=${toTag}`}`,
    `Call-ID: ${callId}`,
    `CSeq: ${cseq} ${method}`,
    "User-Agent: a telephone with a rather long name/1.0",
    ...headers,
    "Content-Length: 0",
    "",
    "",
  ].join("\r\n");
}

/** What a peer answers to a request that we sent. */
export function responseTo(sent: string, status: number, toTag = "bob"): string {
  const lines = sent.split("\r\n");
  const copied = lines.filter((line) => /^(Via|From|To|Call-ID|CSeq):/.test(line));
  return [
    `SIP/2.0 ${status} ${status}`,
    ...copied.map((line) => (line.startsWith("To:") && !line.includes(";tag=") ? `${line};tag=${toTag}` : line)),
    "Content-Length: 0",
    "",
    "",
  ].join("\r\n");
}

export function bytesOf(text: string): Uint8Array {
  return new Uint8Array(Buffer.from(text, "latin1"));
}

export function viewOf(message: string | Uint8Array): SipView {
  const bytes = typeof message === "string" ? bytesOf(message) : message;
  const view = new SipView();
  if (scan(bytes, 0, bytes.length, view) !== ScanResult.ok) throw new Error("the test's own message is malformed");
  return view;
}

export function textOf(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("latin1");
}

/** "INVITE", "200 INVITE", "ACK": enough to know a message in a ladder. */
export function titleOf(message: string | Uint8Array): string {
  const text = typeof message === "string" ? message : textOf(message);
  const start = text.slice(0, text.indexOf(" "));
  return start === "SIP/2.0" ? `${text.slice(8, 11)} ${/CSeq: \d+ (\w+)/.exec(text)?.[1] ?? "?"}` : start;
}
