import { describe, expect, spyOn, test } from "bun:test";
import { mutant } from "../fuzz/mutate.ts";
import { Seeded } from "../fuzz/seeded.ts";
import { cpuMs } from "../fakes/cpu-time.ts";
import { SipText } from "../fakes/sip-text.ts";
import { tortureCases } from "../sip/message/corpus.ts";
import { answerTo, AttackBench, host, registrarAddress, strangerAddress, victimAddress } from "./attack-bench.ts";

const methods = [
  "INVITE",
  "OPTIONS",
  "REGISTER",
  "MESSAGE",
  "SUBSCRIBE",
  "NOTIFY",
  "REFER",
  "BYE",
  "CANCEL",
  "ACK",
  "X",
];

/** Requests of somebody who knows nothing but our address, with all that is said to make a server answer elsewhere or more. */
function probes(bench: AttackBench, contact: string): string[] {
  const uris = [
    `sip:100@${host}:5060`,
    `sip:u1@${host}:5060`,
    `sip:u1@virtual.test`,
    `sip:u1@${victimAddress}:5060`,
    `sip:u1@${host}:5060;line=aaaaaaaaaaaaaaaaaaaaaaaaaaaaa`,
    contact,
  ];
  const tricks: readonly (readonly string[])[] = [
    [],
    [`Via: SIP/2.0/UDP ${victimAddress}:5060;branch=z9hG4bKm;maddr=${victimAddress}`],
    [`Via: SIP/2.0/UDP ${victimAddress};branch=z9hG4bKr;received=${victimAddress};rport=5060`],
    [`Route: <sip:${victimAddress};lr>`],
    [`Record-Route: <sip:${victimAddress};lr>`, `Contact: <sip:x@${victimAddress}>`],
    ["Max-Forwards: 0"],
    ["Require: nothing"],
    ["Content-Length: 99"],
    ["CSeq: 1 OTHER"],
    ["To: <sip:u1@virtual.test>;tag=guessed"],
  ];
  const short = (method: string, uri: string): string =>
    `${method} ${uri} SIP/2.0\r\nv:SIP/2.0/UDP a\r\nf:<sip:a>\r\nt:<sip:a>\r\ni:1\r\nCSeq:1 ${method}\r\n\r\n`;
  return [
    // So short that what a UAS has to add makes the answer longer.
    ...methods.flatMap((method) => uris.map((uri) => short(method, uri))),
    ...methods.map((method) => short(method, "a")),
    ...methods.flatMap((method) => uris.flatMap((uri) => tricks.map((lines) => bench.request(method, uri, lines)))),
  ];
}

describe("amplification and reflection, RFC 5393, RFC 3261 §18.2.2", () => {
  test("whatever a stranger sends: at most one answer, never longer, only to where it came from, nobody is woken", () => {
    const bench = new AttackBench();
    const contact = bench.registered();
    let asked = 0;
    for (const text of probes(bench, contact)) {
      bench.sent.length = 0;
      bench.inject(text, strangerAddress, 40_000);
      bench.run(10);
      asked += text.length;
      const toStranger = bench.sentTo(strangerAddress);
      expect(toStranger.length).toBeLessThanOrEqual(1);
      for (const answer of toStranger) expect(answer.text.length).toBeLessThanOrEqual(text.length);
      expect(bench.sentTo(victimAddress)).toEqual([]);
    }
    expect(asked).toBeGreaterThan(100_000);
    // No answer is repeated later, and nothing is left of any of them.
    bench.sent.length = 0;
    bench.run(60_000);
    expect(bench.sentTo(strangerAddress)).toEqual([]);
    expect(bench.core.sizes()).toMatchObject({ transactions: 0, dialogs: 0, inboundCalls: 0, messages: 0 });
    expect(bench.wakes).toBe(0);
    expect(bench.faults).toBe(0);
  });

  test("responses out of the blue, with one Via or two, draw nothing", () => {
    const bench = new AttackBench();
    bench.registered();
    for (const via of [
      `Via: SIP/2.0/UDP ${host}:5060;branch=z9hG4bKguess`,
      `Via: SIP/2.0/UDP ${host}:5060;branch=z9hG4bKguess\r\nVia: SIP/2.0/UDP ${victimAddress};branch=z9hG4bKv`,
    ]) {
      for (const status of [100, 180, 200, 401, 407, 302, 503]) {
        for (const method of ["REGISTER", "INVITE", "BYE"]) {
          bench.inject(
            `SIP/2.0 ${status} X\r\n${via}\r\nFrom: <sip:u1@virtual.test>;tag=a\r\nTo: <sip:u1@virtual.test>;tag=b\r\nCall-ID: c\r\nCSeq: 1 ${method}\r\nContact: <sip:x@${victimAddress}>\r\nWWW-Authenticate: Digest realm="virtual.test", nonce="n"\r\nContent-Length: 0\r\n\r\n`,
            strangerAddress,
          );
        }
      }
    }
    bench.run(5000);
    expect(bench.sent).toEqual([]);
    expect(bench.count("faultsDatagram")).toBe(0);
  });
});

describe("open relay (ES2020-01, AST-2016-009)", () => {
  test("Route, Request-URI and Record-Route to elsewhere lead nowhere, from the account's own server either", () => {
    const bench = new AttackBench();
    const contact = bench.registered();
    for (const uri of [contact, `sip:u1@${victimAddress}`, `sip:bob@${victimAddress};line=none`]) {
      const lines = [
        `Via: SIP/2.0/UDP ${registrarAddress}:5060;branch=z9hG4bKrelay${uri.length}`,
        `Route: <sip:${victimAddress};lr>`,
        `Record-Route: <sip:${victimAddress};lr>`,
        `Contact: <sip:bob@${victimAddress}>`,
      ];
      bench.inject(bench.request("INVITE", uri, lines, registrarAddress), registrarAddress);
      bench.inject(bench.request("MESSAGE", uri, lines.slice(1), registrarAddress), registrarAddress);
    }
    bench.run(60_000);
    expect(bench.destinations).toEqual([registrarAddress]);
  });

  test("a Service-Route and the phone's own Route to elsewhere do not choose where its requests go (SSRF)", () => {
    const bench = new AttackBench();
    bench.registrar.behaviour = (heard) => ({
      status: 200,
      headers: [
        ...heard.contacts.map(({ uri }) => `Contact: <${uri}>;expires=600`),
        `Service-Route: <sip:${victimAddress};lr>`,
      ],
    });
    bench.run(3000);
    const tunnel = bench.openTunnel();
    for (const method of ["MESSAGE", "INVITE", "OPTIONS", "SUBSCRIBE", "REGISTER"]) {
      const lines = [
        `Via: SIP/2.0/WSS phone.invalid;branch=z9hG4bK${method}`,
        "From: <sip:u1@virtual.test>;tag=p",
        `Route: <sip:${victimAddress};lr>`,
      ];
      bench.frame(tunnel, bench.request(method, `sip:x@${victimAddress}`, lines));
    }
    bench.run(40_000);
    expect(bench.sentTo(registrarAddress).map(({ method }) => method)).toContain("MESSAGE");
    expect(bench.destinations).toEqual([registrarAddress]);
  });
});

/** A call that u1's phone has answered. */
function inCall(): {
  readonly bench: AttackBench;
  readonly contact: string;
  readonly invite: SipText;
  readonly dialog: readonly string[];
} {
  const bench = new AttackBench();
  const contact = bench.registered();
  const tunnel = bench.openTunnel();
  bench.inject(bench.request("INVITE", contact, [], registrarAddress), registrarAddress);
  const invite = bench.frames.find(({ method }) => method === "INVITE");
  if (invite === undefined) throw new Error("no INVITE at the phone");
  bench.frame(tunnel, answerTo(invite, 200, ["Contact: <sip:u1@phone.invalid;transport=ws>"]));
  const answered = bench.sentTo(registrarAddress).find(({ status }) => status === 200);
  if (answered === undefined) throw new Error("no 200 at the server");
  const dialog = [`From: ${answered.get("From")}`, `To: ${answered.get("To")}`, `Call-ID: ${answered.get("Call-ID")}`];
  bench.inject(bench.request("ACK", contact, [...dialog, "CSeq: 1 ACK"], registrarAddress), registrarAddress);
  bench.frames.length = 0;
  bench.sent.length = 0;
  return { bench, contact, invite, dialog };
}

describe("call hijack and spoofed requests in a call (ES2021-07, -08)", () => {
  for (const method of ["BYE", "INVITE", "REFER", "NOTIFY", "INFO", "UPDATE", "MESSAGE", "CANCEL", "ACK"]) {
    test(`${method} with the right Call-ID and tags from a stranger: 481 or silence, and the phone hears nothing`, () => {
      const { bench, contact, dialog } = inCall();
      for (const uri of [contact, `sip:u1@${host}:5060`]) {
        bench.inject(bench.request(method, uri, [...dialog, `CSeq: 1 ${method}`]), strangerAddress);
        bench.inject(bench.request(method, uri, [...dialog, `CSeq: 7 ${method}`]), strangerAddress);
      }
      bench.run(1000);
      expect(bench.frames).toEqual([]);
      for (const answer of bench.sentTo(strangerAddress)) expect(answer.status).toBe(481);
      expect(bench.destinations.filter((to) => to !== strangerAddress)).toEqual([]);
    });
  }

  test("the account's server reaches the phone with the same request", () => {
    const { bench, contact, dialog } = inCall();
    bench.inject(bench.request("BYE", contact, [...dialog, "CSeq: 2 BYE"], registrarAddress), registrarAddress);
    expect(bench.frames.map(({ method }) => method)).toEqual(["BYE"]);
  });

  test("a CANCEL of a ringing call from a stranger, with its branch: the phone rings on", () => {
    const bench = new AttackBench();
    const contact = bench.registered();
    bench.openTunnel();
    const text = bench.request("INVITE", contact, [], registrarAddress);
    bench.inject(text, registrarAddress);
    expect(bench.frames).toHaveLength(1);
    bench.inject(text.replaceAll("INVITE", "CANCEL"), strangerAddress);
    bench.run(1000);
    expect(bench.frames.every(({ method }) => method === "INVITE")).toBeTrue();
  });

  test("a foreign sender without the token cannot reach an account whose server it is not", () => {
    const bench = new AttackBench();
    bench.registered();
    bench.openTunnel();
    for (const method of ["INVITE", "MESSAGE", "NOTIFY"]) {
      bench.inject(bench.request(method, `sip:u1@${host}:5060`), strangerAddress);
      bench.inject(bench.request(method, `sip:u1@virtual.test`), strangerAddress);
    }
    expect(bench.frames).toEqual([]);
    expect(bench.sent).toEqual([]);
    // … whose server reaches it without one.
    bench.inject(bench.request("INVITE", `sip:u1@${host}:5060`, [], registrarAddress), registrarAddress);
    expect(bench.frames.map(({ method }) => method)).toEqual(["INVITE"]);
  });

  test("ten thousand guesses of a line token, each near the true one, wake nobody", () => {
    const bench = new AttackBench();
    const contact = bench.registered();
    const [, line = ""] = /line=([a-z0-9]+)/.exec(contact) ?? [];
    const random = new Seeded(3);
    const letters = "abcdefghijklmnopqrstuvwxyz234567";
    for (let n = 0; n < 10_000; n++) {
      const at = random.below(line.length);
      const guess = line.slice(0, at) + letters[random.below(32)] + line.slice(at + 1);
      if (guess === line) continue;
      bench.inject(bench.request("INVITE", contact.replace(line, guess), [], registrarAddress), registrarAddress);
    }
    expect(bench.wakes).toBe(0);
    expect(bench.core.sizes().transactions).toBe(0);
  });

  test("NOTIFY for a subscription that is not ours lights up no screen", () => {
    const bench = new AttackBench();
    const contact = bench.registered();
    bench.events.length = 0;
    for (const from of [strangerAddress, registrarAddress]) {
      bench.inject(bench.request("NOTIFY", contact, ["Event: presence", "Subscription-State: active"], from), from);
    }
    bench.run(1000);
    expect(bench.events.filter(({ kind }) => kind === "notify")).toEqual([]);
  });
});

describe("malformed messages (CVE-2023-27596 to -28099, CVE-2018-8828, ES2017-01 and the like)", () => {
  test("RFC 4475, from stranger and server: no fault, never more than one answer each", () => {
    const bench = new AttackBench();
    bench.registered();
    for (const from of [strangerAddress, registrarAddress]) {
      for (const { bytes } of tortureCases) {
        bench.sent.length = 0;
        bench.injectBytes(bytes, from);
        expect(bench.sent.length).toBeLessThanOrEqual(1);
      }
    }
    expect(bench.faults).toBe(0);
  });

  test("10,000 mutants, from stranger and server, through the whole shard: no fault, the shard still works", () => {
    const bench = new AttackBench();
    const contact = bench.registered();
    for (let seed = 1; seed <= 10_000; seed++) {
      bench.injectBytes(mutant(new Seeded(seed)), seed % 2 === 0 ? strangerAddress : registrarAddress);
      if (seed % 100 === 0) bench.run(10);
    }
    expect(bench.faults).toBe(0);
    bench.inject(bench.request("INVITE", contact, [], registrarAddress), registrarAddress);
    bench.run(100);
    expect(bench.wakes).toBeGreaterThan(0);
  });
});

describe("memory by flood (ES2021-06, ES2020-02)", () => {
  test("20,000 INVITEs for nobody, and as many answers to nothing, leave nothing behind", () => {
    const bench = new AttackBench();
    bench.registered();
    for (let n = 0; n < 20_000; n++) {
      const from = n % 2 === 0 ? strangerAddress : registrarAddress;
      bench.inject(bench.request("INVITE", `sip:nobody${n}@${host};line=x${n}`, [], from), from);
    }
    expect(bench.core.sizes()).toMatchObject({ transactions: 0, dialogs: 0, inboundCalls: 0, links: 0 });
    expect(bench.sentTo(strangerAddress)).toEqual([]);
  });

  test("INVITEs with a live token from the server: sixteen calls, the rest is refused without state", () => {
    const bench = new AttackBench();
    const contact = bench.registered();
    for (let n = 0; n < 2000; n++) {
      bench.inject(bench.request("INVITE", contact, [], registrarAddress), registrarAddress);
    }
    expect(bench.core.sizes().inboundCalls).toBe(16);
    expect(bench.core.sizes().transactions).toBe(16);
    // One 100 each for those that ring, one 486 for each of the others.
    expect(bench.sentTo(registrarAddress)).toHaveLength(2000);
  });
});

describe("memory by one's own phone and server", () => {
  /** A request of the phone, numbered. */
  const asked = (bench: AttackBench, n: number): string =>
    bench.request("MESSAGE", "sip:bob@far.example", [
      `Via: SIP/2.0/WSS phone.invalid;branch=z9hG4bKphone${n}`,
      "From: <sip:u1@virtual.test>;tag=p",
    ]);

  test("a phone whose requests its server never answers is refused from the 129th on", () => {
    const bench = new AttackBench();
    bench.registered();
    bench.registrar.behaviour = undefined;
    const tunnel = bench.openTunnel();
    for (let n = 0; n < 200; n++) bench.frame(tunnel, asked(bench, n));
    expect(bench.frames.map(({ status }) => status)).toEqual(Array<number>(72).fill(503));
    expect(bench.sentTo(registrarAddress).filter(({ method }) => method === "MESSAGE")).toHaveLength(128);
  });

  test("... and from the ninth on while its server is not resolved", () => {
    const bench = new AttackBench();
    bench.locator.holding = true;
    bench.run(100);
    const tunnel = bench.openTunnel();
    for (let n = 0; n < 20; n++) bench.frame(tunnel, asked(bench, n));
    expect(bench.frames.map(({ status }) => status)).toEqual(Array<number>(12).fill(503));
  });

  test("calls that were cancelled are remembered, and no more than 7,000", () => {
    const bench = new AttackBench();
    const contact = bench.registered();
    for (let n = 0; n < 7_100; n++) {
      const invite = bench.request("INVITE", contact, [], registrarAddress);
      bench.inject(invite, registrarAddress);
      bench.inject(invite.replaceAll("INVITE", "CANCEL"), registrarAddress);
    }
    expect(bench.core.sizes().inboundCalls).toBe(7_000);
    expect(bench.faults).toBe(0);
  });
});

describe("a bug of ours", () => {
  test("costs the message that brings it out, and is counted", () => {
    const bench = new AttackBench();
    const contact = bench.registered();
    spyOn(bench.directory, "account").mockImplementationOnce(() => {
      throw new Error("a bug");
    });
    bench.inject(bench.request("INVITE", contact, [], registrarAddress), registrarAddress);
    expect(bench.faults).toBe(1);
    bench.inject(bench.request("INVITE", contact, [], registrarAddress), registrarAddress);
    expect(bench.wakes).toBe(1);
  });
});

/** Of processor time: one message may hold its shard no longer. */
const stallMsMax = 50;

describe("quadratic time", () => {
  const kinds: Readonly<Record<string, (contact: string) => string>> = {
    "thousands of headers": () => "a: b\r\n".repeat(10_000),
    "a Via of many commas": () => `Via: ${"SIP/2.0/UDP h;branch=z,".repeat(2500)}\r\n`,
    "deep quotes": () => `Contact: ${'"\\"'.repeat(15_000)}\r\n`,
    "a long parameter": () => `Contact: <sip:a@b>;${"p=".repeat(30_000)}\r\n`,
    "many Contacts": () => `Contact: ${"<sip:a@b>,".repeat(6000)}<sip:a@b>\r\n`,
    "many Routes": () => `Route: ${"<sip:a@b;lr>,".repeat(4500)}<sip:a@b;lr>\r\n`,
    "folded lines": () => `Subject: x${"\r\n ".repeat(20_000)}\r\n`,
    "many brackets": () => `Contact: ${"<".repeat(60_000)}\r\n`,
    "white space": () => `Contact: ${" ".repeat(60_000)}\r\n`,
    "many challenges": () => 'WWW-Authenticate: Digest realm="a", nonce="b"\r\n'.repeat(1300),
  };
  for (const [name, lines] of Object.entries(kinds)) {
    test(`60 kB of ${name} cost the shard under 50 ms`, () => {
      const bench = new AttackBench();
      const contact = bench.registered();
      const request = bench
        .request("INVITE", contact, [], registrarAddress)
        .replace("Max-Forwards", `${lines(contact)}Max-Forwards`);
      const answer = answerTo(bench.registrar.heard.map(({ text }) => new SipText(text)).at(-1)!, 401).replace(
        "From:",
        `${lines(contact)}From:`,
      );
      for (const text of [request, answer]) {
        expect(cpuMs(() => bench.inject(text, registrarAddress))).toBeLessThan(stallMsMax);
      }
      expect(bench.faults).toBe(0);
    });
  }
});
