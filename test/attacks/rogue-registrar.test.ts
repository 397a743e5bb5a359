import { describe, expect, test } from "bun:test";
import type { Behaviour, Heard, Reply } from "../fakes/virtual-registrar.ts";
import { AttackBench, registrarAddress, strangerAddress, victimAddress } from "./attack-bench.ts";

let nonce = 0;
const fresh = (more = ""): string =>
  `WWW-Authenticate: Digest realm="virtual.test", nonce="fresh${nonce++}", qop="auth"${more}`;
const ours = (heard: Heard, expires: number | string): string[] =>
  heard.contacts.map(({ uri }) => `Contact: <${uri}>;expires=${expires}`);
const granted = (heard: Heard, expires: number | string): Reply => ({ status: 200, headers: ours(heard, expires) });

/** Each is a registrar that would have a simple client send without end. `most`: REGISTERs of one account in ten minutes. */
const rogues: readonly { readonly name: string; readonly most: number; readonly answer: Behaviour }[] = [
  { name: "401 for ever, a fresh nonce each time", most: 25, answer: () => ({ status: 401, headers: [fresh()] }) },
  { name: "401 stale for ever", most: 60, answer: () => ({ status: 401, headers: [fresh(", stale=true")] }) },
  { name: "407 for ever", most: 25, answer: () => ({ status: 407, headers: [fresh().replace("WWW-", "Proxy-")] }) },
  {
    name: "401 of another realm each time",
    most: 60,
    answer: () => ({ status: 401, headers: [fresh().replace("virtual.test", `r${nonce}`)] }),
  },
  { name: "401 without a challenge", most: 25, answer: () => ({ status: 401 }) },
  {
    name: "423 that grows each time",
    most: 60,
    answer: (heard) => ({ status: 423, headers: [`Min-Expires: ${(heard.expires ?? 1) * 2}`] }),
  },
  {
    name: "423 with what was asked",
    most: 60,
    answer: (heard) => ({ status: 423, headers: [`Min-Expires: ${heard.expires}`] }),
  },
  { name: "423 without Min-Expires", most: 60, answer: () => ({ status: 423 }) },
  {
    name: "423 beyond all numbers",
    most: 60,
    answer: () => ({ status: 423, headers: ["Min-Expires: 99999999999999999999"] }),
  },
  { name: "expires=1", most: 125, answer: (heard) => granted(heard, 1) },
  { name: "expires=0", most: 60, answer: (heard) => granted(heard, 0) },
  { name: "expires beyond 2**32", most: 3, answer: (heard) => granted(heard, "99999999999999999999") },
  { name: "expires of 2**31 milliseconds and one", most: 3, answer: (heard) => granted(heard, 2_147_484) },
  { name: "negative expires", most: 125, answer: (heard) => granted(heard, "-1") },
  { name: "200 without Contact", most: 60, answer: () => ({ status: 200 }) },
  {
    name: "200 with somebody else's Contacts only",
    most: 60,
    answer: () => ({ status: 200, headers: [`Contact: <sip:u1@${victimAddress}>;expires=600`] }),
  },
  {
    name: "200 with fifty stale Contacts of ours, each time others",
    most: 60,
    answer: (heard) => ({
      status: 200,
      headers: [
        ...ours(heard, 600),
        ...Array.from({ length: 50 }, (_, n) => {
          const uri = heard.contacts[0]?.uri ?? "";
          // Of the same account, with other random digits: what an earlier token of ours looks like.
          return `Contact: <${uri.replace(/(line=.{20}).{3}/, `$1a${String(n + 10).replace(/\d/g, (digit) => "abcdefghij".charAt(Number(digit)))}`)}>;expires=600`;
        }),
      ],
    }),
  },
  {
    name: "302 to itself",
    most: 60,
    answer: () => ({ status: 302, headers: [`Contact: <sip:${registrarAddress}:5060>`] }),
  },
  {
    name: "302 to a host behind the policy",
    most: 60,
    answer: () => ({ status: 302, headers: ["Contact: <sip:metadata.internal>"] }),
  },
  {
    name: "302 with a hundred Contacts",
    most: 60,
    answer: () => ({
      status: 302,
      headers: Array.from({ length: 100 }, (_, n) => `Contact: <sip:nowhere${n}.test>`),
    }),
  },
  { name: "503 with Retry-After: 0", most: 60, answer: () => ({ status: 503, headers: ["Retry-After: 0"] }) },
  { name: "500 for ever", most: 60, answer: () => ({ status: 500 }) },
  { name: "420 for ever", most: 60, answer: () => ({ status: 420, headers: ["Unsupported: path"] }) },
  { name: "100 and nothing else", most: 200, answer: () => ({ status: 100 }) },
];

describe("a registrar that would make us flood, RFC 3261 §8.1.3 and belle-sip 5.0.46", () => {
  for (const { name, most, answer } of rogues) {
    test(`${name}: few REGISTERs, and to nobody else`, () => {
      const bench = new AttackBench({ account: { expiresSec: 60 } });
      bench.locator.refuse("metadata.internal", "egress");
      bench.registrar.behaviour = answer;
      bench.run(600_000);
      const { heard } = bench.registrar;
      expect(heard.length).toBeGreaterThan(0);
      expect(heard.length).toBeLessThanOrEqual(most);
      expect(bench.destinations).toEqual([registrarAddress]);
      expect(bench.faults).toBe(0);
      // Never in a burst: of what is no answer to a challenge, 5 s lie between one and the next (a stale Contact's removal aside).
      for (let n = 4; n < heard.length; n++) {
        expect(heard[n]!.atMs - heard[n - 4]!.atMs).toBeGreaterThanOrEqual(400);
      }
    });
  }

  test("two digests at most in one attempt", () => {
    const bench = new AttackBench({ account: { expiresSec: 60 } });
    bench.registrar.behaviour = () => ({ status: 401, headers: [fresh(", stale=true")] });
    bench.run(4000);
    expect(bench.registrar.heard.filter(({ authorization }) => authorization !== undefined)).toHaveLength(2);
  });

  test("a redirect ring of two registrars is walked once", () => {
    const bench = new AttackBench();
    let asked = 0;
    const second = bench.wire.server({ transport: "udp", address: strangerAddress, port: 5060 }, (bytes, source) => {
      const text = Buffer.from(bytes).toString("latin1");
      asked++;
      const via = /^Via: (.*)\r$/m.exec(text)?.[1] ?? "";
      const value = (header: string): string => new RegExp(`^${header}: (.*)\r$`, "m").exec(text)?.[1] ?? "";
      second.reply(
        source,
        Buffer.from(
          `SIP/2.0 302 Moved\r\nVia: ${via}\r\nFrom: ${value("From")}\r\nTo: ${value("To")};tag=x\r\nCall-ID: ${value("Call-ID")}\r\nCSeq: ${value("CSeq")}\r\nContact: <sip:${registrarAddress}>\r\nContent-Length: 0\r\n\r\n`,
          "latin1",
        ),
      );
    });
    bench.registrar.behaviour = () => ({ status: 302, headers: [`Contact: <sip:${strangerAddress}>`] });
    bench.run(20_000);
    expect(asked).toBe(1);
    bench.run(580_000);
    expect(asked + bench.registrar.heard.length).toBeLessThanOrEqual(60);
  });
});
