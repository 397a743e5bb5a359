import { describe, expect, test } from "bun:test";
import * as fc from "fast-check";
import { type Challenge, chooseChallenge, chooseChallenges, readChallenges } from "../../../src/sip/auth/challenge.ts";
import { challengesMax, nonceBytesMax, realmBytesMax } from "../../../src/sip/auth/limits.ts";
import { ChallengeView, scanChallenge } from "../../../src/sip/auth/scan-challenge.ts";
import { answerWith, latin1Bytes } from "./message.ts";

function only(header: string): Challenge {
  const found = readChallenges(answerWith(header));
  expect(found).toHaveLength(1);
  return found[0]!;
}

describe("challenges as real servers write them, RFC 7616 §3.3", () => {
  test("Kamailio: qop, no algorithm, no opaque", () => {
    expect(
      only('WWW-Authenticate: Digest realm="lab.test", nonce="Z0W9nGdFvHDf0Q2Cb5qQq1gVVq1x1K1Y", qop="auth"'),
    ).toEqual({
      proxy: false,
      scheme: "Digest",
      realm: "lab.test",
      nonce: "Z0W9nGdFvHDf0Q2Cb5qQq1gVVq1x1K1Y",
      opaque: undefined,
      algorithm: "MD5",
      algorithmGiven: false,
      qop: ["auth"],
      stale: false,
      domain: undefined,
      usable: true,
    });
  });

  test("Asterisk chan_pjsip: no space after commas, opaque, stale", () => {
    const challenge = only(
      'WWW-Authenticate: Digest realm="asterisk",nonce="1763980000/0c1d",opaque="3d2c2f1e",stale=true,algorithm=MD5,qop="auth"',
    );
    expect(challenge).toMatchObject({ nonce: "1763980000/0c1d", opaque: "3d2c2f1e", stale: true, qop: ["auth"] });
    expect(challenge.algorithmGiven).toBe(true);
  });

  test("Asterisk chan_sip: algorithm first and no qop", () => {
    expect(only('WWW-Authenticate: Digest algorithm=MD5, realm="asterisk", nonce="2236e505"')).toMatchObject({
      algorithm: "MD5",
      realm: "asterisk",
      nonce: "2236e505",
      qop: [],
      usable: true,
    });
  });

  test("OpenSIPS: three headers, the strongest first, auth-int before auth", () => {
    const found = readChallenges(
      answerWith(
        'WWW-Authenticate: Digest realm="lab.test", nonce="a1", qop="auth-int,auth", algorithm=SHA-512-256',
        'WWW-Authenticate: Digest realm="lab.test", nonce="a2", qop="auth-int,auth", algorithm=SHA-256',
        'WWW-Authenticate: Digest realm="lab.test", nonce="a3", qop="auth-int,auth", algorithm=MD5',
      ),
    );
    expect(found.map((challenge) => challenge.algorithm)).toEqual(["SHA-512-256", "SHA-256", "MD5"]);
    expect(found[0]!.qop).toEqual(["auth-int", "auth"]);
  });

  test("several challenges joined by commas in one header", () => {
    const found = readChallenges(
      answerWith(
        'WWW-Authenticate: Digest realm="a, b", nonce="n=1", algorithm=SHA-256, qop="auth,auth-int" , Basic realm="a", Digest realm="a", nonce="n2"',
      ),
    );
    expect(found.map(({ scheme, realm, algorithm }) => [scheme, realm, algorithm])).toEqual([
      ["Digest", "a, b", "SHA-256"],
      ["Basic", "a", "MD5"],
      ["Digest", "a", "MD5"],
    ]);
  });

  test("odd case, odd space, bare words where strings belong, strings where bare words belong", () => {
    expect(
      only(
        'www-authenticate: dIGEST  REALM = "r" ,,NONCE=abc/+=, Algorithm="md5-SESS" , QOP=auth,Stale="TRUE" , opaque=xyz',
      ),
    ).toMatchObject({
      realm: "r",
      nonce: "abc/+=",
      algorithm: "MD5-sess",
      qop: ["auth"],
      stale: true,
      opaque: "xyz",
      usable: true,
    });
  });

  test("an unquoted qop list, whose commas look like the challenge's", () => {
    expect(only('WWW-Authenticate: Digest realm="r", qop=auth,auth-int, nonce="n"')).toMatchObject({
      qop: ["auth", "auth-int"],
      nonce: "n",
    });
    expect(only('WWW-Authenticate: Digest realm="r", nonce="n", qop=auth-int, auth')).toMatchObject({
      qop: ["auth-int", "auth"],
    });
  });

  test("no commas between the parameters, folded lines, unknown parameters", () => {
    expect(
      only(
        'WWW-Authenticate: Digest realm="r"\r\n nonce="n"\r\n\tqop="auth", charset=UTF-8, userhash=false, flag, x="1,2"',
      ),
    ).toMatchObject({ realm: "r", nonce: "n", qop: ["auth"], usable: true });
  });

  test("an empty qop is none; an empty opaque is sent back", () => {
    expect(only('WWW-Authenticate: Digest realm="", nonce="n", qop="", opaque=""')).toMatchObject({
      realm: "",
      qop: [],
      opaque: "",
      usable: true,
    });
  });

  test("backslashes stay: peers hash what stands between the quotes", () => {
    expect(only(String.raw`WWW-Authenticate: Digest realm="a\"b\\", nonce="n"`).realm).toBe(String.raw`a\"b\\`);
  });

  test("blanks in a realm", () => {
    expect(only('WWW-Authenticate: Digest realm="My PBX, Inc.", nonce="n"')).toMatchObject({
      realm: "My PBX, Inc.",
      usable: true,
    });
  });

  test("401 before 407, with their kinds", () => {
    const found = readChallenges(
      answerWith(
        'Proxy-Authenticate: Digest realm="p", nonce="1"',
        'WWW-Authenticate: Digest realm="w", nonce="2", domain="sip:w"',
      ),
    );
    expect(found.map(({ proxy, realm, domain }) => [proxy, realm, domain])).toEqual([
      [false, "w", "sip:w"],
      [true, "p", undefined],
    ]);
  });

  test("a parameter given twice counts once, the first", () => {
    const first = 'realm="r1", nonce="n1", opaque="o1", algorithm=SHA-256, qop="auth", domain="d1"';
    const second = 'realm="r2", nonce="n2", opaque="o2", algorithm=MD5, qop="auth-int", domain="d2"';
    expect(only(`WWW-Authenticate: Digest ${first}, ${second}`)).toEqual(only(`WWW-Authenticate: Digest ${first}`));
  });

  test("parameters that only begin like ours are none of ours", () => {
    const ours = 'realm="r", nonce="n"';
    const others = "rspauth=1, nc=2, opaq=3, alg=MD4, q=auth-int, state=true, dom=x, auth=7";
    expect(only(`WWW-Authenticate: Digest ${others}, ${ours}`)).toEqual(only(`WWW-Authenticate: Digest ${ours}`));
  });

  test("a later challenge takes nothing over from the one before it", () => {
    const [, second] = readChallenges(
      answerWith(
        'WWW-Authenticate: Digest realm="r", nonce="n", opaque="o", domain="d", algorithm=SHA-256-sess, qop="auth", stale=true, Digest x=y',
      ),
    );
    expect(second).toEqual({
      proxy: false,
      scheme: "Digest",
      realm: "",
      nonce: "",
      opaque: undefined,
      algorithm: "MD5",
      algorithmGiven: false,
      qop: [],
      stale: false,
      domain: undefined,
      usable: false,
    });
  });

  test("garbage between commas is passed over, its strings as a whole", () => {
    expect(only('WWW-Authenticate: Digest realm="r", @"x, nonce=wrong, ", word, =, nonce="n"')).toMatchObject({
      nonce: "n",
      usable: true,
    });
  });

  test("auth-int alone can be done; an unknown algorithm keeps its name", () => {
    expect(only('WWW-Authenticate: Digest realm="r", nonce="n", qop="auth-int"').usable).toBe(true);
    expect(only('WWW-Authenticate: Digest realm="r", nonce="n", algorithm=AKAv1-MD5').algorithm).toBe("AKAv1-MD5");
  });
});

describe("challenges that are not answered", () => {
  test.each([
    ["Basic", 'WWW-Authenticate: Basic realm="r"'],
    ["no nonce", 'WWW-Authenticate: Digest realm="r"'],
    ["no realm", 'WWW-Authenticate: Digest nonce="n"'],
    ["an unknown algorithm", 'WWW-Authenticate: Digest realm="r", nonce="n", algorithm=AKAv1-MD5'],
    ["no qop of ours", 'WWW-Authenticate: Digest realm="r", nonce="n", qop="auth-conf"'],
    ["a realm beyond its bound", `WWW-Authenticate: Digest realm="${"r".repeat(realmBytesMax + 1)}", nonce="n"`],
    ["a nonce beyond its bound", `WWW-Authenticate: Digest realm="r", nonce="${"n".repeat(nonceBytesMax + 1)}"`],
    ["an opaque beyond its bound", `WWW-Authenticate: Digest realm="r", nonce="n", opaque="${"o".repeat(1025)}"`],
    ["one unsafe value before a safe one", 'WWW-Authenticate: Digest realm="r\u0001", nonce="n", opaque="o"'],
    ["a bare word that would break our quotes", String.raw`WWW-Authenticate: Digest realm="r", nonce=n\ `],
    ["a fold inside a string", 'WWW-Authenticate: Digest realm="r\r\n x", nonce="n"'],
    ["a string that never ends", 'WWW-Authenticate: Digest realm="r", nonce="n'],
    ["nothing", "WWW-Authenticate:"],
    ["garbage", 'WWW-Authenticate: ,,=;"x" @ Digest'],
  ])("%s", (_, header) => {
    expect(chooseChallenge(readChallenges(answerWith(header)))).toBeUndefined();
  });

  test("longest values still are", () => {
    const header = `WWW-Authenticate: Digest realm="${"r".repeat(realmBytesMax)}", nonce="${"n".repeat(nonceBytesMax)}"`;
    expect(only(header).usable).toBe(true);
  });

  test("at most so many are read from one message", () => {
    const many = Array.from({ length: 40 }, (_, i) => `WWW-Authenticate: Digest realm="r${i}", nonce="n"`);
    expect(readChallenges(answerWith(...many))).toHaveLength(challengesMax);
  });
});

describe("choice among challenges, RFC 8760 §2.4 and the pin", () => {
  const offer = (...headers: string[]): Challenge[] =>
    readChallenges(answerWith(...headers.map((header) => `WWW-Authenticate: Digest nonce="n", ${header}`)));
  const all = offer(
    'realm="r", algorithm=MD5',
    'realm="r", algorithm=SHA-256',
    'realm="r", algorithm=SHA-512-256-sess',
    'realm="r", algorithm=SHA-512-256',
  );

  test("the strongest, whatever the order; plain before -sess", () => {
    expect(chooseChallenge(all)!.algorithm).toBe("SHA-512-256");
    expect(chooseChallenge(all.slice(0, 3))!.algorithm).toBe("SHA-512-256-sess");
    expect(chooseChallenge(all.slice(0, 2).toReversed())!.algorithm).toBe("SHA-256");
    expect(chooseChallenge(all.slice(0, 1))!.algorithm).toBe("MD5");
  });

  test("of equals the topmost", () => {
    const equals = readChallenges(
      answerWith(
        'WWW-Authenticate: Digest realm="r", nonce="top"',
        'WWW-Authenticate: Digest realm="r", nonce="below"',
      ),
    );
    expect(chooseChallenge(equals)!.nonce).toBe("top");
  });

  test("of realms of equal strength the topmost", () => {
    expect(chooseChallenge(offer('realm="a"', 'realm="b"'))!.realm).toBe("a");
  });

  test("never below the pin", () => {
    expect(chooseChallenge(all.slice(0, 1), { pinned: "SHA-256" })).toBeUndefined();
    expect(chooseChallenge(all, { pinned: "SHA-256" })!.algorithm).toBe("SHA-512-256");
    expect(chooseChallenge(all.slice(0, 2), { pinned: "SHA-256" })!.algorithm).toBe("SHA-256");
  });

  test("only what the caller accepts: a learned realm, an algorithm with a stored hash", () => {
    const mixed = offer('realm="evil", algorithm=SHA-512-256', 'realm="home", algorithm=MD5');
    expect(chooseChallenge(mixed, { accepts: ({ realm }) => realm === "home" })!.algorithm).toBe("MD5");
    expect(chooseChallenge(mixed, { accepts: () => false })).toBeUndefined();
  });

  test("one for each realm of 401 and of 407, RFC 3261 §22.3", () => {
    const found = readChallenges(
      answerWith(
        'WWW-Authenticate: Digest realm="a", nonce="1"',
        'WWW-Authenticate: Digest realm="a", nonce="2", algorithm=SHA-256',
        'Proxy-Authenticate: Digest realm="a", nonce="3"',
        'Proxy-Authenticate: Digest realm="b", nonce="4"',
      ),
    );
    expect(chooseChallenges(found).map(({ nonce }) => nonce)).toEqual(["2", "3", "4"]);
  });
});

describe("readers of challenges never throw and always move on", () => {
  const pieces = fc.constantFrom(
    "Digest ",
    "digest",
    "Basic ",
    "realm=",
    "nonce=",
    "qop=",
    "algorithm=",
    '"',
    '"r"',
    "auth",
    "auth-int",
    ",",
    " ",
    "=",
    "\\",
    ";",
    "\t",
    "MD5-sess",
    "stale=true",
    "ü",
    "x",
  );
  test("on any mixture of what challenges are made of", () => {
    const view = new ChallengeView();
    fc.assert(
      fc.property(fc.array(fc.oneof(pieces, fc.string({ maxLength: 3 })), { maxLength: 40 }), (parts) => {
        const bytes = latin1Bytes(parts.join(""));
        let at = 0;
        for (let count = 0; ; count++) {
          expect(count).toBeLessThanOrEqual(bytes.length);
          const next = scanChallenge(bytes, at, bytes.length, view);
          if (next < 0) break;
          expect(next).toBeGreaterThan(at);
          expect(next).toBeLessThanOrEqual(bytes.length);
          at = next;
        }
      }),
      { numRuns: 3000 },
    );
  });

  test("and never look behind the end of their header", () => {
    const [view, other] = [new ChallengeView(), new ChallengeView()];
    fc.assert(
      fc.property(fc.array(pieces, { maxLength: 12 }), fc.array(pieces, { maxLength: 4 }), (parts, behind) => {
        const bytes = latin1Bytes(`Digest ${parts.join("")}`);
        const longer = latin1Bytes(`Digest ${parts.join("")}${behind.join("")}`);
        for (let at = 0; at >= 0;) {
          const next = scanChallenge(bytes, at, bytes.length, view);
          expect(scanChallenge(longer, at, bytes.length, other)).toBe(next);
          expect(other).toEqual(view);
          at = next;
        }
      }),
      { numRuns: 2000 },
    );
  });

  test("in linear time", () => {
    const view = new ChallengeView();
    for (const piece of ['a="', 'x="y",', "Digest ", "a, ", "qop=auth,", '"', "\\", '\\"', "a=,"]) {
      const bytes = latin1Bytes(`Digest ${piece.repeat(60_000 / piece.length)}`);
      const from = performance.now();
      for (let at = 0, count = 0; at >= 0 && count < 1e6; count++) at = scanChallenge(bytes, at, bytes.length, view);
      expect(performance.now() - from).toBeLessThan(500);
    }
  });
});
