import { latin1 } from "../message/chars.ts";
import { Header } from "../message/header.ts";
import { tagOf } from "../message/read-address.ts";
import { cseqMethodText, readCSeq } from "../message/read-cseq.ts";
import { readVia, Via } from "../message/read-via.ts";
import type { SipView } from "../message/view.ts";

/** RFC 3261 §8.1.1.7: a branch that begins so is unique across all the sender's transactions. */
export const magicCookie = "z9hG4bK";

/** What identifies the server transaction of a request (RFC 3261 §17.2.3). */
export interface ServerKey {
  readonly branch: string;
  /** The branch says nothing; the message's fields do (RFC 2543). */
  readonly legacy: boolean;
  /** Of the transaction, without its method; for a legacy key also without the To tag. */
  readonly base: string;
}

const via = new Via();

/** The key of a request; undefined when its top Via cannot be read. `scope`: keeps the keys of different sources apart. */
export function serverKeyOf(view: SipView, scope: string): ServerKey | undefined {
  const { bytes } = view;
  if (!readVia(view, via)) return undefined;
  const branch = via.branch(bytes);
  const legacy = branch.length <= magicCookie.length || !hasCookie(branch);
  if (!legacy) {
    const sentBy = `${via.host(bytes).toLowerCase()}:${via.port}`;
    return { branch, legacy, base: `${scope}\n${sentBy}\n${branch}` };
  }
  const topVia = latin1(bytes, via.valueFrom, via.valueTo);
  const fromTag = tagOf(view, Header.from) ?? "";
  const callId = view.value(Header.callId) ?? "";
  return {
    branch,
    legacy,
    base: `${scope}\n${view.requestUri()}\n${fromTag}\n${callId}\n${readCSeq(view)}\n${topVia}`,
  };
}

// The cookie is a token, and tokens are compared without case (§7.3.1).
function hasCookie(branch: string): boolean {
  return branch.slice(0, magicCookie.length).toLowerCase() === magicCookie.toLowerCase();
}

/** The key in the table. `method`: of the transaction, so INVITE for an ACK. `toTag` counts for legacy keys alone. */
export function tableKey(key: ServerKey, method: string, toTag: string): string {
  return key.legacy ? `${key.base}\n${method}\n${toTag}` : `${key.base}\n${method}`;
}

/**
 * Equal for requests that are the same request on different paths (§8.2.2.2); undefined within a dialog. The Request-URI is in
 * it: a request forked to two of our accounts is not merged, since each account is a user agent of its own.
 */
export function mergeKeyOf(view: SipView): string | undefined {
  if (tagOf(view, Header.to) !== undefined) return undefined;
  const fromTag = tagOf(view, Header.from);
  if (fromTag === undefined) return undefined;
  return `${view.value(Header.callId) ?? ""}\n${fromTag}\n${readCSeq(view)}\n${cseqMethodText(view)}\n${view.requestUri()}`;
}
