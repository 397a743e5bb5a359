import { fieldMessages, invite, bytesOf, tortureCases } from "../sip/message/corpus.ts";
import { changed } from "./change.ts";
import type { Seeded } from "./seeded.ts";

/** Real messages of the kinds that the product meets, beside RFC 4475. */
export const corpus: readonly Uint8Array[] = [
  ...fieldMessages,
  ...tortureCases.map(({ bytes }) => bytes),
  invite({ Contact: "*", start: "REGISTER sip:example.com SIP/2.0", CSeq: "1 REGISTER", Expires: "0" }),
  invite(
    { "Record-Route": "<sip:a;lr>, <sip:b;lr>", Route: "<sip:c;lr>", "P-Asserted-Identity": '"A" <sip:a@b>, <tel:+1>' },
    "v=0\r\n",
  ),
  bytesOf(
    "SIP/2.0 401 Unauthorized\r\nVia: SIP/2.0/UDP h;branch=z9hG4bKk1;received=[::1];rport=5\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:a@b>;tag=2\r\nCall-ID: c\r\nCSeq: 2 REGISTER\r\n" +
      'WWW-Authenticate: Digest realm="r", nonce="n", algorithm=SHA-512-256, qop="auth-int,auth", stale=true\r\nWWW-Authenticate: Digest realm="r", nonce="m", algorithm=MD5, opaque="o"\r\nProxy-Authenticate: Basic realm="x"\r\nContent-Length: 0\r\n\r\n',
  ),
  bytesOf(
    'SIP/2.0 200 OK\r\nv: SIP/2.0/TLS [2001:db8::1]:5061;branch=z9hG4bKk2\r\nf: <sip:a@b>;tag=1\r\nt: <sip:a@b>;tag=2\r\ni: c\r\nCSeq: 3 REGISTER\r\nm: <sip:a@h;line=x>;expires=60;+sip.instance="<urn:uuid:1>", <sip:b@h>;expires=5\r\nService-Route: <sip:s;lr>\r\nPath: <sip:p;lr>\r\nAuthentication-Info: nextnonce="z"\r\nFlow-Timer: 25\r\nl: 0\r\n\r\n',
  ),
];

/** A message of the corpus, changed one to eight times. Never longer than a datagram. */
export function mutant(random: Seeded): Uint8Array {
  return changed(random.pick(corpus), random, corpus);
}
