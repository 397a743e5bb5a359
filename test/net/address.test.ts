import { describe, expect, test } from "bun:test";
import { addressBytes, canonicalAddress, sourceAddress } from "../../src/net/address.ts";

describe("numeric addresses, RFC 5952", () => {
  test("one spelling for each address", () => {
    expect(canonicalAddress("192.0.2.1")).toBe("192.0.2.1");
    expect(canonicalAddress("2001:0DB8::0:1")).toBe("2001:db8::1");
    expect(canonicalAddress("0:0:0:0:0:0:0:1")).toBe("::1");
    expect(canonicalAddress("::ffff:192.0.2.1")).toBe("192.0.2.1");
    expect(canonicalAddress("::ffff:c000:201")).toBe("192.0.2.1");
  });

  test.each([
    "127.1",
    "0x7f000001",
    "2130706433",
    "010.0.0.1",
    "127.0.0.01",
    "fe80::1%eth0",
    "[::1]",
    "example.com",
    "",
  ])("%p is no numeric address", (text) => {
    expect(canonicalAddress(text)).toBeUndefined();
  });

  test("a source on a socket of both families is spelled as IPv4", () => {
    expect(sourceAddress("::ffff:192.0.2.1")).toBe("192.0.2.1");
    expect(sourceAddress("2001:db8::1")).toBe("2001:db8::1");
  });

  test("bytes are in network order", () => {
    expect(addressBytes("192.0.2.1")).toEqual([192, 0, 2, 1]);
    expect(addressBytes("::1")).toEqual([...Array.from({ length: 15 }, () => 0), 1]);
  });
});
