import { describe, expect, test } from "bun:test";
import type { AccountId, CallUuid, DeviceId, SubscriptionId, TunnelId } from "../../src/base/ids.ts";
import { EdgeBench, RawSocket, type Phone } from "./edge-bench.ts";

const invite = "INVITE sip:alice@192.0.2.9 SIP/2.0\r\nCall-ID: c1@x\r\nContent-Length: 0\r\n\r\n";
const callUuid = "0192d1c8-1111-7000-8000-000000000001" as CallUuid;

/** A phone's end of a tunnel: what it got and how it ended. */
class Tunnel {
  readonly socket: WebSocket;
  readonly got: (string | Uint8Array)[] = [];
  readonly closed: Promise<{ readonly code: number; readonly reason: string }>;
  readonly opened: Promise<void>;
  #waiting: (() => void)[] = [];

  constructor(
    bench: EdgeBench,
    query = "",
    headers: Record<string, string> = {},
    protocols: string | string[] = "sip",
  ) {
    const url = `ws://127.0.0.1:${bench.edge.publicPort}/v1/tunnel${query}`;
    this.socket = new WebSocket(url, { protocols, headers } as unknown as string[]);
    this.socket.binaryType = "arraybuffer";
    this.socket.addEventListener("message", ({ data }) => {
      this.got.push(typeof data === "string" ? data : new Uint8Array(data as ArrayBuffer));
      for (const resolve of this.#waiting.splice(0)) resolve();
    });
    this.closed = new Promise((resolve) => {
      this.socket.addEventListener("close", ({ code, reason }) => resolve({ code, reason }));
    });
    this.opened = new Promise((resolve, reject) => {
      this.socket.addEventListener("open", () => resolve());
      this.socket.addEventListener("error", () => reject(new Error("the tunnel did not open")));
    });
  }

  async until(holds: () => boolean): Promise<void> {
    while (!holds()) await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }
}

async function openTunnel(bench: EdgeBench, phone: Phone, query?: string): Promise<Tunnel> {
  const tunnel =
    query === undefined ? new Tunnel(bench, "", { authorization: `Bearer ${phone.token}` }) : new Tunnel(bench, query);
  await tunnel.opened;
  return tunnel;
}

/** Wakes a phone for a call; returns the ticket of its push. */
function wake(bench: EdgeBench, phone: Phone, deadlineMs = bench.clock.wallMs() + 40_000, call = callUuid): string {
  const [accountId] = bench.store.accountRecords.keys();
  const [subscriptionId] = bench.store.subscriptions.keys();
  bench.edge.dispatcher.onEvent({
    kind: "wake",
    call,
    callId: "c1@x",
    accountId: (accountId ?? "") as AccountId,
    targets: [{ deviceId: phone.deviceId as DeviceId, subscriptionId: (subscriptionId ?? "") as SubscriptionId }],
    from: { uri: "sip:bob@example.com", name: "Bob" },
    receivedAtMs: bench.clock.wallMs(),
    deadlineMs,
  });
  const url = bench.gateway.pushes.at(-1)?.payload.tunnel ?? "";
  return new URL(url).searchParams.get("ticket") ?? "";
}

const key = "dGhlIHNhbXBsZSBub25jZQ==";

/** A handshake as bytes. */
function handshake(path: string, headers: Record<string, string> = {}): string {
  const all: Record<string, string> = {
    Host: "push.example.com",
    Upgrade: "websocket",
    Connection: "Upgrade",
    "Sec-WebSocket-Key": key,
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Protocol": "sip",
    ...headers,
  };
  const lines = Object.entries(all).flatMap(([name, value]) => (value === "" ? [] : [`${name}: ${value}`]));
  return `GET ${path} HTTP/1.1\r\n${lines.join("\r\n")}\r\n\r\n`;
}

/** A client's frame (RFC 6455 §5.2). */
function frame(opcode: number, payload: Uint8Array | string, isMasked = true): Buffer {
  const bytes = Buffer.from(payload as string);
  const mask = Buffer.from([1, 2, 3, 4]);
  const flag = isMasked ? 0x80 : 0;
  const length =
    bytes.length < 126
      ? Buffer.from([flag | bytes.length])
      : bytes.length < 65_536
        ? Buffer.from([flag | 126, bytes.length >> 8, bytes.length & 0xff])
        : Buffer.from([flag | 127, 0, 0, 0, 0, 0, bytes.length >> 16, (bytes.length >> 8) & 0xff, bytes.length & 0xff]);
  const body = isMasked ? bytes.map((byte, n) => byte ^ (mask[n & 3] ?? 0)) : bytes;
  return Buffer.concat([Buffer.from([0x80 | opcode]), length, ...(isMasked ? [mask] : []), Buffer.from(body)]);
}

async function openRaw(bench: EdgeBench, phone: Phone): Promise<RawSocket> {
  const raw = await RawSocket.open(bench.edge.publicPort);
  raw.write(handshake(`/v1/tunnel?token=${phone.token}`));
  expect(await raw.head()).toStartWith("HTTP/1.1 101");
  raw.received = Buffer.alloc(0);
  return raw;
}

/** The close frame's code once it came. */
async function closeCode(raw: RawSocket): Promise<number> {
  await raw.untilClosed();
  const at = raw.received.indexOf(0x88);
  return at < 0 ? 0 : raw.received.readUInt16BE(at + 2);
}

describe("opening the tunnel, RFC 7118 §4", () => {
  test("a device token opens it as bearer or in the URL, and the shards hear of it", async () => {
    await using bench = await EdgeBench.open();
    const phone = await bench.phone();
    await bench.subscribe(phone);
    const [accountId] = bench.store.accountRecords.keys();
    const tunnel = await openTunnel(bench, phone);
    expect(tunnel.socket.protocol).toBe("sip");
    await bench.shards.until(() => bench.shards.told.some((line) => line.startsWith("tunnelOpened")));
    expect(bench.shards.told.at(-1)).toBe(`tunnelOpened 1 ${phone.deviceId} [${accountId}] call=none voip=false`);
    expect(await bench.metric("wakeline_tunnels")).toBe(1);
    tunnel.socket.close();
    await bench.shards.until(() => bench.shards.told.includes("tunnelClosed 1"));
    expect(await bench.metric("wakeline_tunnels")).toBe(0);
    const second = await openTunnel(bench, phone, `?token=${phone.token}`);
    second.socket.close();
    await second.closed;
  });

  test("nothing is 401, a wrong token 401, a foreign ticket 403", async () => {
    await using bench = await EdgeBench.open();
    const statusOf = async (query: string, token?: string) =>
      (await bench.call("GET", `/v1/tunnel${query}`, token)).status;
    expect(await statusOf("")).toBe(401);
    expect(await statusOf("?token=")).toBe(401);
    expect(await statusOf("?token=wrong")).toBe(401);
    expect(await statusOf("", "wrong")).toBe(401);
    expect(await statusOf("?ticket=")).toBe(403);
    expect(await statusOf(`?ticket=${"A".repeat(43)}`)).toBe(403);
    expect(await statusOf(`?ticket=${"A".repeat(10_000)}`)).toBe(403);
  });

  test("with a good token: no upgrade is 426, no subprotocol sip 400, another method 405", async () => {
    await using bench = await EdgeBench.open();
    const phone = await bench.phone();
    const plain = await bench.call("GET", "/v1/tunnel", phone.token);
    expect([plain.status, plain.headers.get("upgrade")]).toEqual([426, "websocket"]);
    expect((await bench.call("POST", "/v1/tunnel", phone.token, {})).status).toBe(405);
    for (const offered of ["", "chat", "sipx"]) {
      const raw = await RawSocket.open(bench.edge.publicPort);
      raw.write(handshake(`/v1/tunnel?token=${phone.token}`, { "Sec-WebSocket-Protocol": offered }));
      expect(await raw.head()).toStartWith("HTTP/1.1 400");
      raw.destroy();
    }
  });

  test("of several subprotocols offered, sip is chosen and echoed once", async () => {
    await using bench = await EdgeBench.open();
    const phone = await bench.phone();
    const raw = await RawSocket.open(bench.edge.publicPort);
    raw.write(handshake(`/v1/tunnel?token=${phone.token}`, { "Sec-WebSocket-Protocol": "msrp, SIP" }));
    const head = await raw.head();
    expect(head).toStartWith("HTTP/1.1 101");
    expect(head.match(/sec-websocket-protocol:.*/gi)).toEqual(["Sec-WebSocket-Protocol: sip"]);
    raw.destroy();
  });

  test.each(["a", "ab", "[::1]:8080", "push.example.com"])("Host %s is as good as any other", async (host) => {
    await using bench = await EdgeBench.open();
    const phone = await bench.phone();
    const raw = await RawSocket.open(bench.edge.publicPort);
    raw.write(handshake(`/v1/tunnel?token=${phone.token}`, { Host: host }));
    expect(await raw.head()).toStartWith("HTTP/1.1 101");
    raw.destroy();
  });

  test("a page of another origin needs a token like any other: there are no cookies", async () => {
    await using bench = await EdgeBench.open();
    const raw = await RawSocket.open(bench.edge.publicPort);
    raw.write(handshake("/v1/tunnel", { Origin: "https://evil.example", Cookie: "session=1" }));
    const head = await raw.head();
    expect(head).toStartWith("HTTP/1.1 401");
    expect(head.toLowerCase()).not.toContain("set-cookie");
    raw.destroy();
  });

  test("who guesses tickets is slowed down", async () => {
    await using bench = await EdgeBench.open();
    const phone = await bench.phone();
    const ticket = wake(bench, phone);
    const statuses: number[] = [];
    for (let n = 0; n < 102; n++) statuses.push((await bench.call("GET", `/v1/tunnel?ticket=guess-${n}`)).status);
    expect([statuses.filter((status) => status === 403).length, statuses.at(-1)]).toEqual([100, 429]);
    expect((await bench.call("GET", `/v1/tunnel?ticket=${ticket}`)).status).toBe(429);
    // A token is proof of its own: the phone is not locked out by others behind its address.
    expect((await bench.call("GET", "/v1/tunnel", phone.token)).status).toBe(426);
  });

  test("a device that was removed cannot come back, and its open tunnel ends", async () => {
    await using bench = await EdgeBench.open();
    const phone = await bench.phone();
    const tunnel = await openTunnel(bench, phone);
    const ticket = wake(bench, phone);
    await bench.call("DELETE", "/v1/devices/me", phone.token);
    expect((await tunnel.closed).code).toBe(4003);
    expect((await bench.call("GET", `/v1/tunnel?ticket=${ticket}`)).status).toBe(403);
    expect((await bench.call("GET", `/v1/tunnel?token=${phone.token}`)).status).toBe(401);
  });

  test("a subscription that comes while the tunnel is open is served by it", async () => {
    await using bench = await EdgeBench.open();
    const phone = await bench.phone();
    await openTunnel(bench, phone);
    await bench.subscribe(phone);
    const [accountId] = bench.store.accountRecords.keys();
    expect(bench.shards.told.at(-1)).toBe(`tunnelAccounts 1 [${accountId}]`);
    const [id] = bench.store.subscriptions.keys();
    await bench.call("DELETE", `/v1/subscriptions/${id}`, phone.token);
    expect(bench.shards.told.at(-1)).toBe("tunnelAccounts 1 []");
  });
});

describe("tickets", () => {
  test("the ticket of a push opens the tunnel, again and again, until the deadline", async () => {
    await using bench = await EdgeBench.open();
    const phone = await bench.phone();
    await bench.subscribe(phone);
    const ticket = wake(bench, phone);
    expect(Buffer.from(ticket, "base64url").length).toBe(32);
    const first = await openTunnel(bench, phone, `?ticket=${ticket}`);
    await bench.shards.until(() => bench.shards.told.some((line) => line.startsWith("tunnelOpened")));
    expect(bench.shards.told.at(-1)).toEndWith(`call=${callUuid} voip=false`);
    const again = await openTunnel(bench, phone, `?ticket=${ticket}`);
    expect((await first.closed).code).toBe(4001);
    again.socket.close();
    await again.closed;
  });

  test("another device's is 403, whoever brings it; one that is not good is 403 with a good token too", async () => {
    await using bench = await EdgeBench.open();
    const [phone, stranger] = [await bench.phone(), await bench.phone()];
    const ticket = wake(bench, phone);
    const status = async (token?: string) => (await bench.call("GET", `/v1/tunnel?ticket=${ticket}`, token)).status;
    expect(await status(stranger.token)).toBe(403);
    expect(await status("wrong")).toBe(401);
    expect(await status(phone.token)).toBe(426);
    bench.edge.dispatcher.onEvent({ kind: "callState", call: callUuid, state: "cancelled", over: true });
    bench.clock.advance(40_001);
    expect(await status(phone.token)).toBe(403);
  });

  test("when the call is over it is good until the deadline only", async () => {
    await using bench = await EdgeBench.open();
    const phone = await bench.phone();
    const ticket = wake(bench, phone);
    const status = async () => (await bench.call("GET", `/v1/tunnel?ticket=${ticket}`)).status;
    bench.edge.dispatcher.onEvent({ kind: "callState", call: callUuid, state: "cancelled", over: true });
    expect(await status()).toBe(426);
    bench.clock.advance(40_001);
    expect(await status()).toBe(403);
  });

  test("as long as the call lives it is good beyond the deadline, but not for ever", async () => {
    await using bench = await EdgeBench.open();
    const phone = await bench.phone();
    const ticket = wake(bench, phone);
    const status = async () => (await bench.call("GET", `/v1/tunnel?ticket=${ticket}`)).status;
    bench.edge.dispatcher.onEvent({ kind: "callState", call: callUuid, state: "answered", over: false });
    bench.clock.advance(3_600_000);
    expect(await status()).toBe(426);
    bench.clock.advance(12 * 3_600_000);
    expect(await status()).toBe(403);
  });

  test("one of APNs tells the shards that a VoIP push went before, also when the phone comes with its token", async () => {
    await using bench = await EdgeBench.open();
    const phone = await bench.phone({ provider: "apns", token: "a".repeat(64) });
    wake(bench, phone);
    bench.edge.dispatcher.onEvent({ kind: "callState", call: callUuid, state: "cancelled", over: true });
    await openTunnel(bench, phone);
    expect(bench.shards.told.at(-1)).toEndWith(`call=${callUuid} voip=true`);
    await openTunnel(bench, phone);
    expect(bench.shards.told.at(-1)).toEndWith("call=none voip=false");
  });
});

describe("frames, RFC 7118 §5", () => {
  test("a text frame reaches the shards byte for byte", async () => {
    await using bench = await EdgeBench.open();
    const tunnel = await openTunnel(bench, await bench.phone());
    tunnel.socket.send(invite);
    tunnel.socket.send("MESSAGE sip:x SIP/2.0\r\n\r\nÄ€");
    await bench.shards.until(() => bench.shards.frames.length === 2);
    expect(bench.shards.frames[0]).toEqual({ tunnelId: 1 as TunnelId, text: invite });
    expect(Buffer.from(bench.shards.frames[1]?.text ?? "", "latin1").toString("utf8")).toEndWith("Ä€");
  });

  test("a binary frame reaches the shards byte for byte", async () => {
    await using bench = await EdgeBench.open();
    const tunnel = await openTunnel(bench, await bench.phone());
    tunnel.socket.send(new Uint8Array([0x4d, 0x00, 0xff, 0x80, 0x0d]));
    await bench.shards.until(() => bench.shards.frames.length === 1);
    expect(bench.shards.frames[0]?.text).toBe("M\u0000\u00ff\u0080\r");
  });

  test("frames to the phone are text where they are UTF-8, else binary", async () => {
    await using bench = await EdgeBench.open();
    const tunnel = await openTunnel(bench, await bench.phone());
    const id = 1 as TunnelId;
    bench.edge.dispatcher.onEvent({ kind: "frame", tunnelId: id, text: invite });
    bench.edge.sink.frame(id, Buffer.from("Ä€", "utf8").toString("latin1"));
    bench.edge.sink.frame(id, "M\u00ff\u0000");
    bench.edge.sink.frame(99 as TunnelId, "for nobody");
    await tunnel.until(() => tunnel.got.length === 3);
    expect(tunnel.got).toEqual([invite, "Ä€", new Uint8Array([0x4d, 0xff, 0x00])]);
  });

  test("double CRLF is answered with a single one; single ones and empty frames are nothing", async () => {
    await using bench = await EdgeBench.open();
    const tunnel = await openTunnel(bench, await bench.phone());
    tunnel.socket.send("\r\n");
    tunnel.socket.send("");
    tunnel.socket.send("\r\n\r\n");
    tunnel.socket.send(new TextEncoder().encode("\r\n\r\n"));
    await tunnel.until(() => tunnel.got.length === 2);
    expect(tunnel.got).toEqual(["\r\n", "\r\n"]);
    expect(bench.shards.frames).toEqual([]);
  });

  test("a second tunnel of the device takes over: the first is closed with 4001, other devices' are not", async () => {
    await using bench = await EdgeBench.open();
    const [phone, other] = [await bench.phone(), await bench.phone()];
    const first = await openTunnel(bench, phone);
    await openTunnel(bench, other);
    const second = await openTunnel(bench, phone);
    expect(await first.closed).toMatchObject({ code: 4001 });
    const told = bench.shards.told.map((line) => line.split(" ").slice(0, 2).join(" "));
    expect(told).toEqual(["tunnelOpened 1", "tunnelOpened 2", "tunnelClosed 1", "tunnelOpened 3"]);
    bench.edge.sink.frame(3 as TunnelId, "x");
    await second.until(() => second.got.length === 1);
    expect(await bench.metric("wakeline_tunnels")).toBe(2);
  });

  test("the shards can close one", async () => {
    await using bench = await EdgeBench.open();
    const tunnel = await openTunnel(bench, await bench.phone());
    bench.edge.sink.close(1 as TunnelId, 4000, "enough");
    expect(await tunnel.closed).toEqual({ code: 4000, reason: "enough" });
    expect(bench.shards.told.filter((line) => line === "tunnelClosed 1").length).toBe(1);
  });

  test("a phone that floods frames is closed with 1008", async () => {
    await using bench = await EdgeBench.open();
    const tunnel = await openTunnel(bench, await bench.phone());
    for (let n = 0; n < 1_002; n++) tunnel.socket.send("OPTIONS sip:x SIP/2.0\r\n\r\n");
    expect((await tunnel.closed).code).toBe(1008);
    expect(bench.shards.frames.length).toBe(1_000);
  });

  test.each([
    ["double CRLFs", frame(1, "\r\n\r\n")],
    ["single CRLFs", frame(1, "\r\n")],
    ["empty frames", frame(2, "")],
    ["pings", frame(9, "x".repeat(125))],
  ])("a phone that floods %s is closed too: each is read, and most are answered", async (_what, bytes) => {
    await using bench = await EdgeBench.open();
    const raw = await openRaw(bench, await bench.phone());
    raw.write(Buffer.concat(Array<Buffer>(1_001).fill(bytes)));
    await bench.shards.until(() => bench.shards.told.includes("tunnelClosed 1"));
    expect(bench.shards.frames).toEqual([]);
    raw.destroy();
  });

  test("stopping the server closes tunnels with 1001", async () => {
    const bench = await EdgeBench.open();
    const tunnel = await openTunnel(bench, await bench.phone());
    await bench.edge.stop();
    expect((await tunnel.closed).code).toBe(1001);
  });
});

describe("frames that no client library sends, RFC 6455", () => {
  test.each([
    ["unmasked", frame(1, "OPTIONS", false), 1002],
    ["of 2**63 bytes", Buffer.from([0x81, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4, 0]), 1009],
    ["over 64 KiB", frame(1, "x".repeat(65_537)), 1009],
    ["of a reserved opcode", frame(3, "x"), 1002],
    ["with a reserved bit", Buffer.concat([Buffer.from([0xc1]), frame(1, "x").subarray(1)]), 1002],
    ["text that is not UTF-8", frame(1, Buffer.from([0xff, 0xfe])), 1007],
  ])("%s close the tunnel", async (_what, bytes, code) => {
    await using bench = await EdgeBench.open();
    const raw = await openRaw(bench, await bench.phone());
    raw.write(bytes);
    expect(await closeCode(raw)).toBe(code);
    await bench.shards.until(() => bench.shards.told.includes("tunnelClosed 1"));
    expect(bench.shards.frames).toEqual([]);
  });

  test("64 KiB are taken, also in fragments", async () => {
    await using bench = await EdgeBench.open();
    const raw = await openRaw(bench, await bench.phone());
    raw.write(frame(1, "x".repeat(65_536)));
    const start = frame(1, "OPTIONS ");
    start.writeUInt8(0x01, 0);
    raw.write(start);
    raw.write(frame(0, "sip:x"));
    await bench.shards.until(() => bench.shards.frames.length === 2);
    expect(bench.shards.frames.map(({ text }) => text.length)).toEqual([65_536, 13]);
    raw.destroy();
  });

  test("fragments that grow over 64 KiB close the tunnel", async () => {
    await using bench = await EdgeBench.open();
    const raw = await openRaw(bench, await bench.phone());
    const part = frame(1, "x".repeat(60_000));
    part.writeUInt8(0x01, 0);
    raw.write(part);
    raw.write(frame(0, "x".repeat(10_000)));
    expect(await closeCode(raw)).toBe(1009);
  });
});

describe("keeping the tunnel", () => {
  test("it is pinged every 25 s", async () => {
    await using bench = await EdgeBench.open();
    const raw = await openRaw(bench, await bench.phone());
    const pings = () => raw.received.filter((byte) => byte === 0x89).length;
    bench.clock.advance(24_000);
    bench.edge.tick();
    bench.edge.sink.frame(1 as TunnelId, "x");
    await raw.until(() => raw.text.includes("x"));
    expect(pings()).toBe(0);
    bench.clock.advance(1_000);
    bench.edge.tick();
    bench.edge.tick();
    await raw.until(() => pings() > 0);
    bench.clock.advance(25_000);
    bench.edge.tick();
    await raw.until(() => pings() === 2);
    raw.destroy();
  });

  test("a peer silent for 60 s is closed", async () => {
    await using bench = await EdgeBench.open();
    const raw = await openRaw(bench, await bench.phone());
    bench.clock.advance(59_999);
    bench.edge.tick();
    expect(bench.shards.told).not.toContain("tunnelClosed 1");
    bench.clock.advance(1);
    bench.edge.tick();
    expect(bench.shards.told).toContain("tunnelClosed 1");
    expect(await closeCode(raw)).toBe(4002);
  });

  test.each([
    ["a frame", frame(1, "\r\n")],
    ["a ping", frame(9, "")],
    ["a pong", frame(10, "")],
  ])("%s is a sign of life", async (_what, bytes) => {
    await using bench = await EdgeBench.open();
    const raw = await openRaw(bench, await bench.phone());
    bench.clock.advance(50_000);
    raw.write(bytes);
    // What the server reads after the bytes above: a round trip on another connection.
    for (let n = 0; n < 3; n++) await bench.call("GET", "/.well-known/wakeline.json");
    bench.clock.advance(50_000);
    bench.edge.tick();
    expect(bench.shards.told).not.toContain("tunnelClosed 1");
    raw.destroy();
  });

  test("a phone that does not read is closed with 1013 once a megabyte waits for it", async () => {
    await using bench = await EdgeBench.open();
    const raw = await openRaw(bench, await bench.phone());
    raw.pause();
    const big = "x".repeat(60_000);
    for (let n = 0; n < 400 && !bench.shards.told.includes("tunnelClosed 1"); n++) {
      bench.edge.sink.frame(1 as TunnelId, big);
    }
    expect(bench.shards.told).toContain("tunnelClosed 1");
    expect(await bench.metric("wakeline_tunnels")).toBe(0);
    // It gets what was on the way, then the reason.
    raw.resume();
    await raw.untilClosed();
    expect(raw.received.subarray(-"reads too slowly".length).toString()).toBe("reads too slowly");
    expect(raw.received.readUInt16BE(raw.received.length - "reads too slowly".length - 2)).toBe(1013);
  });

  test("a phone on an open tunnel keeps its lease", async () => {
    await using bench = await EdgeBench.open();
    const phone = await bench.phone();
    const raw = await openRaw(bench, phone);
    for (let minute = 0; minute < 15; minute++) {
      bench.clock.advance(60_000 - 1);
      raw.write(frame(1, "OPTIONS"));
      await bench.shards.until(() => bench.shards.frames.length === minute + 1);
      bench.edge.tick();
    }
    const device = bench.store.device(phone.deviceId as DeviceId);
    expect(device?.lastSeenAtMs).toBeGreaterThan(bench.clock.wallMs() - 600_000);
    raw.destroy();
  });
});
