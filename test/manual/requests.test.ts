import { afterAll, beforeAll, expect, test } from "bun:test";
import { createHash, generateKeyPairSync, type KeyObject } from "node:crypto";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { type RunningServer, startServer } from "../../src/commands/server.ts";
import { loadConfig } from "../../src/config/load.ts";
import { freePorts } from "../../src/commands/free-ports.ts";
import { tempFolder } from "../interop/lab/program.ts";
import { fencesOf, pages, placeOf } from "./fences.ts";

const appKey = "manual-enrolment-key-0123456789abcdef";
let server: RunningServer;
let folder: ReturnType<typeof tempFolder>;

/** A server that has the manual's app with every provider. Nothing is pushed. */
beforeAll(async () => {
  folder = tempFolder("requests");
  const pem = (privateKey: KeyObject): string => privateKey.export({ type: "pkcs8", format: "pem" });
  const file = (name: string, text: string | Buffer): void => writeFileSync(join(folder.path, name), text);
  file("AuthKey.p8", pem(generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey));
  file(
    "sa.json",
    JSON.stringify({
      project_id: "p",
      client_email: "a@b",
      private_key: pem(generateKeyPairSync("rsa", { modulusLength: 2048 }).privateKey),
      token_uri: "http://127.0.0.1:9/token",
    }),
  );
  const http = await freePorts();
  file(
    "wakeline.toml",
    `public_url = "http://127.0.0.1:${http}"
drain_sec = 0
[http]
listen = "127.0.0.1:${http}"
[operator]
listen = "127.0.0.1:0"
[sip]
listen = "127.0.0.1"
port = 0
shards = 1
[[apps]]
id = "com.example.phone"
key = "sha256:${createHash("sha256").update(appKey).digest("hex")}"
apns = { key_file = "AuthKey.p8", key_id = "ABCDE12345", team_id = "TEAM123456", topic = "com.example.phone", endpoint = "http://127.0.0.1:9" }
fcm = { service_account_file = "sa.json", endpoint = "http://127.0.0.1:9" }
webpush = { subject = "mailto:ops@example.com" }
webhook = { url = "http://127.0.0.1:9/push", secret = "0123456789abcdef" }
`,
  );
  server = await startServer(loadConfig(join(folder.path, "wakeline.toml"), {}), { logLevel: "error", env: {} });
});
afterAll(async () => {
  await server.stop();
  folder.remove();
});

interface Sent {
  readonly status: number;
  readonly body: Readonly<Record<string, unknown>>;
}

/** Sends `METHOD /path`, headers, an empty line and a body, as the manual writes a request. */
async function sent(text: string): Promise<Sent> {
  const [head = "", body] = text.split(/\n\s*\n/, 2);
  const [request = "", ...headers] = head.split("\n");
  const [, method = "", path = ""] = /^([A-Z]+) (\/\S*)/.exec(request) ?? [];
  const response = await fetch(server.publicUrl + path, {
    method,
    headers: {
      ...(body === undefined ? {} : { "content-type": "application/json" }),
      ...Object.fromEntries(headers.map((line) => line.split(/:\s*/, 2) as [string, string])),
    },
    ...(body === undefined ? {} : { body }),
  });
  const answer = await response.text();
  return { status: response.status, body: answer === "" ? {} : JSON.parse(answer) };
}

for (const page of pages()) {
  const requests = fencesOf(page).filter(({ language }) => language === "http");
  if (requests.length === 0) continue;
  test(`${page}: its requests, sent in order, are taken`, async () => {
    const known = new Map([
      ["wl_…", appKey],
      ["<VoIP token>", "ab".repeat(32)],
      ["<APNs token>", "cd".repeat(32)],
    ]);
    for (const fence of requests) {
      let { text } = fence;
      for (const [placeholder, value] of known) text = text.replaceAll(placeholder, value);
      const { status, body } = await sent(text);
      if (status < 200 || status > 299) throw new Error(`${placeOf(fence)}: ${status} ${JSON.stringify(body)}`);
      if (typeof body.token === "string") known.set("<device token>", body.token);
      if (typeof body.id === "string") known.set("/:id", `/${body.id}`);
    }
    expect(known.has("<device token>")).toBe(true);
  });
}

test("docs/operations.md: without sip.advertise no address is published", async () => {
  const { body } = await sent("GET /.well-known/wakeline.json");
  expect(body.egressAddresses).toEqual([]);
});
