import { expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect } from "node:tls";
import { createTestAuthority } from "../fakes/certificates.ts";
import { app, appId, appKey, configOf, EdgeBench } from "./edge-bench.ts";

/** Serial number and protocol of what a listener shows. */
function peerOf(port: number, ca: string): Promise<{ readonly serial: string; readonly protocol: string | null }> {
  return new Promise((resolve, reject) => {
    const socket = connect({ port, host: "127.0.0.1", ca, servername: "localhost" }, () => {
      resolve({ serial: socket.getPeerCertificate().serialNumber, protocol: socket.getProtocol() });
      socket.destroy();
    });
    socket.on("error", reject);
  });
}

test("a certificate that was replaced is shown at once, and open tunnels go on", async () => {
  const folder = mkdtempSync(join(tmpdir(), "wakeline-edge-"));
  try {
    const authority = createTestAuthority();
    const [tlsCert, tlsKey] = [join(folder, "cert.pem"), join(folder, "key.pem")];
    const renew = () => {
      const { cert, key } = authority.issue(["localhost", "127.0.0.1"]);
      writeFileSync(tlsCert, cert);
      writeFileSync(tlsKey, key);
    };
    renew();
    const http = { listen: { host: "127.0.0.1", port: 0 }, tlsCert, tlsKey, trustedProxies: [] };
    await using bench = await EdgeBench.open({ http });
    const port = bench.edge.publicPort;
    const before = await peerOf(port, authority.ca);
    expect(before.protocol).toMatch(/^TLSv1\.[23]$/);
    const enrolled = await fetch(`https://localhost:${port}/v1/devices`, {
      method: "POST",
      headers: { authorization: `Bearer ${appKey}` },
      body: JSON.stringify({ app: appId, push: { provider: "webhook", token: "t" } }),
      tls: { ca: authority.ca },
    });
    const { token } = (await enrolled.json()) as { token: string };
    expect(enrolled.headers.get("strict-transport-security")).toContain("max-age");
    const tunnel = new WebSocket(`wss://localhost:${port}/v1/tunnel?token=${token}`, {
      protocols: ["sip"],
      tls: { ca: authority.ca },
    } as unknown as string[]);
    await new Promise((resolve) => tunnel.addEventListener("open", resolve, { once: true }));

    renew();
    bench.edge.reload(configOf({ http }));
    const after = await peerOf(port, authority.ca);
    expect(after.serial).not.toBe(before.serial);
    expect(bench.edge.publicPort).toBe(port);
    tunnel.send("OPTIONS sip:x SIP/2.0\r\n\r\n");
    await bench.shards.until(() => bench.shards.frames.length === 1);
    tunnel.close();
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

test("app keys that were changed count at once; devices stay enrolled", async () => {
  await using bench = await EdgeBench.open();
  const phone = await bench.phone();
  const enrol = (key: string) =>
    bench.call("POST", "/v1/devices", key, { app: appId, push: { provider: "webhook", token: "t" } });
  const keySha256 = createHash("sha256").update("the new key").digest("hex");
  bench.edge.reload(configOf({ apps: [app({ keySha256 })] }));
  expect([(await enrol(appKey)).status, (await enrol("the new key")).status]).toEqual([401, 201]);
  expect((await bench.call("GET", "/v1/devices/me", phone.token)).status).toBe(200);
});

test("a port that is taken is said, and the other listener does not stay behind", async () => {
  await using bench = await EdgeBench.open();
  const host = "127.0.0.1";
  const taken = { host, port: bench.edge.operatorPort };
  const found = Bun.serve({ hostname: host, port: 0, fetch: () => new Response() });
  const free = { host, port: found.port ?? 0 };
  await found.stop(true);
  const http = { listen: free, tlsCert: undefined, tlsKey: undefined, trustedProxies: [] };
  const start = () => EdgeBench.open({ http, operator: { listen: taken, token: undefined } });
  const failure = await start().then(
    () => "started",
    (cause: Error) => cause.message,
  );
  expect(failure).toMatch(/in use|EADDRINUSE/i);
  const again = Bun.serve({ hostname: host, port: free.port, fetch: () => new Response() });
  expect(again.port).toBe(free.port);
  await again.stop(true);
});
