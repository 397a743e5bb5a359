import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { type DnsAnswer, type DnsType, SystemDnsClient } from "../../src/net/dns.ts";
import { EgressPolicy } from "../../src/net/egress.ts";
import { DnsLocator } from "../../src/net/locator.ts";
import type { LocateResult } from "../../src/net/network.ts";
import { systemClock } from "../../src/time/clock.ts";
import { systemRandom } from "../../src/time/random.ts";
import { DnsServer } from "../fakes/dns-server.ts";

let server: DnsServer;
let client: SystemDnsClient;

beforeEach(async () => {
  server = await DnsServer.open();
  client = new SystemDnsClient([server.place]);
});

afterEach(() => server.close());

function ask(type: DnsType, name: string, timeoutMs = 3_000, by = client): Promise<DnsAnswer> {
  return new Promise((resolve) => by.query(type, name, timeoutMs, resolve));
}

describe("asking a DNS server", () => {
  test("addresses come canonical and with the shortest time to live", async () => {
    server.set("A a.example", [
      { type: "A", address: "192.0.2.1", ttlSec: 60 },
      { type: "A", address: "192.0.2.2", ttlSec: 30 },
    ]);
    server.set("AAAA a.example", [{ type: "AAAA", address: "2001:db8:0:0::1", ttlSec: 90 }]);
    expect(await ask("A", "a.example")).toEqual({
      kind: "records",
      records: [
        { type: "A", address: "192.0.2.1" },
        { type: "A", address: "192.0.2.2" },
      ],
      ttlSec: 30,
    });
    expect(await ask("AAAA", "a.example")).toEqual({
      kind: "records",
      records: [{ type: "AAAA", address: "2001:db8::1" }],
      ttlSec: 90,
    });
  });

  test("SRV and NAPTR come with names in lower case", async () => {
    server.set("SRV _sip._udp.a.example", [
      { type: "SRV", target: "Sip.A.Example", port: 5070, priority: 1, weight: 2 },
    ]);
    server.set("NAPTR a.example", [
      { type: "NAPTR", order: 5, service: "sip+d2u", replacement: "_sip._udp.A.example", flags: "S" },
    ]);
    expect(await ask("SRV", "_sip._udp.a.example")).toEqual({
      kind: "records",
      records: [{ type: "SRV", target: "sip.a.example", port: 5070, priority: 1, weight: 2 }],
      ttlSec: undefined,
    });
    expect(await ask("NAPTR", "a.example")).toEqual({
      kind: "records",
      records: [
        { type: "NAPTR", order: 5, preference: 0, flags: "s", service: "SIP+D2U", replacement: "_sip._udp.a.example" },
      ],
      ttlSec: undefined,
    });
  });

  test("a name or type that is not there is none; a failure is told as such", async () => {
    server.set("A empty.example", []);
    server.set("A broken.example", { rcode: "SERVFAIL" });
    server.set("SRV refused.example", { rcode: "REFUSED" });
    for (const type of ["A", "AAAA", "SRV", "NAPTR"] as const)
      expect(await ask(type, "no.example")).toEqual({ kind: "none" });
    expect(await ask("A", "empty.example")).toEqual({ kind: "none" });
    expect(await ask("A", "broken.example")).toEqual({
      kind: "failed",
      answered: true,
      text: "A broken.example: ESERVFAIL",
    });
    expect(await ask("SRV", "refused.example")).toMatchObject({ kind: "failed", answered: true });
  });

  test("a server that is silent or not there fails in the time given", async () => {
    server.set("A silent.example", "silent");
    const before = performance.now();
    expect(await ask("A", "silent.example", 100)).toEqual({
      kind: "failed",
      answered: false,
      text: "A silent.example: no answer in time",
    });
    expect(performance.now() - before).toBeLessThan(1_000);
    const { place } = server;
    server.close();
    expect(await ask("A", "a.example", 3_000, new SystemDnsClient([place]))).toMatchObject({
      kind: "failed",
      answered: false,
    });
  });

  test("the second server answers when the first is dead", async () => {
    const dead = await DnsServer.open();
    const { place } = dead;
    dead.close();
    server.set("A a.example", [{ type: "A", address: "192.0.2.1" }]);
    expect(await ask("A", "a.example", 3_000, new SystemDnsClient([place, server.place]))).toMatchObject({
      kind: "records",
    });
  });

  test("an alias is followed, a circle of aliases ends", async () => {
    server.set("A alias.example", [
      { type: "CNAME", target: "a.example" },
      { type: "A", address: "192.0.2.1", name: "a.example" },
    ]);
    server.set("A loop.example", [{ type: "CNAME", target: "loop.example" }]);
    expect(await ask("A", "alias.example")).toMatchObject({ kind: "records", records: [{ address: "192.0.2.1" }] });
    expect((await ask("A", "loop.example")).kind).not.toBe("records");
  });

  test("of an answer with very many records so many are taken and no more", async () => {
    const addresses = Array.from({ length: 140 }, (_, n) => ({ type: "A", address: `192.0.2.${n + 1}` }) as const);
    server.set("A m.example", addresses);
    const answer = await ask("A", "m.example");
    expect(answer.kind === "records" ? answer.records.length : answer).toBe(128);
  });

  test("a whole domain is located over the wire", async () => {
    server.set("NAPTR a.example", [
      { type: "NAPTR", order: 1, service: "SIPS+D2T", replacement: "_sips._tcp.a.example" },
    ]);
    server.set("SRV _sips._tcp.a.example", [{ type: "SRV", target: "edge.a.example", port: 5061 }]);
    server.set("A edge.a.example", [{ type: "A", address: "127.0.0.9" }]);
    const locator = new DnsLocator({
      dns: client,
      egress: new EgressPolicy({ allow: ["127.0.0.0/8"] }),
      clock: systemClock,
      random: systemRandom,
      ipv4: true,
      ipv6: false,
    });
    const locate = () =>
      new Promise<LocateResult>((resolve) =>
        locator.locate({ host: "A.example", port: undefined, transport: "auto" }, resolve),
      );
    const found = {
      ok: true,
      endpoints: [{ transport: "tls", address: "127.0.0.9", port: 5061, serverName: "a.example" }],
    };
    expect(await locate()).toMatchObject(found);
    const { length } = server.asked;
    expect(await locate()).toMatchObject(found);
    expect(server.asked).toHaveLength(length);
  });
});
