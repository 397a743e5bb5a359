import { beforeEach, describe, expect, test } from "bun:test";
import { EgressPolicy } from "../../src/net/egress.ts";
import { DnsLocator, type DnsLocatorOptions } from "../../src/net/locator.ts";
import type { LocateResult, SipTarget } from "../../src/net/network.ts";
import { a, aaaa, naptr, ScriptedDns, srv } from "../fakes/scripted-dns.ts";
import { SeededRandom, VirtualClock } from "../fakes/virtual-clock.ts";

let dns: ScriptedDns;
let clock: VirtualClock;
let locator: DnsLocator;

function newLocator(options: Partial<DnsLocatorOptions> = {}): DnsLocator {
  return new DnsLocator({
    dns,
    egress: new EgressPolicy({ interfaces: () => [], clock }),
    clock,
    random: new SeededRandom(1),
    ipv4: true,
    ipv6: false,
    hosts: { find: () => undefined },
    ...options,
  });
}

beforeEach(() => {
  dns = new ScriptedDns();
  clock = new VirtualClock();
  locator = newLocator();
});

/** Everything is answered during the call unless the DNS is held. */
function locate(target: Partial<SipTarget>, by = locator): LocateResult {
  let result: LocateResult | undefined;
  by.locate({ host: "example.com", port: undefined, transport: "auto", ...target }, (one) => (result = one));
  if (result === undefined) throw new Error("no result");
  return result;
}

function places(target: Partial<SipTarget>, by = locator): readonly string[] | string {
  const result = locate(target, by);
  if (!result.ok) return result.reason;
  return result.endpoints.map(
    ({ transport, address, port, serverName }) =>
      `${transport} ${address} ${port}${serverName === undefined ? "" : ` ${serverName}`}`,
  );
}

describe("transport and port, RFC 3263 §4.1 and §4.2", () => {
  test("a numeric host is used as it stands, by UDP unless a transport is named", () => {
    expect(places({ host: "8.8.8.8" })).toEqual(["udp 8.8.8.8 5060"]);
    expect(places({ host: "8.8.8.8", port: 5070 })).toEqual(["udp 8.8.8.8 5070"]);
    expect(places({ host: "8.8.8.8", transport: "tcp" })).toEqual(["tcp 8.8.8.8 5060"]);
    expect(places({ host: "8.8.8.8", transport: "tls" })).toEqual(["tls 8.8.8.8 5061 8.8.8.8"]);
    expect(dns.asked).toEqual([]);
  });

  test("a name with a port is looked up for addresses only", () => {
    dns.set("A example.com", [a("8.8.8.1"), a("8.8.8.2")]);
    expect(places({ port: 5070 })).toEqual(["udp 8.8.8.1 5070", "udp 8.8.8.2 5070"]);
    expect(places({ port: 5070, transport: "tls" })).toEqual([
      "tls 8.8.8.1 5070 example.com",
      "tls 8.8.8.2 5070 example.com",
    ]);
    expect(dns.questions).toEqual(["A example.com"]);
  });

  test("NAPTR says which transports and in which order", () => {
    dns.set("NAPTR example.com", [
      naptr(20, "SIP+D2U", "_sip._udp.example.com"),
      naptr(10, "SIPS+D2T", "_sips._tcp.example.com", 2),
      naptr(10, "SIP+D2T", "_sip._tcp.example.com", 1),
      naptr(1, "SIP+D2S", "_sip._sctp.example.com"),
      naptr(1, "E2U+email", "x.example.com"),
    ]);
    dns.set("SRV _sip._udp.example.com", [srv("u.example.com", 5062)]);
    dns.set("SRV _sip._tcp.example.com", [srv("t.example.com", 5063)]);
    dns.set("SRV _sips._tcp.example.com", [srv("s.example.com", 5064)]);
    for (const [n, name] of ["u", "t", "s"].entries()) dns.set(`A ${name}.example.com`, [a(`8.8.8.${n + 1}`)]);
    expect(places({})).toEqual(["tcp 8.8.8.2 5063", "tls 8.8.8.3 5064 example.com", "udp 8.8.8.1 5062"]);
  });

  test("NAPTR may lead to a name elsewhere; the certificate must still be the domain's", () => {
    dns.set("NAPTR example.com", [naptr(1, "SIPS+D2T", "_sips._tcp.provider.net")]);
    dns.set("SRV _sips._tcp.provider.net", [srv("edge.provider.net", 5061)]);
    dns.set("A edge.provider.net", [a("8.8.8.8")]);
    expect(places({})).toEqual(["tls 8.8.8.8 5061 example.com"]);
  });

  test("without NAPTR each transport's SRV is asked, UDP first", () => {
    dns.set("SRV _sips._tcp.example.com", [srv("sip.example.com", 5061)]);
    dns.set("SRV _sip._udp.example.com", [srv("sip.example.com", 5060)]);
    dns.set("A sip.example.com", [a("8.8.8.8")]);
    expect(places({})).toEqual(["udp 8.8.8.8 5060", "tls 8.8.8.8 5061 example.com"]);
  });

  test("a named transport asks its SRV only and never becomes another", () => {
    dns.set("NAPTR example.com", [naptr(1, "SIP+D2U", "_sip._udp.example.com")]);
    dns.set("SRV _sip._udp.example.com", [srv("sip.example.com", 5060)]);
    dns.set("SRV _sips._tcp.example.com", [srv("sip.example.com", 5061)]);
    dns.set("A sip.example.com", [a("8.8.8.8")]);
    expect(places({ transport: "tls" })).toEqual(["tls 8.8.8.8 5061 example.com"]);
    expect(dns.questions).toEqual(["SRV _sips._tcp.example.com", "A sip.example.com"]);
    expect(places({ transport: "tcp" })).toBe("notFound");
  });

  test("without any SRV the name itself is the server, by UDP and then TCP", () => {
    dns.set("A example.com", [a("8.8.8.8")]);
    expect(places({})).toEqual(["udp 8.8.8.8 5060", "tcp 8.8.8.8 5060"]);
    expect(places({ transport: "tls" })).toEqual(["tls 8.8.8.8 5061 example.com"]);
  });

  test("servers come by priority, each with all its addresses", () => {
    dns.set("SRV _sip._udp.example.com", [srv("b.example.com", 5070, 2), srv("a.example.com", 5060, 1)]);
    dns.set("A a.example.com", [a("8.8.8.1"), a("8.8.8.2")]);
    dns.set("A b.example.com", [a("8.8.8.3")]);
    expect(places({ transport: "udp" })).toEqual(["udp 8.8.8.1 5060", "udp 8.8.8.2 5060", "udp 8.8.8.3 5070"]);
  });

  test("a service that is said not to exist is not looked for under the bare name, RFC 2782", () => {
    dns.set("SRV _sip._udp.example.com", [srv("", 5060)]);
    dns.set("A example.com", [a("8.8.8.8")]);
    expect(places({ transport: "udp" })).toBe("notFound");
  });

  test("IPv6 addresses come after IPv4, and only when we have a socket for them", () => {
    dns.set("A example.com", [a("8.8.8.8")]);
    dns.set("AAAA example.com", [aaaa("2001:4860:4860::8888")]);
    expect(places({ port: 5060 })).toEqual(["udp 8.8.8.8 5060"]);
    const both = newLocator({ ipv6: true });
    expect(places({ port: 5060 }, both)).toEqual(["udp 8.8.8.8 5060", "udp 2001:4860:4860::8888 5060"]);
    expect(places({ host: "8.8.8.8" }, newLocator({ ipv4: false, ipv6: true }))).toBe("notFound");
  });

  test("names of the hosts file are not asked for, and have no services", () => {
    const hosts = { find: (name: string) => (name === "pbx.local" ? ["8.8.8.8"] : undefined) };
    const with_ = newLocator({ hosts });
    expect(places({ host: "PBX.local." }, with_)).toEqual(["udp 8.8.8.8 5060", "tcp 8.8.8.8 5060"]);
    expect(dns.asked).toEqual([]);
  });

  test.each(["", "a b", "a..b", "-", "x".repeat(300), "1.2.3", "010.8.8.8"])("%p is no host", (host) => {
    expect(places({ host })).toBe("notFound");
  });
});

describe("what cannot be found", () => {
  test("no address is notFound", () => {
    expect(places({})).toBe("notFound");
  });

  test("a resolver that fails is unavailable", () => {
    dns.fail("A example.com", true);
    expect(places({ port: 5060 })).toBe("unavailable");
    const result = locate({ port: 5060 });
    expect(result.ok ? "" : result.text).toBe("A example.com: failed");
  });

  test("an SRV that nobody answers is unavailable, not the bare name: that may be a web server", () => {
    dns.fail("SRV _sip._udp.example.com");
    dns.set("A example.com", [a("8.8.8.8")]);
    expect(places({ transport: "udp" })).toBe("unavailable");
    expect(places({})).toBe("unavailable");
  });

  test("an SRV that a server refuses to know leaves the bare name", () => {
    dns.fail("SRV _sip._udp.example.com", true);
    dns.fail("NAPTR example.com");
    dns.set("A example.com", [a("8.8.8.8")]);
    expect(places({ transport: "udp" })).toEqual(["udp 8.8.8.8 5060"]);
    expect(places({})).toEqual(["udp 8.8.8.8 5060", "tcp 8.8.8.8 5060"]);
  });

  test("a service that nobody answers for may be there, whatever else is not", () => {
    dns.fail("SRV _sip._udp.example.com");
    dns.set("SRV _sip._tcp.example.com", [srv("gone.example.com", 5060)]);
    expect(places({})).toBe("unavailable");
  });

  test("one dead transport does not hide another", () => {
    dns.fail("SRV _sip._udp.example.com");
    dns.set("SRV _sip._tcp.example.com", [srv("sip.example.com", 5060)]);
    dns.set("A sip.example.com", [a("8.8.8.8")]);
    expect(places({})).toEqual(["tcp 8.8.8.8 5060"]);
  });
});

describe("egress policy at each look-up", () => {
  test("forbidden addresses are left out; only forbidden ones are a refusal", () => {
    dns.set("A example.com", [a("10.0.0.1"), a("8.8.8.8")]);
    expect(places({ port: 5060 })).toEqual(["udp 8.8.8.8 5060"]);
    dns.set("A inside.example.com", [a("127.0.0.1")]);
    expect(places({ host: "inside.example.com", port: 5060 })).toBe("egress");
    expect(places({ host: "192.168.0.1" })).toBe("egress");
    expect(places({ host: "8.8.8.8", port: 22 })).toBe("egress");
  });

  test("an SRV to a forbidden port or address is refused", () => {
    dns.set("SRV _sip._udp.example.com", [srv("a.example.com", 53), srv("b.example.com", 5060)]);
    dns.set("A a.example.com", [a("8.8.8.8")]);
    dns.set("A b.example.com", [a("169.254.169.254")]);
    expect(places({ transport: "udp" })).toBe("egress");
  });

  test("a name that changes its address is judged anew (DNS rebinding)", () => {
    dns.set("A example.com", [a("8.8.8.8")], 5);
    expect(places({ port: 5060 })).toEqual(["udp 8.8.8.8 5060"]);
    dns.set("A example.com", [a("127.0.0.1")], 5);
    clock.advance(5_000);
    expect(places({ port: 5060 })).toBe("egress");
  });
});

describe("bounds of a look-up", () => {
  test("no more than 8 questions, however many names a zone gives", () => {
    dns.set(
      "SRV _sip._udp.example.com",
      Array.from({ length: 100 }, (_, n) => srv(`s${n}.example.com`, 5060, n)),
    );
    for (let n = 0; n < 100; n++) dns.set(`A s${n}.example.com`, [a(`8.8.8.${n}`)]);
    expect(places({})).toHaveLength(4);
    expect(dns.asked).toHaveLength(8);
  });

  test("no more than 32 places", () => {
    dns.set(
      "A example.com",
      Array.from({ length: 100 }, (_, n) => a(`8.8.8.${n}`)),
    );
    expect(places({ port: 5060 })).toHaveLength(32);
  });

  test("services that name each other in a circle end", () => {
    dns.set("NAPTR example.com", [naptr(1, "SIP+D2U", "example.com")]);
    dns.set("SRV example.com", [srv("example.com", 5060)]);
    expect(places({})).toBe("notFound");
    expect(dns.asked.length).toBeLessThanOrEqual(8);
  });

  test("3 s in all: what is asked late gets the time that is left", () => {
    dns.held = true;
    let result: LocateResult | undefined;
    locator.locate({ host: "example.com", port: undefined, transport: "udp" }, (one) => (result = one));
    expect(dns.asked[0]).toMatchObject({ question: "SRV _sip._udp.example.com", timeoutMs: 1_000 });
    clock.advance(900);
    dns.release();
    expect(dns.asked[1]).toMatchObject({ question: "A example.com", timeoutMs: 2_100 });
    expect(result).toBeUndefined();
    dns.release();
    expect(result).toMatchObject({ ok: false, reason: "notFound" });
  });

  test("look-ups of many names at once take turns, and each is answered", () => {
    dns.held = true;
    let answered = 0;
    for (let n = 0; n < 200; n++) {
      dns.set(`A h${n}.example.com`, [a("8.8.8.8")]);
      locator.locate({ host: `h${n}.example.com`, port: 5060, transport: "udp" }, () => answered++);
    }
    expect(dns.asked).toHaveLength(64);
    for (let turns = 0; turns < 4; turns++) dns.release();
    expect(answered).toBe(200);
    expect(dns.asked).toHaveLength(200);
  });
});

describe("what is kept", () => {
  test("answers serve for their time, at least 5 s and at most an hour", () => {
    dns.set("A example.com", [a("8.8.8.8")], 0);
    expect(locate({ port: 5060 })).toMatchObject({ ok: true, ttlSec: 5 });
    clock.advance(4_999);
    locate({ port: 5060 });
    expect(dns.asked).toHaveLength(1);
    dns.set("A example.com", [a("8.8.8.8")], 1_000_000);
    clock.advance(1);
    expect(locate({ port: 5060 })).toMatchObject({ ok: true, ttlSec: 3_600 });
    expect(dns.asked).toHaveLength(2);
    clock.advance(3_599_000);
    expect(locate({ port: 5060 })).toMatchObject({ ok: true, ttlSec: 5 });
    expect(dns.asked).toHaveLength(2);
  });

  test("the shortest time of all answers counts", () => {
    dns.set("SRV _sip._udp.example.com", [srv("sip.example.com", 5060)], "unknown");
    dns.set("A sip.example.com", [a("8.8.8.8")], 3_000);
    expect(locate({ transport: "udp" })).toMatchObject({ ok: true, ttlSec: 60 });
  });

  test("that there is nothing is believed for 30 s, that nobody can tell for 5 s", () => {
    expect(places({ port: 5060 })).toBe("notFound");
    clock.advance(29_999);
    expect(places({ port: 5060 })).toBe("notFound");
    expect(dns.asked).toHaveLength(1);
    clock.advance(1);
    dns.fail("A example.com");
    expect(places({ port: 5060 })).toBe("unavailable");
    clock.advance(4_999);
    expect(places({ port: 5060 })).toBe("unavailable");
    expect(dns.asked).toHaveLength(2);
    clock.advance(1);
    dns.set("A example.com", [a("8.8.8.8")]);
    expect(places({ port: 5060 })).toEqual(["udp 8.8.8.8 5060"]);
  });

  test("what was known serves on while nobody can tell, RFC 8767", () => {
    dns.set("A example.com", [a("8.8.8.8")], 60);
    locate({ port: 5060 });
    dns.fail("A example.com", true);
    clock.advance(60_000);
    expect(locate({ port: 5060 })).toMatchObject({ ok: true, ttlSec: 30 });
    clock.advance(2 * 3_600_000);
    expect(places({ port: 5060 })).toBe("unavailable");
  });

  test("look-ups of one name at the same time ask once", () => {
    dns.held = true;
    dns.set("A example.com", [a("8.8.8.8")]);
    let answered = 0;
    for (let n = 0; n < 10; n++)
      locator.locate({ host: "example.com", port: 5060, transport: "udp" }, () => answered++);
    expect(dns.asked).toHaveLength(1);
    dns.release();
    expect(answered).toBe(10);
  });

  test("the order of servers is drawn for each look-up", () => {
    dns.set("SRV _sip._udp.example.com", [srv("a.example.com", 5060, 1, 50), srv("b.example.com", 5060, 1, 50)]);
    dns.set("A a.example.com", [a("8.8.8.1")]);
    dns.set("A b.example.com", [a("8.8.8.2")]);
    const first = new Set(Array.from({ length: 50 }, () => places({ transport: "udp" })[0]));
    expect(first.size).toBe(2);
    expect(dns.asked).toHaveLength(3);
  });
});
