import { describe, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import type { AskedAnswers } from "../../src/commands/init-file.ts";
import { runInit } from "../../src/commands/init.ts";
import { loadConfig } from "../../src/config/load.ts";
import { parseMasterKey } from "../../src/store/master-key.ts";
import { folder, heard } from "./fixtures.ts";

const mode = (file: string): number => statSync(file).mode & 0o777;

describe("wakeline init", () => {
  test("writes a configuration without faults and a master key, and prints the enrolment key once", async () => {
    using place = folder();
    const file = join(place.path, "wakeline.toml");
    const io = heard();
    expect(await runInit({ config: file, yes: true }, io)).toBe(0);
    const config = loadConfig(file, {});
    const keyFile = join(place.path, "data", "master.key");
    expect([mode(file), mode(keyFile), mode(join(place.path, "data"))]).toEqual([0o600, 0o600, 0o700]);
    expect(parseMasterKey(readFileSync(keyFile, "utf8"))).toHaveLength(32);
    expect(config.masterKey).toBe(`file:${keyFile}`);
    const [key = ""] = io.outs.join("\n").match(/wl_[\w-]{43}/g) ?? [];
    expect(config.apps.map((app) => app.keySha256)).toEqual([createHash("sha256").update(key).digest("hex")]);
    const text = readFileSync(file, "utf8");
    expect(text).not.toContain(key);
    expect(text.split("\n").filter((line) => line.includes("#")).length).toBeGreaterThan(20);
    expect(io.errs).toEqual([]);
  });

  test("says the same as the embedded defaults, but for where SIP listens and the app", async () => {
    using place = folder();
    const file = join(place.path, "wakeline.toml");
    await runInit({ config: file, yes: true }, heard());
    const [given, embedded] = [loadConfig(file, {}), loadConfig(undefined, {})];
    expect({ ...given.http, ...given.wake, ...given.limits }).toEqual({
      ...embedded.http,
      ...embedded.wake,
      ...embedded.limits,
    });
    expect(given.sip).toEqual({ ...embedded.sip, listen: ["0.0.0.0"] });
    expect([given.publicUrl, given.drainSec]).toEqual([embedded.publicUrl, embedded.drainSec]);
  });

  test("its comments show keys that the configuration knows", async () => {
    using place = folder();
    const file = join(place.path, "wakeline.toml");
    await runInit({ config: file, yes: true }, heard());
    const text = readFileSync(file, "utf8").replace(/^# (?=\w+ = )/gm, "");
    for (const name of ["cert.pem", "key.pem", "registrars-ca.pem", "AuthKey.p8", "service-account.json"]) {
      place.write(name, "x");
    }
    const whole = place.write("whole.toml", text);
    const env = { WAKELINE_OPERATOR_TOKEN: "t".repeat(32), WAKELINE_WEBHOOK_SECRET: "s".repeat(32) };
    const [app] = loadConfig(whole, env).apps;
    expect([app?.jwksUrl, app?.apns?.teamId]).toEqual(["https://id.example.com/jwks.json", "TEAM123456"]);
  });

  test("never overwrites", async () => {
    using place = folder();
    const file = place.write("wakeline.toml", "drain_sec = 1\n");
    const io = heard();
    expect(await runInit({ config: file, yes: true }, io)).toBe(1);
    expect(readFileSync(file, "utf8")).toBe("drain_sec = 1\n");
    expect(io.errs).toEqual([`init: ${file} exists and is left as it is`]);

    const other = join(place.path, "new", "wakeline.toml");
    await runInit({ config: other, yes: true }, heard());
    const key = readFileSync(join(place.path, "new", "data", "master.key"), "utf8");
    const again = join(place.path, "new", "second.toml");
    expect(await runInit({ config: again, yes: true }, heard())).toBe(0);
    expect(readFileSync(join(place.path, "new", "data", "master.key"), "utf8")).toBe(key);
  });

  test("takes answers, and names what they leave to do", async () => {
    using place = folder();
    const answers: AskedAnswers = {
      publicUrl: "https://push.example.com",
      tls: { cert: "cert.pem", key: "key.pem" },
      advertise: "203.0.113.7",
      appId: 'com.example."quoted"',
      contact: "anna@example.com",
    };
    const file = join(place.path, "wakeline.toml");
    const io = heard();
    expect(await runInit({ config: file, yes: false }, io, () => Promise.resolve(answers))).toBe(0);
    expect(io.outs.filter((line) => line.startsWith("still to do"))).toEqual([
      expect.stringContaining("http.tls_cert names"),
      expect.stringContaining("http.tls_key names"),
    ]);
    place.write("cert.pem", "");
    place.write("key.pem", "");
    expect(loadConfig(file, {})).toMatchObject({
      publicUrl: "https://push.example.com",
      http: { listen: { host: "0.0.0.0", port: 443 }, tlsCert: join(place.path, "cert.pem") },
      sip: { advertise: "203.0.113.7" },
      apps: [{ id: 'com.example."quoted"', webpush: { subject: "mailto:anna@example.com" } }],
    });
  });

  test("with a certificate of its own listens where public_url says that phones call", async () => {
    using place = folder();
    const file = join(place.path, "wakeline.toml");
    const tls = { cert: place.write("cert.pem", ""), key: place.write("key.pem", "") };
    const ask = (defaults: AskedAnswers): Promise<AskedAnswers> =>
      Promise.resolve({ ...defaults, publicUrl: "https://push.example.com:8443", tls });
    await runInit({ config: file, yes: false }, heard(), ask);
    expect(loadConfig(file, {}).http.listen).toEqual({ host: "0.0.0.0", port: 8443 });
  });

  test("behind a proxy listens on loopback and trusts it", async () => {
    using place = folder();
    const file = join(place.path, "wakeline.toml");
    const ask = (defaults: AskedAnswers): Promise<AskedAnswers> =>
      Promise.resolve({ ...defaults, publicUrl: "https://push.example.com", tls: "proxy" });
    await runInit({ config: file, yes: false }, heard(), ask);
    expect(loadConfig(file, {}).http).toMatchObject({
      listen: { host: "127.0.0.1" },
      trustedProxies: ["127.0.0.1/32"],
    });
  });

  test("given up writes nothing", async () => {
    using place = folder();
    const io = heard();
    expect(
      await runInit({ config: join(place.path, "x.toml"), yes: false }, io, () => Promise.resolve(undefined)),
    ).toBe(1);
    expect(statSync(join(place.path, "x.toml"), { throwIfNoEntry: false })).toBeUndefined();
    expect(statSync(join(place.path, "data"), { throwIfNoEntry: false })).toBeUndefined();
    expect(io.errs).toHaveLength(1);
  });
});
