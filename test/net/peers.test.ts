import { describe, expect, test } from "bun:test";
import { noPeer, Peers } from "../../src/net/peers.ts";

describe("interned endpoints", () => {
  test("the same tuple has the same id, however its address is spelled", () => {
    const peers = new Peers();
    const first = peers.intern({ transport: "udp", address: "2001:DB8::1", port: 5060 });
    expect(peers.intern({ transport: "udp", address: "2001:db8:0:0::1", port: 5060 })).toBe(first);
    expect(peers.intern({ transport: "tcp", address: "2001:db8::1", port: 5060 })).not.toBe(first);
    expect(peers.intern({ transport: "udp", address: "2001:db8::1", port: 5061 })).not.toBe(first);
    expect(peers.endpoint(first)).toEqual({ transport: "udp", address: "2001:db8::1", port: 5060 });
    expect(peers.hasAddress("2001:db8::1")).toBe(true);
    expect(peers.hasAddress("2001:db8::2")).toBe(false);
  });

  test("TLS peers of different names are different, for their certificates are", () => {
    const peers = new Peers();
    const endpoint = { transport: "tls", address: "192.0.2.1", port: 5061 } as const;
    const first = peers.intern({ ...endpoint, serverName: "One.example" });
    expect(peers.intern({ ...endpoint, serverName: "one.example" })).toBe(first);
    expect(peers.intern({ ...endpoint, serverName: "two.example" })).not.toBe(first);
  });

  test("a name, and one more than there is room for, is nobody", () => {
    const peers = new Peers(1);
    expect(peers.intern({ transport: "udp", address: "example.com", port: 5060 })).toBe(noPeer);
    expect(peers.intern({ transport: "udp", address: "192.0.2.1", port: 5060 })).not.toBe(noPeer);
    expect(peers.intern({ transport: "udp", address: "192.0.2.2", port: 5060 })).toBe(noPeer);
    expect(peers.endpoint(noPeer).port).toBe(0);
  });
});
