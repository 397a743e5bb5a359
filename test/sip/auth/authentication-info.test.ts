import { describe, expect, test } from "bun:test";
import { nextNonce } from "../../../src/sip/auth/authentication-info.ts";
import { nonceBytesMax } from "../../../src/sip/auth/limits.ts";
import { answerWith } from "./message.ts";

describe("nextnonce, RFC 7616 §3.5", () => {
  test.each([
    ['Authentication-Info: nextnonce="abc"', "abc"],
    ['authentication-info: qop=auth, rspauth="6629", cnonce="0a",nc=00000001,NextNonce = "a,b=/c"', "a,b=/c"],
    ["Authentication-Info: nextnonce=bare==", "bare=="],
    ['Proxy-Authentication-Info: nextnonce="p"', "p"],
    [`Authentication-Info: nextnonce="${"n".repeat(nonceBytesMax)}"`, "n".repeat(nonceBytesMax)],
  ])("is read from %s", (header, nonce) => {
    expect(nextNonce(answerWith(header))).toBe(nonce);
  });

  test.each([
    "X-Other: nextnonce=1",
    'Authentication-Info: rspauth="nextnonce=1"',
    'Authentication-Info: nextnonce=""',
    `Authentication-Info: nextnonce="${"n".repeat(nonceBytesMax + 1)}"`,
    'Authentication-Info: nextnonce="open',
    "Authentication-Info:",
    'Authentication-Info: , = "x" nextnonce',
  ])("is not found in %s", (header) => {
    expect(nextNonce(answerWith(header))).toBeUndefined();
  });
});
