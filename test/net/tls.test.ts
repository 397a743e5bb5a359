import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { EgressPolicy } from "../../src/net/egress.ts";
import type { PeerId } from "../../src/net/network.ts";
import type { NetworkOptions } from "../../src/net/network-live.ts";
import { handshakeMs } from "../../src/net/stream-limits.ts";
import type { Certificate } from "../fakes/certificates.ts";
import { closedAfterEach } from "../fakes/closing.ts";
import { OpensslAuthority } from "../fakes/openssl.ts";
import { connectRaw, RawServer } from "../fakes/raw-stream.ts";
import { openTestNetwork, requestOf, type TestNetwork, turnsUntil } from "../fakes/wire-recorder.ts";

let authority: OpensslAuthority;
let good: Certificate;
const closing = closedAfterEach();
const request = Buffer.from(requestOf(400), "latin1");

beforeAll(async () => {
  authority = new OpensslAuthority();
  good = await authority.issue("DNS:sip.example.com,IP:127.0.0.1");
});

afterAll(() => authority.dispose());

async function open(options: Partial<NetworkOptions> = {}): Promise<TestNetwork> {
  const one = await openTestNetwork({ caFile: authority.caFile, ...options });
  closing.push(() => one.network.close());
  return one;
}

function tlsPeer(from: TestNetwork, port: number, serverName = "sip.example.com"): PeerId {
  return from.network.peer({ transport: "tls", address: "127.0.0.1", port, serverName });
}

/** What becomes of a first send to a server with this certificate: what the server got, or why the peer is down. */
async function outcome(certificate: Certificate, serverName?: string): Promise<string> {
  const server = new RawServer({ tls: certificate });
  closing.push(() => server.close());
  const from = await open();
  expect(from.network.send(tlsPeer(from, server.port, serverName), request)).toBe("queued");
  const downOrSent = [
    from.recorder.down().then(() => from.recorder.downs[0]?.reason ?? ""),
    server.until(() => server.received.length >= request.length).then(() => "sent"),
  ];
  const first = await Promise.race(downOrSent);
  if (first !== "sent") {
    expect(server.received).toBe("");
    expect(from.count("sendsDropped")).toBe(1);
  }
  return first;
}

describe("TLS to servers, RFC 5922 §7", () => {
  test("a certificate of the name, from an authority of ca_file, is accepted and everything sent", async () => {
    expect(await outcome(good)).toBe("sent");
    expect(await outcome(good, "SIP.Example.COM")).toBe("sent");
  });

  test("messages go both ways on one connection", async () => {
    const to = await open({ tlsPort: 0, tls: good });
    const from = await open();
    const peer = tlsPeer(from, to.network.tlsPort);
    to.recorder.onEach = ({ source }) =>
      to.network.reply(source, Buffer.from("SIP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n"));
    for (let n = 0; n < 20; n++) from.network.send(peer, request);
    await from.recorder.received(20);
    expect(to.recorder.messages).toHaveLength(20);
    expect(new Set(to.recorder.messages.map(({ source }) => source.connection)).size).toBe(1);
    const source = from.recorder.messages[0]?.source;
    expect(source).toMatchObject({ transport: "tls", address: "127.0.0.1", port: to.network.tlsPort });
    if (source !== undefined) expect(from.network.isFrom(peer, source)).toBe(true);
  });

  test.each([
    ["another name", "DNS:other.example.com", "sip.example.com"],
    ["a parent's name", "DNS:example.com", "sip.example.com"],
    ["a wildcard", "DNS:*.example.com", "sip.example.com"],
    ["a leading dot", "DNS:.example.com", "sip.example.com"],
    ["a person's URI", "URI:sip:alice@sip.example.com", "sip.example.com"],
    ["a URI whose user part looks like the name", "URI:sip:sip.example.com:x@evil.example", "sip.example.com"],
    ["a sips URI", "URI:sips:sip.example.com", "sip.example.com"],
    [
      "a SIP URI of another host beside its DNS name",
      "DNS:sip.example.com,URI:sip:other.example.com",
      "sip.example.com",
    ],
    ["an address where a name is wanted", "IP:127.0.0.1", "sip.example.com"],
    ["another address", "IP:127.0.0.2", "127.0.0.1"],
    ["the address as a DNS name", "DNS:127.0.0.1", "127.0.0.1"],
  ])("%s is refused before a byte is sent", async (_, alternativeNames, serverName) => {
    expect(await outcome(await authority.issue(alternativeNames), serverName)).toBe(
      `certificate is not for ${serverName}`,
    );
  });

  test.each([
    ["a SIP URI of the domain", "URI:sip:sip.example.com", "sip.example.com"],
    ["a SIP URI beside others", "URI:sip:a.example,URI:sip:sip.example.com:5061;transport=tls", "sip.example.com"],
    ["one of many DNS names", "DNS:a.example,DNS:b.example,DNS:SIP.example.com", "sip.example.com"],
    ["the address of a numeric server", "IP:127.0.0.1", "127.0.0.1"],
  ])("%s is accepted", async (_, alternativeNames, serverName) => {
    expect(await outcome(await authority.issue(alternativeNames), serverName)).toBe("sent");
  });

  test("a common name alone is nobody's", async () => {
    const certificate = await authority.issue(undefined, { commonName: "sip.example.com" });
    expect(await outcome(certificate)).toBe("certificate is not for sip.example.com");
  });

  test("an expired certificate is refused before a byte is sent", async () => {
    const certificate = await authority.issue("DNS:sip.example.com", { days: -1 });
    expect(await outcome(certificate)).toBe("certificate not trusted: CERT_HAS_EXPIRED");
  });

  test("a self-signed certificate is refused before a byte is sent", async () => {
    const certificate = await authority.issue("DNS:sip.example.com", { selfSigned: true });
    expect(await outcome(certificate)).toStartWith("certificate not trusted: DEPTH_ZERO_SELF_SIGNED_CERT");
  });

  test("a foreign authority's certificate is refused, also when its name differs", async () => {
    const other = new OpensslAuthority();
    closing.push(() => other.dispose());
    expect(await outcome(await other.issue("DNS:sip.example.com"))).toStartWith("certificate not trusted");
    expect(await outcome(await other.issue("DNS:x.example"))).toStartWith("certificate not trusted");
  });

  test("a server of TLS 1.1 is refused", async () => {
    const { port, stop } = await openssl11Server(good);
    closing.push(stop);
    const from = await open();
    from.network.send(tlsPeer(from, port), request);
    await from.recorder.down();
    expect(from.recorder.downs).toHaveLength(1);
    expect(from.count("sendsDropped")).toBe(1);
  });

  test("a server that is none of TLS is down, and nothing goes out in clear", async () => {
    const server = new RawServer();
    closing.push(() => server.close());
    server.onOpen = (stream) => stream.write("SIP/2.0 400 Bad Request\r\n\r\n");
    const from = await open();
    from.network.send(tlsPeer(from, server.port), request);
    await from.recorder.down();
    expect(server.received).not.toContain("OPTIONS");
  });

  test("without a name in the endpoint the address must be certified", async () => {
    const server = new RawServer({ tls: good });
    closing.push(() => server.close());
    const from = await open();
    from.network.send(from.network.peer({ transport: "tls", address: "127.0.0.1", port: server.port }), request);
    await server.until(() => server.received.length === request.length);
  });
});

describe("TLS listeners", () => {
  test("a client of TLS 1.1 is refused", async () => {
    const to = await open({ tlsPort: 0, tls: good });
    const run = Bun.spawn(
      ["openssl", "s_client", "-connect", `127.0.0.1:${to.network.tlsPort}`, "-tls1_1", "-cipher", "ALL:@SECLEVEL=0"],
      { stdin: "ignore", stdout: "ignore", stderr: "ignore" },
    );
    expect(await run.exited).not.toBe(0);
    const modern = await connectRaw(to.network.tlsPort, { tls: true });
    modern.write(request.toString("latin1"));
    await to.recorder.received(1);
    modern.socket?.terminate();
  });

  test("a handshake that does not end in 10 s is cut", async () => {
    const to = await open({ tlsPort: 0, tls: good });
    const stream = await connectRaw(to.network.tlsPort);
    stream.write("\x16\x03\x01");
    await turnsUntil(() => to.network.connections().accepted === 1);
    to.clock.advance(handshakeMs - 1);
    to.network.sweep();
    expect(stream.isClosed).toBe(false);
    to.clock.advance(1);
    to.network.sweep();
    await turnsUntil(() => stream.isClosed);
    expect(to.recorder.messages).toEqual([]);
  });

  test("a new certificate serves new connections, and open ones go on", async () => {
    const to = await open({ tlsPort: 0, tls: good });
    const from = await open();
    const first = tlsPeer(from, to.network.tlsPort);
    from.network.send(first, request);
    await to.recorder.received(1);
    to.network.reloadTls(await authority.issue("DNS:renewed.example.com"));
    for (let n = 0; n < 3; n++) {
      const renewed = await open();
      renewed.network.send(tlsPeer(renewed, to.network.tlsPort, "renewed.example.com"), request);
      await to.recorder.received(2 + n);
    }
    expect(from.network.send(first, request)).toBe("sent");
    await to.recorder.received(5);
    expect(from.recorder.downs).toEqual([]);
  });

  test("material that is no certificate changes nothing", async () => {
    const to = await open({ tlsPort: 0, tls: good });
    expect(() => to.network.reloadTls({ cert: "no", key: "no" })).toThrow("cannot listen on tls");
    const from = await open();
    from.network.send(tlsPeer(from, to.network.tlsPort), request);
    await to.recorder.received(1);
  });

  test("a port that somebody has is told, although ours are shared", async () => {
    const to = await open({ tlsPort: 0, tls: good });
    const second = openTestNetwork({ tlsPort: to.network.tlsPort, tls: good });
    expect(second).rejects.toThrow(`cannot listen on tls 127.0.0.1 port ${to.network.tlsPort}: EADDRINUSE`);
    await second.catch(() => {});
  });

  test("without a certificate there is none", async () => {
    const none = openTestNetwork({ tlsPort: 0 });
    expect(none).rejects.toThrow("cannot listen on tls 127.0.0.1 port 0: no certificate");
    await none.catch(() => {});
  });

  test("a CA file without a certificate is refused at start", async () => {
    const none = openTestNetwork({ caFile: "/dev/null", egress: new EgressPolicy() });
    expect(none).rejects.toThrow("no certificate in /dev/null");
    await none.catch(() => {});
  });
});

/** `openssl s_server` that speaks TLS 1.1 only. */
async function openssl11Server(
  certificate: Certificate,
): Promise<{ readonly port: number; readonly stop: () => void }> {
  const [cert, key] = [`${authority.folder}/old.pem`, `${authority.folder}/old.key`];
  await Promise.all([Bun.write(cert, certificate.cert), Bun.write(key, certificate.key)]);
  const run = Bun.spawn(
    [
      "openssl",
      "s_server",
      "-accept",
      "127.0.0.1:0",
      "-cert",
      cert,
      "-key",
      key,
      "-tls1_1",
      "-cipher",
      "ALL:@SECLEVEL=0",
    ],
    { stdin: "pipe", stdout: "pipe", stderr: "ignore" },
  );
  let text = "";
  for await (const chunk of run.stdout) {
    text += Buffer.from(chunk).toString();
    const port = /ACCEPT 127\.0\.0\.1:(\d+)/.exec(text)?.[1];
    if (port !== undefined) return { port: Number(port), stop: () => run.kill() };
  }
  throw new Error(`openssl s_server did not start: ${text}`);
}
