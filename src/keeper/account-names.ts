import type { AccountRecord } from "../base/records.ts";
import { escapeUser } from "../sip/uri.ts";

/** Names that are written in URIs and credentials as they are. */
export const plainName = /^[\w.+-]+$/;

/** Whether two accounts have all in common that a profile is made of. */
export function isAlike(a: AccountRecord, b: AccountRecord): boolean {
  return (
    a.domain === b.domain &&
    a.proxy === b.proxy &&
    a.alternateProxy === b.alternateProxy &&
    a.transport === b.transport &&
    a.expiresSec === b.expiresSec &&
    a.userAgent === b.userAgent &&
    a.natEmulation === b.natEmulation
  );
}

/** The two names of an account's arena entry. */
export function namesOf(record: AccountRecord): readonly [Uint8Array, Uint8Array] {
  const user = escapeUser(record.username);
  // A quote or a backslash must not end the quoted string; control characters are refused at the door.
  // oxlint-disable-next-line no-control-regex
  const digestUser = (record.authUsername ?? record.username).replace(/[\x00-\x1f\x7f]/g, "").replace(/["\\]/g, "\\$&");
  const encoder = new TextEncoder();
  return [encoder.encode(user), digestUser === user ? new Uint8Array(0) : encoder.encode(digestUser)];
}

/** The account's own instance without `<>`; undefined when it has none and ours serves. */
export function instanceOf(record: AccountRecord): Uint8Array | undefined {
  if (record.instanceId === undefined) return undefined;
  // oxlint-disable-next-line no-control-regex
  const bare = record.instanceId.replace(/[\x00-\x20<>"\\\x7f]/g, "");
  if (bare === "") return undefined;
  return new TextEncoder().encode(bare.includes(":") ? bare : `urn:uuid:${bare}`);
}
