import { describe, expect, test } from "bun:test";
import { generateKeyPairSync } from "node:crypto";
import { chmodSync, mkdirSync, rmSync, utimesSync } from "node:fs";
import { createServer } from "node:net";
import { createSocket } from "node:dgram";
import { join } from "node:path";
import { runCheck, type CheckParts } from "../../src/commands/check.ts";
import { unusableCertificates } from "../../src/commands/check/certificates.ts";
import { probeSenders } from "../../src/commands/probe-senders.ts";
import type { DnsAnswer, DnsClient } from "../../src/net/dns.ts";
import { loadConfig } from "../../src/config/load.ts";
import { silentLog } from "../../src/observe/log.ts";
import { openStore } from "../../src/store/open.ts";
import { startApnsFake } from "../fakes/apns-server.ts";
import { createTestAuthority } from "../fakes/certificates.ts";
import { fcmErrorBody, startFcmFake } from "../fakes/fcm-server.ts";
import { enrol, open } from "../store/fixtures.ts";
import { folder, heard, type Folder } from "./fixtures.ts";

const key = `key = "sha256:${"0".repeat(64)}"`;
const app = `[[apps]]\nid = "a"\n${key}\nwebpush = { subject = "mailto:a@b" }\n`;
const quiet =
  '[http]\nlisten = "127.0.0.1:0"\n[operator]\nlisten = "127.0.0.1:0"\n[sip]\nlisten = "127.0.0.1"\nport = 0\nshards = 1\n';
/** A little later than any certificate that the tests make. */
const nowMs = Date.now() + 3_600_000;

/** A zone of "TYPE name" → what is answered; all else does not exist. */
function dnsOf(zone: Readonly<Record<string, DnsAnswer>>): DnsClient {
  return { query: (type, name, _timeoutMs, done) => done(zone[`${type} ${name}`] ?? { kind: "none" }) };
}

async function check(place: Folder, toml: string, parts: CheckParts = {}) {
  const io = heard();
  const file = place.write("wakeline.toml", toml);
  const lookUp = (name: string): Promise<readonly string[]> =>
    name.endsWith("example.com")
      ? Promise.resolve(["203.0.113.7"])
      : Promise.reject(Object.assign(new Error("x"), { code: "ENOTFOUND" }));
  const code = await runCheck({ config: file }, io, {
    lookUp,
    resolvers: { dns: () => dnsOf({}), systemServers: [] },
    ownAddresses: ["203.0.113.7"],
    askTime: () => Promise.resolve(undefined),
    fetch: () => Promise.reject(new Error("no network")),
    readSystem: () => undefined,
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
    expect(notes.join()).toContain("cannot be reached from here (no network)");
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

  test("asks each resolver, and says which does not answer", async () => {
    using place = folder();
    const toml = quiet.replace("port = 0\n", 'port = 0\nresolver = ["192.0.2.53", "192.0.2.54", "192.0.2.55"]\n') + app;
    const answers: Readonly<Record<string, DnsAnswer>> = {
      "192.0.2.53": { kind: "none" },
      "192.0.2.54": { kind: "failed", answered: false, text: "ETIMEOUT" },
      "192.0.2.55": { kind: "failed", answered: true, text: "EREFUSED" },
    };
    const dns = (servers: readonly string[]): DnsClient => ({
      query: (_type, _name, _timeoutMs, done) => done(answers[servers[0] ?? ""] ?? { kind: "none" }),
    });
    expect((await check(place, toml, { resolvers: { dns, systemServers: [] } })).problems).toEqual([
      expect.stringContaining("sip.resolver: 192.0.2.54 does not answer (ETIMEOUT)"),
      expect.stringContaining("sip.resolver: 192.0.2.55 answers, but refuses or fails (EREFUSED)"),
    ]);
    const notesWith = async (systemServers: readonly string[]): Promise<string> =>
      (await check(place, quiet + app, { resolvers: { dns, systemServers } })).notes.join();
    expect(await notesWith(["192.0.2.54"])).toContain("DNS: 192.0.2.54 does not answer here");
    expect(await notesWith(["192.0.2.53", "192.0.2.54"])).not.toContain("DNS:");
  });

  test("names the places of accounts that no name leads to", async () => {
    using place = folder();
    const dataDir = join(place.path, "data");
    const store = await open(dataDir);
    await enrol(store, "anna"); // at sip.example.com, which the test's lookUp knows
    await store.close();
    expect((await check(place, quiet + app)).notes.join()).not.toContain("accounts:");
    const nowhere = { lookUp: () => Promise.reject(new Error("ENOTFOUND")) };
    expect((await check(place, quiet + app, nowhere)).notes).toContainEqual(
      expect.stringContaining("accounts: sip.example.com (1 of them) has neither A, AAAA, SRV nor NAPTR records"),
    );
    const zones: readonly Readonly<Record<string, DnsAnswer>>[] = [
      { "SRV _sip._tcp.sip.example.com": { kind: "records", records: [], ttlSec: 1 } },
      { "A sip.example.com": { kind: "failed", answered: false, text: "ETIMEOUT" } },
    ];
    for (const zone of zones) {
      const resolvers = { dns: () => dnsOf(zone), systemServers: [] };
      expect((await check(place, quiet + app, { ...nowhere, resolvers })).notes.join()).not.toContain("accounts:");
    }
  });

  test("wonders about a public_url that leads to none of this machine's addresses", async () => {
    using place = folder();
    const toml = `public_url = "https://push.example.com"\n${quiet}${app}`;
    expect((await check(place, toml)).notes).toEqual([]);
    expect((await check(place, toml, { ownAddresses: ["10.0.0.2"] })).notes).toEqual([
      expect.stringMatching(
        /^note: public_url: push\.example\.com resolves to 203\.0\.113\.7, none of which this machine has/,
      ),
    ]);
  });

  test("calls a running server by its public_url, and says when another one answers", async () => {
    using place = folder();
    const store = await open(join(place.path, "data"));
    const toml = `public_url = "https://push.example.com"\n${quiet}${app}`;
    const with_ = (body: string): CheckParts => ({ fetch: () => Promise.resolve(new Response(body)) });
    const api = (url: string): string => JSON.stringify({ name: "wakeline", api: url });
    expect((await check(place, toml, with_(api("https://push.example.com")))).problems).toEqual([]);
    expect((await check(place, toml, with_("<html>"))).problems).toEqual([
      expect.stringContaining("leads to something that is not Wakeline (it answers 200)"),
    ]);
    expect((await check(place, toml, with_(api("https://old.example.com")))).problems).toEqual([
      expect.stringContaining("leads to a Wakeline that calls itself https://old.example.com"),
    ]);
    await store.close();
  });

  test("knows the machine's limits and what the firewall must let in", async () => {
    using place = folder();
    const wide =
      quiet.replace('listen = "127.0.0.1"\nport = 0\nshards = 1', "port = 45072\nshards = 2\ntls_port = 45082") + app;
    certificate(place, "cert", "DNS:push.example.com");
    const toml = `public_url = "https://push.example.com"\n${wide.replace("[operator]", 'tls_cert = "cert.pem"\ntls_key = "cert.key"\n[operator]')}`;
    const files: Readonly<Record<string, string>> = {
      "/proc/self/limits": "Max open files            1024                 4096                 files\n",
      "/proc/self/status": "CapEff:\t0000000000000000\n",
      "/proc/sys/net/core/rmem_max": "212992\n",
      "/proc/sys/net/core/wmem_max": "8388608\n",
    };
    const { notes, problems } = await check(place, toml, { readSystem: (file) => files[file] });
    expect(problems).toEqual([]);
    expect(notes).toContainEqual(expect.stringContaining("open files: this process may have 4096"));
    expect(notes).toContainEqual(expect.stringMatching(/^note: net\.core\.rmem_max: below 8388608 bytes/));
    expect(notes).toContainEqual(
      "note: firewall: let in UDP and TCP 45072-45073 and TCP 45082-45083 from SIP servers, TCP 443 for phones; from inside this cannot be tried",
    );
    const local = await check(place, wide.replace("tls_port = 45082\n", ""));
    expect(local.notes.join()).toContain("45072-45073 from SIP servers; from inside");
    const large = { ...files, "/proc/self/limits": files["/proc/self/limits"]?.replace("4096", "262144") ?? "" };
    const capable: typeof files = { ...large, "/proc/self/status": "CapEff:\t0000000000001000\n" };
    const after = await check(place, toml, { readSystem: (file) => capable[file] });
    expect(after.notes.join()).not.toMatch(/open files|net\.core/);
  });

  test("holds its clock against the servers that it has to do with", async () => {
    using place = folder();
    const hook = `${quiet}[[apps]]\nid = "a"\n${key}\nwebhook = { url = "http://127.0.0.1:7000/push", secret = "s" }\njwks_url = "https://id.example.com/keys"\nissuer = "i"\naudience = "a"\n`;
    const at = (hookMs: number | undefined, issuerMs: number | undefined): CheckParts => ({
      askTime: (url) => Promise.resolve(url.startsWith("http://127") ? hookMs : issuerMs),
    });
    expect((await check(place, hook, at(nowMs + 59_000, nowMs - 59_000))).problems).toEqual([]);
    expect((await check(place, hook, at(nowMs + 300_000, nowMs + 301_000))).problems).toEqual([
      "clock: it is 300 s earlier here than at http://127.0.0.1:7000: set the clock (NTP), or push credentials and certificates will be refused",
    ]);
    expect((await check(place, hook, at(undefined, nowMs - 300_000))).problems).toHaveLength(1);
    const one = await check(place, hook, at(nowMs - 300_000, nowMs));
    expect(one.problems).toEqual([]);
    expect(one.notes.join()).toContain("that server's clock is wrong");
  });

  test("says in words what a provider holds against key, team, topic or project", async () => {
    using place = folder();
    const authority = createTestAuthority();
    const apns = await startApnsFake({ authority });
    const fcm = startFcmFake({ authority });
    place.write("ca.pem", authority.ca);
    place.write(
      "AuthKey_OTHER12345.p8",
      generateKeyPairSync("ec", { namedCurve: "prime256v1" }).privateKey.export({ type: "pkcs8", format: "pem" }),
    );
    place.write(
      "sa.json",
      JSON.stringify({
        project_id: "mine",
        client_email: "push@another.iam.gserviceaccount.com",
        private_key: generateKeyPairSync("rsa", { modulusLength: 2048 }).privateKey.export({
          type: "pkcs8",
          format: "pem",
        }),
        token_uri: fcm.tokenUrl.href,
      }),
    );
    const toml = `${quiet}[[apps]]
id = "a"
${key}
apns = { key_file = "AuthKey_OTHER12345.p8", key_id = "ABCDE12345", team_id = "TEAM123456", topic = "com.example.a", endpoint = "${apns.url.origin}", ca_file = "ca.pem" }
fcm = { service_account_file = "sa.json", endpoint = "${fcm.url.origin}", ca_file = "ca.pem" }
`;
    const probed = { probePush: probeSenders };
    apns.answer = () => ({ status: 400, body: { reason: "BadDeviceToken" } });
    const good = await check(place, toml, probed);
    expect(good.problems).toEqual([]);
    expect(good.notes.slice(-2)).toEqual([
      expect.stringContaining("apns.key_id of a: it is ABCDE12345, but the file is named for key OTHER12345"),
      expect.stringContaining("is an account of project another, but pushes go to the phones of mine"),
    ]);
    const refusals = [
      [403, "InvalidProviderToken", "key, key id and team id do not belong together"],
      [400, "TopicDisallowed", "the key may not send to the configured topic"],
      [403, "ExpiredProviderToken", "this machine's clock is wrong"],
    ] as const;
    for (const [status, reason, words] of refusals) {
      apns.answer = () => ({ status, body: { reason } });
      expect((await check(place, toml, probed)).problems).toEqual([
        expect.stringMatching(new RegExp(`^apns of a: .*${reason}.*${words}`)),
      ]);
    }
    apns.answer = () => ({ status: 400, body: { reason: "BadDeviceToken" } });
    fcm.answer = () => ({ status: 403, body: fcmErrorBody(403, "PERMISSION_DENIED", "no") });
    expect((await check(place, toml, probed)).problems).toEqual([
      expect.stringMatching(/^fcm of a: .*PERMISSION_DENIED \(service account lacks the right, or the API is off\)$/),
    ]);
    fcm.answerToken = () => ({ status: 400, body: { error: "invalid_grant" } });
    expect((await check(place, toml, probed)).problems).toEqual([
      expect.stringMatching(/^fcm of a: .*invalid_grant \(.*the key was deleted, or this machine's clock is wrong\)$/),
    ]);
    await Promise.all([apns.close(), fcm.close()]);
    expect((await check(place, toml.replace('"com.example.a"', '"com.example.a.voip"'))).problems).toEqual([
      expect.stringContaining('".voip", which is added here'),
    ]);
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
