import { X509Certificate } from "node:crypto";
import { describe, expect, test } from "bun:test";
import { rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { CertificateWatch, readServerCertificate, type ServerCertificate } from "../../src/net/server-certificate.ts";
import { type Certificate, createTestAuthority } from "../fakes/certificates.ts";
import { closedAfterEach } from "../fakes/closing.ts";
import { RawServer } from "../fakes/raw-stream.ts";
import { openTestNetwork, requestOf } from "../fakes/wire-recorder.ts";

const closing = closedAfterEach();
const authority = createTestAuthority();
const name = "sip.example.com";
const derOf = ({ cert }: Certificate): Uint8Array => new X509Certificate(cert).raw;

describe("what is told of a server's certificate", () => {
  test("name, issuer, end, and a hash of the key that a renewal with the same key keeps", () => {
    const toMs = Date.UTC(2030, 0, 1);
    const read = readServerCertificate("SIP.example.com", derOf(authority.issue([name], { fromMs: 0, toMs })));
    expect(read).toEqual({
      server: name,
      key: expect.stringMatching(/^[\w-]{43}$/),
      issuer: "CN=Wakeline test authority",
      validToMs: toMs,
    });
    expect(readServerCertificate(name, derOf(authority.issue([name])))?.key).not.toBe(read?.key);
  });

  test("nothing, of what is no certificate", () => {
    for (const der of [new Uint8Array(0), new Uint8Array(400).fill(0x30)]) {
      expect(readServerCertificate(name, der)).toBeUndefined();
    }
  });

  test("each once, and another when it comes", () => {
    const told: ServerCertificate[] = [];
    const watch = new CertificateWatch((one) => told.push(one));
    const [first, second] = [authority.issue([name]), authority.issue([name])];
    for (const one of [first, first, second, second]) watch.onAccepted(name, derOf(one));
    expect(told.map(({ key }) => key)).toEqual(
      [first, second].map((one) => readServerCertificate(name, derOf(one))!.key),
    );
  });
});

test("a handshake that is accepted tells the certificate before anything is sent; one that is refused does not", async () => {
  const caFile = join(tmpdir(), `wakeline-ca-${crypto.randomUUID()}.pem`);
  writeFileSync(caFile, authority.ca);
  closing.push(() => rmSync(caFile));
  const { network, recorder } = await openTestNetwork({ caFile });
  closing.push(() => network.close());
  for (const names of [[name], ["other.example.com"]]) {
    const server = new RawServer({ tls: authority.issue(names) });
    closing.push(() => server.close());
    const peer = network.peer({ transport: "tls", address: "127.0.0.1", port: server.port, serverName: name });
    network.send(peer, Buffer.from(requestOf(400), "latin1"));
    if (names[0] === name) await server.until(() => server.received.length > 0);
    else await recorder.down();
    expect(recorder.certificates.map((one) => one.server)).toEqual([name]);
  }
});
