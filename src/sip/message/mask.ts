import { Header, type HeaderId } from "./header.ts";
import { MessageKind, type SipView } from "./view.ts";

/** Headers that carry digest credentials or what proves them. */
const credentialHeaders: ReadonlySet<HeaderId> = new Set([
  Header.authorization,
  Header.proxyAuthorization,
  Header.authenticationInfo,
]);

/** The start line, secrets masked. */
export function firstLine(view: SipView): string {
  const line =
    view.kind === MessageKind.request
      ? `${view.methodText()} ${view.requestUri()} SIP/2.0`
      : `SIP/2.0 ${view.status} ${view.reason()}`;
  return maskText(line);
}

/**
 * The message for people, one header a line (LF): credentials, URI passwords, line tokens and push tokens become `***`, the
 * body its size and type. Latin1; control characters become spaces.
 */
export function maskMessage(view: SipView): string {
  let out = `${firstLine(view)}\n`;
  for (let i = 0; i < view.headerCount; i++) {
    const text = view.text(i);
    const shown = credentialHeaders.has(view.id(i)) ? maskCredentials(text) : maskText(text);
    out += `${view.name(i)}: ${shown}\n`;
  }
  const bodyBytes = view.bodyTo - view.bodyFrom;
  if (bodyBytes > 0) out += `\n(${bodyBytes} bytes of ${maskText(view.value(Header.contentType) ?? "unknown type")})\n`;
  return out;
}

function maskCredentials(text: string): string {
  const scheme = /^[A-Za-z]+(?= )/.exec(text)?.[0];
  return scheme === undefined ? "***" : `${scheme} ***`;
}

// Each of these is a capability: who has the value can act as its owner.
const secretParams = /([;?&](?:line|pn-prid|pn-param)=)[^;>,?&\s]*/gi;
function maskText(text: string): string {
  return maskPasswords(clean(text).replace(secretParams, "$1***"));
}

/** `sip:name:password@host` to `sip:name:***@host`. By hand: the regular expression for it takes quadratic time. */
function maskPasswords(text: string): string {
  let out = "";
  let copied = 0;
  for (const { index, 0: scheme } of text.matchAll(/sips?:/gi)) {
    const start = index + scheme.length;
    if (start <= copied) continue;
    let colon = -1;
    let at = start;
    for (; at < text.length; at++) {
      const char = text[at]!;
      if (char === ":" && colon < 0) colon = at;
      else if (char === "@" || char === " " || char === "<" || char === ">") break;
    }
    const masked = text[at] === "@" && colon >= 0;
    out += masked ? `${text.slice(copied, colon + 1)}***` : text.slice(copied, at);
    copied = at;
  }
  return out + text.slice(copied);
}

function clean(text: string): string {
  let out = "";
  let from = 0;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code >= 0x20 && code !== 0x7f) continue;
    out += `${text.slice(from, i)} `;
    from = i + 1;
  }
  return out + text.slice(from);
}
