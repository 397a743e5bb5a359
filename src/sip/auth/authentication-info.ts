import { latin1 } from "../message/chars.ts";
import { Header } from "../message/header.ts";
import type { SipView } from "../message/view.ts";
import { AuthParam, readAuthParam, skipSeparators, skipToComma } from "./auth-param.ts";
import { nonceBytesMax } from "./limits.ts";

/** Where a nonce stands in a message. Reused by its owner. */
export class NonceRange {
  from = 0;
  to = 0;
}

const param = new AuthParam();
const scratch = new NonceRange();

/**
 * HOT. `nextnonce` of Authentication-Info (RFC 7616 §3.5), or of Proxy-Authentication-Info: the nonce to use from now on, its
 * count starting again at 1. False when there is none, or it is empty or longer than `nonceBytesMax`.
 */
export function readNextNonce(view: SipView, out: NonceRange): boolean {
  let i = view.find(Header.authenticationInfo);
  if (i < 0) i = view.otherNamed("proxy-authentication-info");
  if (i < 0) return false;
  const { bytes } = view;
  const to = view.valueTo(i);
  for (let at = skipSeparators(bytes, view.valueFrom(i), to); at < to; at = skipSeparators(bytes, at, to)) {
    const end = readAuthParam(bytes, at, to, param);
    if (end >= 0 && param.isNamed(bytes, "nextnonce")) {
      out.from = param.valueFrom;
      out.to = param.valueTo;
      return out.from < out.to && param.isSafe(bytes, nonceBytesMax);
    }
    at = end < 0 ? skipToComma(bytes, at, to) : end;
  }
  return false;
}

/** `nextnonce` as text, as between its quotes; undefined when `readNextNonce` finds none. */
export function nextNonce(view: SipView): string | undefined {
  return readNextNonce(view, scratch) ? latin1(view.bytes, scratch.from, scratch.to) : undefined;
}
