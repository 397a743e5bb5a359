import { scan, ScanResult } from "../../../src/sip/message/scan.ts";
import { SipView } from "../../../src/sip/message/view.ts";

/** A scanned 401 with these header lines. */
export function answerWith(...headers: string[]): SipView {
  const text = [
    "SIP/2.0 401 Unauthorized",
    "Via: SIP/2.0/UDP 192.0.2.10:5060;branch=z9hG4bKk1",
    "From: <sip:a@example.net>;tag=1",
    "To: <sip:a@example.net>;tag=2",
    "Call-ID: c",
    "CSeq: 1 REGISTER",
    ...headers,
    "Content-Length: 0",
    "",
    "",
  ].join("\r\n");
  const bytes = new Uint8Array(Buffer.from(text, "latin1"));
  const view = new SipView();
  if (scan(bytes, 0, bytes.length, view) !== ScanResult.ok) throw new Error("the test's own message is malformed");
  return view;
}

export function latin1Bytes(text: string): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  return bytes;
}
