import { readFileSync } from "node:fs";
import { scan } from "../../../src/sip/message/scan.ts";
import { SipView } from "../../../src/sip/message/view.ts";

/** One row of rfc4475.tsv with its file. */
export interface TortureCase {
  readonly file: string;
  readonly section: string;
  readonly kind: "request" | "response";
  /** What a parser must say: "accept", "reject" or "either". */
  readonly parser: string;
  /** Status codes, "-" for silence, "ok" for anything but 400 and server errors. */
  readonly answers: readonly string[];
  readonly bytes: Uint8Array;
}

const torture = new URL("../../torture/", import.meta.url);

export const tortureCases: readonly TortureCase[] = readFileSync(new URL("rfc4475.tsv", torture), "utf8")
  .trimEnd()
  .split("\n")
  .slice(1)
  .map((line) => {
    const [file = "", section = "", , kind = "", parser = "", , , answers = ""] = line.split("\t");
    return {
      file,
      section,
      kind: kind === "response" ? "response" : "request",
      parser,
      answers: answers.split(","),
      bytes: new Uint8Array(readFileSync(new URL(`rfc4475/${file}`, torture))),
    };
  });

export function tortureBytes(file: string): Uint8Array {
  const found = tortureCases.find((one) => one.file === file);
  if (found === undefined) throw new Error(`no ${file}`);
  return found.bytes;
}

/** The messages that the benches use: a 200 and a 401 to REGISTER, and an INVITE. */
export const fieldMessages: readonly Uint8Array[] = ["200.sip", "401.sip", "invite.sip"].map(
  (name) => new Uint8Array(readFileSync(new URL(`../../../bench/messages/${name}`, import.meta.url))),
);

/** Text to bytes, one a character (latin1). */
export function bytesOf(text: string): Uint8Array {
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  return bytes;
}

export function textOf(bytes: Uint8Array): string {
  let text = "";
  for (const byte of bytes) text += String.fromCharCode(byte);
  return text;
}

/** Lines to bytes: CR LF between and after them, then an empty line and the body. */
export function message(lines: readonly string[], body = ""): Uint8Array {
  return bytesOf(`${lines.join("\r\n")}\r\n\r\n${body}`);
}

/** A scanned view of its own. */
export function viewOf(bytes: Uint8Array): SipView {
  const view = new SipView();
  scan(bytes, 0, bytes.length, view);
  return view;
}

export function viewOfLines(lines: readonly string[], body = ""): SipView {
  return viewOf(message(lines, body));
}

/** A plain INVITE with these headers put in place of its own of the same name; "" removes one. */
export function invite(changes: Readonly<Record<string, string>> = {}, body = ""): Uint8Array {
  const headers = new Map<string, string>([
    ["Via", "SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKa1;rport"],
    ["Max-Forwards", "70"],
    ["From", '"Anna" <sip:anna@example.net>;tag=f1'],
    ["To", "<sip:bob@example.com>"],
    ["Call-ID", "c1@192.0.2.1"],
    ["CSeq", "1 INVITE"],
    ["Contact", "<sip:anna@192.0.2.1:5060>"],
    ["Content-Length", String(body.length)],
  ]);
  const { start = "INVITE sip:bob@example.com SIP/2.0", ...rest } = changes;
  for (const [name, value] of Object.entries(rest)) headers.set(name, value);
  const lines = [...headers].filter(([, value]) => value !== "").map(([name, value]) => `${name}: ${value}`);
  return message([start, ...lines], body);
}
