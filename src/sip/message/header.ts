import { tokenClass } from "./chars.ts";

/**
 * The headers that something in Wakeline reads or rewrites, and those with a compact form (RFC 3261 §7.3.3 and the IANA
 * registry). Any other header is `other` and passes untouched.
 */
export const Header = {
  other: 0,
  via: 1,
  from: 2,
  to: 3,
  callId: 4,
  cseq: 5,
  contact: 6,
  expires: 7,
  wwwAuthenticate: 8,
  proxyAuthenticate: 9,
  contentLength: 10,
  contentType: 11,
  route: 12,
  recordRoute: 13,
  minExpires: 14,
  retryAfter: 15,
  authorization: 16,
  proxyAuthorization: 17,
  maxForwards: 18,
  allow: 19,
  supported: 20,
  require: 21,
  proxyRequire: 22,
  unsupported: 23,
  event: 24,
  subscriptionState: 25,
  reason: 26,
  rseq: 27,
  rack: 28,
  path: 29,
  serviceRoute: 30,
  authenticationInfo: 31,
  userAgent: 32,
  server: 33,
  date: 34,
  warning: 35,
  pAssertedIdentity: 36,
  flowTimer: 37,
  replaces: 38,
  referTo: 39,
  sessionExpires: 40,
  minSe: 41,
  referredBy: 42,
  accept: 43,
  acceptContact: 44,
  rejectContact: 45,
  requestDisposition: 46,
  allowEvents: 47,
  contentEncoding: 48,
  contentDisposition: 49,
  subject: 50,
  identity: 51,
  identityInfo: 52,
  timestamp: 53,
  privacy: 54,
  pPreferredIdentity: 55,
  remotePartyId: 56,
  pRegistrarError: 57,
  pAssociatedUri: 58,
  sipEtag: 59,
  sipIfMatch: 60,
  alertInfo: 61,
  callInfo: 62,
  organization: 63,
  diversion: 64,
  historyInfo: 65,
  priority: 66,
  join: 67,
  featureCaps: 68,
  securityServer: 69,
  errorInfo: 70,
  inReplyTo: 71,
  mimeVersion: 72,
} as const;
export type HeaderId = (typeof Header)[keyof typeof Header];

/** Canonical name and compact form of each id. */
const forms: readonly (readonly [id: HeaderId, name: string, compact?: string])[] = [
  [Header.via, "Via", "v"],
  [Header.from, "From", "f"],
  [Header.to, "To", "t"],
  [Header.callId, "Call-ID", "i"],
  [Header.cseq, "CSeq"],
  [Header.contact, "Contact", "m"],
  [Header.expires, "Expires"],
  [Header.wwwAuthenticate, "WWW-Authenticate"],
  [Header.proxyAuthenticate, "Proxy-Authenticate"],
  [Header.contentLength, "Content-Length", "l"],
  [Header.contentType, "Content-Type", "c"],
  [Header.route, "Route"],
  [Header.recordRoute, "Record-Route"],
  [Header.minExpires, "Min-Expires"],
  [Header.retryAfter, "Retry-After"],
  [Header.authorization, "Authorization"],
  [Header.proxyAuthorization, "Proxy-Authorization"],
  [Header.maxForwards, "Max-Forwards"],
  [Header.allow, "Allow"],
  [Header.supported, "Supported", "k"],
  [Header.require, "Require"],
  [Header.proxyRequire, "Proxy-Require"],
  [Header.unsupported, "Unsupported"],
  [Header.event, "Event", "o"],
  [Header.subscriptionState, "Subscription-State"],
  [Header.reason, "Reason"],
  [Header.rseq, "RSeq"],
  [Header.rack, "RAck"],
  [Header.path, "Path"],
  [Header.serviceRoute, "Service-Route"],
  [Header.authenticationInfo, "Authentication-Info"],
  [Header.userAgent, "User-Agent"],
  [Header.server, "Server"],
  [Header.date, "Date"],
  [Header.warning, "Warning"],
  [Header.pAssertedIdentity, "P-Asserted-Identity"],
  [Header.flowTimer, "Flow-Timer"],
  [Header.replaces, "Replaces"],
  [Header.referTo, "Refer-To", "r"],
  [Header.sessionExpires, "Session-Expires", "x"],
  [Header.minSe, "Min-SE"],
  [Header.referredBy, "Referred-By", "b"],
  [Header.accept, "Accept"],
  [Header.acceptContact, "Accept-Contact", "a"],
  [Header.rejectContact, "Reject-Contact", "j"],
  [Header.requestDisposition, "Request-Disposition", "d"],
  [Header.allowEvents, "Allow-Events", "u"],
  [Header.contentEncoding, "Content-Encoding", "e"],
  [Header.contentDisposition, "Content-Disposition"],
  [Header.subject, "Subject", "s"],
  [Header.identity, "Identity", "y"],
  [Header.identityInfo, "Identity-Info", "n"],
  [Header.timestamp, "Timestamp"],
  [Header.privacy, "Privacy"],
  [Header.pPreferredIdentity, "P-Preferred-Identity"],
  [Header.remotePartyId, "Remote-Party-ID"],
  [Header.pRegistrarError, "P-Registrar-Error"],
  [Header.pAssociatedUri, "P-Associated-URI"],
  [Header.sipEtag, "SIP-ETag"],
  [Header.sipIfMatch, "SIP-If-Match"],
  [Header.alertInfo, "Alert-Info"],
  [Header.callInfo, "Call-Info"],
  [Header.organization, "Organization"],
  [Header.diversion, "Diversion"],
  [Header.historyInfo, "History-Info"],
  [Header.priority, "Priority"],
  [Header.join, "Join"],
  [Header.featureCaps, "Feature-Caps"],
  [Header.securityServer, "Security-Server"],
  [Header.errorInfo, "Error-Info"],
  [Header.inReplyTo, "In-Reply-To"],
  [Header.mimeVersion, "MIME-Version"],
];

const canonicalNames: string[] = [""];
for (const [id, name] of forms) canonicalNames[id] = name;

/** Canonical long name; "" for `other`. */
export function headerName(id: HeaderId): string {
  return canonicalNames[id] ?? "";
}

// Names hash by length, first and last letter into slots that hold one name each: the multipliers below are searched once
// at start so that no two known names meet. The hash only proposes; a full compare of the name decides, so an unknown name
// that meets a known one is still `other`, and there is no chain for an attacker to lengthen.
const slotBits = 9;
const slotMask = (1 << slotBits) - 1;
const nameBytesMax = 24;
const spellings: { readonly id: HeaderId; readonly lower: string }[] = [];
for (const [id, name, compact] of forms) {
  spellings.push({ id, lower: name.toLowerCase() });
  if (compact !== undefined) spellings.push({ id, lower: compact });
}
const slotLength = new Uint8Array(1 << slotBits);
const slotId = new Uint8Array(1 << slotBits);
const slotName = new Uint8Array((1 << slotBits) * nameBytesMax);

function findMultipliers(): readonly [number, number, number] {
  const taken = new Uint8Array(1 << slotBits);
  for (let a = 1; a < 128; a++) {
    for (let b = 1; b < 128; b++) {
      for (let c = 1; c < 128; c++) {
        taken.fill(0);
        const alone = ({ lower }: { readonly lower: string }): boolean => {
          const slot = slotOf(lower, a, b, c);
          const free = taken[slot] === 0;
          taken[slot] = 1;
          return free;
        };
        if (spellings.every(alone)) return [a, b, c];
      }
    }
  }
  throw new Error("no perfect hash for the header names: raise slotBits");
}

function slotOf(lower: string, a: number, b: number, c: number): number {
  return (lower.length * a + lower.charCodeAt(0) * b + lower.charCodeAt(lower.length - 1) * c) & slotMask;
}

const [lengthFactor, firstFactor, lastFactor] = findMultipliers();
for (const { id, lower } of spellings) {
  const slot = slotOf(lower, lengthFactor, firstFactor, lastFactor);
  slotLength[slot] = lower.length;
  slotId[slot] = id;
  for (let i = 0; i < lower.length; i++) slotName[slot * nameBytesMax + i] = lower.charCodeAt(i);
}

/**
 * HOT. The id of the header name bytes[from, to), long or compact, in any case. The bytes must be token characters and at
 * least one: among those `| 32` folds letters only, so the compare is exact.
 */
export function classifyHeader(bytes: Uint8Array, from: number, to: number): HeaderId {
  const length = to - from;
  const slot =
    (length * lengthFactor + (bytes[from]! | 32) * firstFactor + (bytes[to - 1]! | 32) * lastFactor) & slotMask;
  if (slotLength[slot] !== length) return Header.other;
  const name = slot * nameBytesMax;
  for (let i = 0; i < length; i++) if ((bytes[from + i]! | 32) !== slotName[name + i]) return Header.other;
  return slotId[slot] as HeaderId;
}

/** The id of a header name given as text; `other` for unknown and ill-formed ones. */
export function headerIdOf(name: string): HeaderId {
  const bytes = new Uint8Array(name.length);
  for (let i = 0; i < name.length; i++) {
    const code = name.charCodeAt(i);
    if (code > 0xff || tokenClass[code] !== 1) return Header.other;
    bytes[i] = code;
  }
  return name.length === 0 ? Header.other : classifyHeader(bytes, 0, bytes.length);
}
