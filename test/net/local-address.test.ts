import { describe, expect, test } from "bun:test";
import { LocalAddresses, type LocalAddressesOptions } from "../../src/net/local-address.ts";
import { VirtualClock } from "../fakes/virtual-clock.ts";
import { turnsUntil } from "../fakes/wire-recorder.ts";

/** Routes by table; what is absent has none. */
function setUp(options: Partial<LocalAddressesOptions> = {}, routes: Record<string, string> = {}) {
  const clock = new VirtualClock();
  const asked: string[] = [];
  const noRoute: string[] = [];
  const local = new LocalAddresses({
    clock,
    listen: ["0.0.0.0", "::"],
    advertise: undefined,
    natAddress: undefined,
    onNoRoute: (destination) => noRoute.push(destination),
    findRoute: (address) => {
      asked.push(address);
      return Promise.resolve(routes[address]);
    },
    ...options,
  });
  return { local, clock, asked, noRoute, routes };
}

const turn = () => new Promise<void>((resolve) => void setImmediate(resolve));

describe("the host that we show", () => {
  test("is the route's own, known after a moment and asked for once", async () => {
    const { local, asked } = setUp({}, { "8.8.8.8": "192.0.2.7", "2001:db8::1": "2001:db8::7" });
    expect(local.host("8.8.8.8", false)).toBeUndefined();
    expect(local.host("8.8.8.8", false)).toBeUndefined();
    local.host("2001:db8::1", false);
    await turn();
    expect(local.host("8.8.8.8", false)).toBe("192.0.2.7");
    expect(local.host("2001:db8::1", false)).toBe("[2001:db8::7]");
    expect(asked).toEqual(["8.8.8.8", "2001:db8::1"]);
  });

  test("follows a change of the route within a minute, the old one serving meanwhile", async () => {
    const { local, clock, routes } = setUp({}, { "8.8.8.8": "192.0.2.7" });
    local.host("8.8.8.8", false);
    await turn();
    routes["8.8.8.8"] = "192.0.2.9";
    clock.advance(60_000);
    expect(local.host("8.8.8.8", false)).toBe("192.0.2.7");
    await turn();
    expect(local.host("8.8.8.8", false)).toBe("192.0.2.9");
  });

  test("is told when there is no route, and asked for again later", async () => {
    const { local, clock, asked, noRoute } = setUp();
    local.host("8.8.8.8", false);
    await turn();
    expect(noRoute).toEqual(["8.8.8.8"]);
    expect(local.host("8.8.8.8", false)).toBeUndefined();
    clock.advance(5_000);
    local.host("8.8.8.8", false);
    expect(asked).toHaveLength(2);
  });

  test("is the address we are bound to, where that is one", () => {
    const { local, asked } = setUp({ listen: ["192.0.2.5", "::"] });
    expect(local.host("8.8.8.8", false)).toBe("192.0.2.5");
    expect(asked).toEqual([]);
    local.host("2001:db8::1", false);
    expect(asked).toEqual(["2001:db8::1"]);
  });

  test("is one of those we are bound to, where those are several", async () => {
    const { local } = setUp(
      { listen: ["192.0.2.5", "192.0.2.6"] },
      { "8.8.8.8": "192.0.2.6", "9.9.9.9": "192.0.2.99" },
    );
    local.host("8.8.8.8", false);
    local.host("9.9.9.9", false);
    await turn();
    expect(local.host("8.8.8.8", false)).toBe("192.0.2.6");
    expect(local.host("9.9.9.9", false)).toBe("192.0.2.5");
  });

  test("is what is advertised, a numeric one to its own family only", async () => {
    const routes = { "2001:db8::1": "2001:db8::7" };
    const { local } = setUp({ advertise: "203.0.113.7" }, routes);
    expect(local.host("8.8.8.8", false)).toBe("203.0.113.7");
    local.host("2001:db8::1", false);
    await turn();
    expect(local.host("2001:db8::1", false)).toBe("[2001:db8::7]");
    const named = setUp({ advertise: "push.example.com" });
    expect(named.local.host("8.8.8.8", false)).toBe("push.example.com");
    expect(named.local.host("2001:db8::1", false)).toBe("push.example.com");
    expect(setUp({ advertise: "2001:DB8::7" }).local.host("2001:db8::1", false)).toBe("[2001:db8::7]");
  });

  test("is a private address for an account with NAT emulation", () => {
    expect(setUp({ advertise: "203.0.113.7" }).local.host("8.8.8.8", true)).toBe("192.168.1.20");
    expect(setUp({ natAddress: "10.9.8.7" }).local.host("8.8.8.8", true)).toBe("10.9.8.7");
  });

  test("is what the system says", async () => {
    const clock = new VirtualClock();
    const local = new LocalAddresses({
      clock,
      listen: ["0.0.0.0"],
      advertise: undefined,
      natAddress: undefined,
      onNoRoute: () => {},
    });
    await turnsUntil(() => local.host("127.0.0.1", false) !== undefined);
    expect(local.host("127.0.0.1", false)).toBe("127.0.0.1");
  });
});
