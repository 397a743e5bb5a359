import { describe, expect, test } from "bun:test";
import { generateKeyPairSync } from "node:crypto";
import { chmodSync, mkdirSync, rmSync, utimesSync } from "node:fs";
import { createServer } from "node:net";
import { createSocket } from "node:dgram";
import { join } from "node:path";
import { runCheck, type CheckParts } from "../../src/commands/check.ts";
import { unusableCertificates } from "../../src/commands/check/certificates.ts";
import { loadConfig } from "../../src/config/load.ts";
import { silentLog } from "../../src/observe/log.ts";
import { openStore } from "../../src/store/open.ts";
import { folder, heard, type Folder } from "./fixtures.ts";

const key = `key = "sha256:${"0".repeat(64)}"`;
const app = `[[apps]]\nid = "a"\n${key}\nwebpush = { subject = "mailto:a@b" }\n`;
const quiet =
  '[http]\nlisten = "127.0.0.1:0"\n[operator]\nlisten = "127.0.0.1:0"\n[sip]\nlisten = "127.0.0.1"\nport = 0\nshards = 1\n';
/** A little later than any certificate that the tests make. */
const nowMs = Date.now() + 3_600_000;

async function check(place: Folder, toml: string, parts: CheckParts = {}) {
  const io = heard();
  const file = place.write("wakeline.toml", toml);
  const lookUp = (name: string): Promise<readonly string[]> =>
    name.endsWith("example.com")
      ? Promise.resolve(["203.0.113.7"])
      : Promise.reject(Object.assign(new Error("x"), { code: "ENOTFOUND" }));
  const code = await runCheck({ config: file }, io, {
    lookUp,
    clock: { nowMs: () => 0, wallMs: () => nowMs },
    env: {},
    ...parts,
  });
  return { code, problems: io.errs, notes: io.outs.filter((line) => line.startsWith("note:")), last: io.outs.at(-1) };
}

function certificate(place: Folder, name: string, subject: string): void {
  const [cert, privateKey] = [join(place.path, `${name}.pem`), join(place.path, `${name}.key`)];
  const command = `openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=x -days 90
    -keyout ${privateKey} -out ${cert} -addext subjectAltName=${subject}`;
  expect(Bun.spawnSync(command.split(/\s+/)).exitCode).toBe(0);
  chmodSync(privateKey, 0o600);
}

describe("wakeline check", () => {
  test("finds nothing wrong where nothing is", async () => {
    using place = folder();
    const { code, problems, last } = await check(place, quiet + app);
    expect(problems).toEqual([]);
    expect(code).toBe(0);
    expect(last).toEndWith("all is well");
    expect(Bun.spawnSync(["ls", place.path]).stdout.toString()).toBe("wakeline.toml\n"); // and changes nothing
  });

  test("lists faults of the configuration with exit code 1", async () => {
    using place = folder();
    const { code, problems } = await check(place, "drain_sec = -1\nnonsense = 1\n");
    expect(code).toBe(1);
    expect(problems).toEqual([
      expect.stringMatching(/wakeline\.toml:1: drain_sec must be/),
      expect.stringMatching(/wakeline\.toml:2: unknown key nonsense/),
    ]);
  });

  test("names every port that is taken, and by which key", async () => {
    using place = folder();
    const tcp = createServer();
    await new Promise<void>((resolve) => tcp.listen(0, "127.0.0.1", resolve));
    const tcpPort = (tcp.address() as { port: number }).port;
    const udp = createSocket("udp4");
    await new Promise<void>((resolve) => udp.bind(0, "127.0.0.1", resolve));
    const udpPort = udp.address().port;
    const toml = `[http]\nlisten = "127.0.0.1:${tcpPort}"\n[operator]\nlisten = "127.0.0.1:0"\n[sip]\nlisten = "127.0.0.1"\nport = ${udpPort}\nshards = 1\n${app}`;
    const { code, problems } = await check(place, toml);
    expect(code).toBe(1);
    expect(problems).toEqual([
      `http.listen: TCP port ${tcpPort} on 127.0.0.1 is in use by another program: stop that or choose another port`,
      `sip.port (shard 0): UDP port ${udpPort} on 127.0.0.1 is in use by another program: stop that or choose another port`,
    ]);
    tcp.close();
    udp.close();
    const foreign = await check(
      place,
      `${quiet.replace('listen = "127.0.0.1"\nport = 0', 'listen = "192.0.2.1"\nport = 5999')}${app}`,
    );
    expect(foreign.problems).toEqual(Array(2).fill(expect.stringContaining("is not one of this machine's")));
  });

  test("does not take a running server's ports for somebody else's", async () => {
    using place = folder();
    const dataDir = join(place.path, "data");
    const store = await openStore({ dataDir, masterKey: `file:${dataDir}/master.key`, env: {}, log: silentLog });
    const { code, notes, problems } = await check(place, quiet + app);
    expect(problems).toEqual([]);
    expect(code).toBe(0);
    expect(notes.join()).toContain("a Wakeline is running");
    await store.close();
  });

  test("sees keys and data that others may read, a lost and a wrong master key", async () => {
    using place = folder();
    const dataDir = join(place.path, "data");
    const store = await openStore({ dataDir, masterKey: `file:${dataDir}/master.key`, env: {}, log: silentLog });
    await store.close();
    expect((await check(place, quiet + app)).problems).toEqual([]);
    chmodSync(dataDir, 0o755);
    chmodSync(join(dataDir, "master.key"), 0o644);
    expect((await check(place, quiet + app)).problems).toEqual([
      expect.stringContaining(`chmod 700 ${dataDir}`),
      expect.stringContaining(`chmod 600 ${dataDir}/master.key`),
    ]);
    chmodSync(dataDir, 0o700);
    rmSync(join(dataDir, "master.key"));
    expect((await check(place, quiet + app)).problems).toEqual([
      expect.stringContaining("put it back from its backup"),
    ]);
    place.write("data/master.key", Buffer.alloc(32, 1).toString("base64"));
    expect((await check(place, quiet + app)).problems).toEqual([
      expect.stringContaining("not the one that the database was sealed under"),
    ]);
    place.write("data/master.key", "x");
    expect((await check(place, quiet + app)).problems).toEqual([expect.stringContaining("does not hold 32 bytes")]);
  });

  test("reads certificates: date, key, name, chain", async () => {
    using place = folder();
    certificate(place, "good", "DNS:push.example.com");
    certificate(place, "other", "DNS:other.example.com");
    const tls = (cert: string, privateKey: string): string =>
      `public_url = "https://push.example.com"\n${quiet.replace("[operator]", `tls_cert = "${cert}.pem"\ntls_key = "${privateKey}.key"\n[operator]`)}${app}`;
    const good = await check(place, tls("good", "good"));
    expect(good.problems).toEqual([]);
    expect(good.notes).toEqual([expect.stringContaining("self-signed")]);

    expect((await check(place, tls("good", "other"))).problems).toEqual([
      expect.stringContaining("is not the key of the first certificate"),
    ]);
    expect((await check(place, tls("other", "other"))).problems).toEqual([
      expect.stringMatching(/is for other\.example\.com, not for push\.example\.com \(public_url\)/),
    ]);
    const later = { clock: { nowMs: () => 0, wallMs: () => nowMs + 91 * 86_400_000 } };
    expect((await check(place, tls("good", "good"), later)).problems).toEqual([
      expect.stringMatching(/expired on \d{4}-/),
    ]);
    const soon = { clock: { nowMs: () => 0, wallMs: () => nowMs + 80 * 86_400_000 } };
    expect((await check(place, tls("good", "good"), soon)).notes.join()).toMatch(/expires on .+, in (9|10) days/);
    place.write("good.pem", "nonsense");
    place.write("other.key", "nonsense");
    expect((await check(place, tls("good", "good"))).problems).toEqual([
      expect.stringContaining("holds no certificate"),
    ]);
    expect((await check(place, tls("other", "other"))).problems.join()).toContain("no private key that can be used");
  });

  test("names the files of a certificate that no listener could take, for serve and SIGHUP", async () => {
    using place = folder();
    certificate(place, "good", "DNS:push.example.com");
    certificate(place, "other", "DNS:push.example.com");
    place.write("junk.pem", "junk");
    const unusable = (cert: string, privateKey: string): readonly string[] => {
      const toml = `[http]\ntls_cert = "${cert}.pem"\ntls_key = "${privateKey}.key"\n[sip]\ntls_port = 1\n${app}`;
      return unusableCertificates(loadConfig(place.write("wakeline.toml", toml), {}));
    };
    expect(unusable("good", "good")).toEqual([]);
    expect(unusable("junk", "good")).toEqual([
      expect.stringMatching(/^http\.tls_cert: .+junk\.pem holds no certificate$/),
    ]);
    expect(unusable("good", "other")).toEqual([expect.stringContaining("other.key is not the key of the first")]);
  });

  test("holds SIP's certificate against sip.advertise", async () => {
    using place = folder();
    certificate(place, "sip", "DNS:sip.example.com");
    const sip = (advertise: string): string =>
      `${quiet.replace("port = 0\n", `port = 0\ntls_port = 1\nadvertise = "${advertise}"\ntls_cert = "sip.pem"\ntls_key = "sip.key"\n`)}${app}`.replace(
        "tls_port = 1",
        "tls_port = 45061",
      );
    expect((await check(place, sip("sip.example.com"))).problems).toEqual([]);
    expect((await check(place, sip("pbx.example.com"))).problems).toEqual([
      expect.stringContaining("not for pbx.example.com (sip.advertise)"),
    ]);
  });

  test("looks up what the outside is told to call", async () => {
    using place = folder();
    const names = (url: string, advertise: string): string =>
      `public_url = "${url}"\n${quiet.replace("port = 0\n", `port = 0\nadvertise = "${advertise}"\n`)}${app}`;
    expect((await check(place, names("https://push.example.com", "sip.example.com"))).problems).toEqual([]);
    expect((await check(place, names("https://push.example.net", "sip.example.net"))).problems).toEqual([
      expect.stringMatching(/^public_url: push\.example\.net does not resolve \(ENOTFOUND\)/),
      expect.stringMatching(/^sip\.advertise: sip\.example\.net does not resolve/),
    ]);
    const local = { lookUp: () => Promise.resolve(["127.0.1.1"]) };
    expect((await check(place, names("https://push.example.com", "192.0.2.1"), local)).problems).toEqual([
      expect.stringContaining("reaches nobody from outside"),
    ]);
    expect((await check(place, names("http://push.example.com", "192.0.2.1"))).problems).toEqual([
      expect.stringContaining("unencrypted"),
    ]);
  });

  test("reads push credentials, then lets the senders ask the providers", async () => {
    using place = folder();
    const pem = (type: "ec" | "rsa"): string => {
      const { privateKey } =
        type === "ec"
          ? generateKeyPairSync("ec", { namedCurve: "prime256v1" })
          : generateKeyPairSync("rsa", { modulusLength: 2048 });
      return privateKey.export({ type: "pkcs8", format: "pem" });
    };
    place.write("good.p8", pem("ec"));
    place.write("rsa.p8", pem("rsa"));
    place.write("open.p8", pem("ec"), 0o644);
    place.write("good.json", JSON.stringify({ project_id: "p", client_email: "e", private_key: pem("rsa") }));
    place.write("part.json", JSON.stringify({ project_id: "p" }));
    place.write("bad.json", "{");
    const apps = (p8: string, json: string): string =>
      `${quiet}[[apps]]\nid = "a"\n${key}\napns = { key_file = "${p8}", key_id = "ABCDE12345", team_id = "TEAM123456", topic = "t" }\nfcm = { service_account_file = "${json}" }\n`;
    expect((await check(place, apps("good.p8", "good.json"))).problems).toEqual([]);
    expect((await check(place, apps("rsa.p8", "part.json"))).problems).toEqual([
      expect.stringContaining("another kind of key"),
      expect.stringContaining("lacks client_email, private_key"),
    ]);
    expect((await check(place, apps("bad.json", "bad.json"))).problems).toEqual([
      expect.stringContaining("is not the .p8 file from Apple"),
      expect.stringContaining("is not the JSON file"),
    ]);
    expect((await check(place, apps("open.p8", "good.json"))).problems).toEqual([expect.stringContaining("chmod 600")]);
    let asked = 0;
    const probePush: CheckParts["probePush"] = (config) => {
      asked++;
      return Promise.resolve([
        { app: config.apps[0]?.id ?? "", provider: "apns", text: "Apple answers InvalidProviderToken" },
      ]);
    };
    expect((await check(place, apps("good.p8", "good.json"), { probePush })).problems).toEqual([
      "apns of a: Apple answers InvalidProviderToken",
    ]);
    expect(asked).toBe(1);
    await check(place, apps("rsa.p8", "good.json"), { probePush });
    expect(asked).toBe(1);
  });

  test("misses apps and providers", async () => {
    using place = folder();
    expect((await check(place, quiet)).problems).toEqual([expect.stringContaining("no phone can enrol")]);
    expect((await check(place, `${quiet}[[apps]]\nid = "a"\n${key}\n`)).problems).toEqual([
      expect.stringContaining("none of its phones can be woken"),
    ]);
  });

  test("doubts the clock", async () => {
    using place = folder();
    const past = { clock: { nowMs: () => 0, wallMs: () => Date.UTC(2001, 0, 1) } };
    expect((await check(place, quiet + app, past)).problems.join()).toContain("set the clock");
    mkdirSync(join(place.path, "data"), { mode: 0o700 });
    const file = place.write("data/wakeline.db", "");
    utimesSync(file, nowMs / 1_000 + 3_600, nowMs / 1_000 + 3_600);
    expect((await check(place, quiet + app)).problems.join()).toContain("the clock went back");
  });
});
