import { describe, expect, test } from "bun:test";
import { EgressPolicy, parseNetwork } from "../../src/net/egress.ts";
import { VirtualClock } from "../fakes/virtual-clock.ts";

const noInterfaces = () => [];
const strict = new EgressPolicy({ interfaces: noInterfaces });
const isAllowed = (policy: EgressPolicy, address: string, port = 5060) => policy.verdict(address, port).allowed;

describe("egress policy on resolved addresses", () => {
  test.each([
    "8.8.8.8",
    "198.20.0.1",
    "172.32.0.1",
    "100.128.0.1",
    "2001:4860:4860::8888",
    "2606:4700::1",
    "::ffff:8.8.8.8",
  ])("the public address %p is allowed", (address) => {
    expect(isAllowed(strict, address)).toBe(true);
  });

  test.each([
    "0.0.0.0",
    "0.1.2.3",
    "10.0.0.1",
    "100.64.0.1",
    "127.0.0.1",
    "127.255.255.254",
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.8",
    "192.0.2.1",
    "192.31.196.1",
    "192.52.193.1",
    "192.88.99.1",
    "192.168.1.1",
    "192.175.48.1",
    "198.18.0.1",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.255",
    "240.0.0.1",
    "255.255.255.255",
  ])("the special-purpose IPv4 address %p is denied", (address) => {
    expect(isAllowed(strict, address)).toBe(false);
    expect(isAllowed(strict, `::ffff:${address}`)).toBe(false);
  });

  test.each([
    "::",
    "::1",
    "::127.0.0.1",
    "64:ff9b::8.8.8.8",
    "64:ff9b::7f00:1",
    "64:ff9b:1::1",
    "100::1",
    "2001::1",
    "2001:2::1",
    "2001:20::1",
    "2001:db8::1",
    "2002:808:808::1",
    "2620:4f:8000::1",
    "3fff::1",
    "5f00::1",
    "fc00::1",
    "fd00::2",
    "fe80::1",
    "fec0::1",
    "ff02::1",
    "4000::1",
  ])("the special-purpose IPv6 address %p is denied", (address) => {
    expect(isAllowed(strict, address)).toBe(false);
  });

  test.each(["example.com", "127.1", "0x8080808", "010.8.8.8", "fe80::1%eth0", ""])(
    "%p is denied: it is no numeric address that all read alike",
    (address) => {
      expect(isAllowed(strict, address)).toBe(false);
    },
  );

  test("only SIP's ports, the web's and those from 1024 up", () => {
    for (const port of [80, 443, 1024, 5060, 5061, 65_535]) expect(isAllowed(strict, "8.8.8.8", port)).toBe(true);
    for (const port of [0, 1, 22, 25, 53, 123, 1023, 65_536, -1, 5060.5]) {
      expect(isAllowed(strict, "8.8.8.8", port)).toBe(false);
    }
    const loose = new EgressPolicy({ allow: ["10.0.0.0/8"], interfaces: noInterfaces });
    expect(isAllowed(loose, "10.0.0.1", 22)).toBe(false);
  });

  test("networks that the operator allows are open, their neighbours are not", () => {
    const policy = new EgressPolicy({ allow: ["10.1.0.0/16", "fd00::/64", "192.168.7.7"], interfaces: noInterfaces });
    expect(isAllowed(policy, "10.1.2.3")).toBe(true);
    expect(isAllowed(policy, "::ffff:10.1.2.3")).toBe(true);
    expect(isAllowed(policy, "10.2.0.1")).toBe(false);
    expect(isAllowed(policy, "fd00::9")).toBe(true);
    expect(isAllowed(policy, "fd00:0:0:1::9")).toBe(false);
    expect(isAllowed(policy, "192.168.7.7")).toBe(true);
    expect(isAllowed(policy, "192.168.7.8")).toBe(false);
  });

  test("a translator's prefix that is allowed opens the public internet behind it, not private networks, RFC 6052", () => {
    const policy = new EgressPolicy({ allow: ["64:ff9b::/96", "2002::/16"], interfaces: noInterfaces });
    expect(isAllowed(policy, "64:ff9b::8.8.8.8")).toBe(true);
    expect(isAllowed(policy, "64:ff9b::10.0.0.1")).toBe(false);
    expect(isAllowed(policy, "64:ff9b::127.0.0.1")).toBe(false);
    expect(isAllowed(policy, "2002:a00:1::1")).toBe(false);
    expect(isAllowed(policy, "2002:808:808::1")).toBe(true);
  });

  test("a public address of this machine is denied unless the operator allows it", () => {
    const interfaces = () => ["8.8.4.4"];
    expect(isAllowed(new EgressPolicy({ interfaces }), "8.8.4.4")).toBe(false);
    expect(isAllowed(new EgressPolicy({ interfaces: noInterfaces, own: ["8.8.4.4"] }), "8.8.4.4")).toBe(false);
    expect(isAllowed(new EgressPolicy({ interfaces, allow: ["8.8.4.4/32"] }), "8.8.4.4")).toBe(true);
  });

  test("an address that the machine gets later counts too", () => {
    const clock = new VirtualClock();
    let addresses: string[] = [];
    const policy = new EgressPolicy({ interfaces: () => addresses, clock });
    expect(isAllowed(policy, "8.8.4.4")).toBe(true);
    addresses = ["8.8.4.4"];
    clock.advance(10_000);
    expect(isAllowed(policy, "8.8.4.4")).toBe(false);
  });

  test("our own sockets are denied whatever is allowed", () => {
    const policy = new EgressPolicy({ allow: ["0.0.0.0/0", "::/0"], interfaces: () => ["8.8.4.4"] });
    policy.addListening("127.0.0.1", 5060);
    policy.addListening("0.0.0.0", 5070);
    policy.addListening("::", 5070);
    expect(isAllowed(policy, "127.0.0.1", 5060)).toBe(false);
    expect(isAllowed(policy, "127.0.0.1", 5061)).toBe(true);
    for (const address of ["127.0.0.1", "127.9.9.9", "0.0.0.0", "8.8.4.4", "::ffff:127.0.0.1", "::1", "::"]) {
      expect(isAllowed(policy, address, 5070)).toBe(false);
    }
    expect(isAllowed(policy, "8.8.8.8", 5070)).toBe(true);
  });

  test("what is no network throws: the config has refused it before", () => {
    for (const allow of ["10.0.0.0/33", "10.0.0.0/8/8", "x/8", "10.0.0.0/-1", ""]) {
      expect(() => new EgressPolicy({ allow: [allow] })).toThrow(RangeError);
    }
    expect(parseNetwork("2001:DB8::/32")).toEqual({ address: "2001:db8::", bits: 32 });
  });
});
