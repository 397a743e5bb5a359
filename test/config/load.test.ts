import { describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ConfigError, type Config, type ConfigFault } from "../../src/config/config.ts";
import { loadChoreConfig, loadConfig } from "../../src/config/load.ts";

type Environment = Record<string, string>;

function inFolder<T>(toml: string, files: Record<string, string>, work: (file: string, folder: string) => T): T {
  const folder = mkdtempSync(join(tmpdir(), "wakeline-config-"));
  try {
    const file = join(folder, "wakeline.toml");
    writeFileSync(file, toml);
    for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text);
    return work(file, folder);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function load(toml: string, env: Environment = {}, files: Record<string, string> = {}): Config {
  return inFolder(toml, files, (file) => loadConfig(file, env));
}

function faultsOf(work: () => unknown): readonly ConfigFault[] {
  try {
    work();
  } catch (cause) {
    if (cause instanceof ConfigError) return cause.faults;
    throw cause;
  }
  return [];
}

/** "LINE text" of each fault. */
function faults(toml: string, env: Environment = {}, files: Record<string, string> = {}): string[] {
  return faultsOf(() => load(toml, env, files)).map((fault) => `${fault.line ?? "-"} ${fault.text}`);
}

describe("for a chore on the running server", () => {
  const toml = `master_key = "env:NO_KEY"
[http]
tls_cert = "no-cert.pem"
tls_key = "no-key.pem"
[operator]
listen = "127.0.0.1:9191"
[[apps]]
id = "com.example.phone"
key = "env:NO_APP_KEY"
webhook = { url = "http://127.0.0.1:7000/push", secret = "env:NO_SECRET" }
fcm = { service_account_file = "no.json" }
`;

  test("what only the server needs may be missing: its variables, certificates and push credentials", () => {
    inFolder(toml, {}, (file, folder) => {
      expect(faultsOf(() => loadConfig(file, {}))).toHaveLength(6);
      expect(loadChoreConfig(file, {})).toEqual({
        file,
        dataDir: join(folder, "data"),
        masterKey: "env:NO_KEY",
        operator: { listen: { host: "127.0.0.1", port: 9191 }, token: undefined },
      });
    });
  });

  test("the operator's token may not, nor is anything wrong in the text let pass", () => {
    const faulty = toml
      .replace("[[apps]]", 'token = "env:NO_TOKEN"\n[[apps]]')
      .replace("[http]", '[http]\nlisten = "x"');
    inFolder(faulty, {}, (file) => {
      expect(faultsOf(() => loadChoreConfig(file, {})).map(({ key }) => key)).toEqual([
        "http.listen",
        "operator.token",
      ]);
      expect(faultsOf(() => loadChoreConfig(file, {}, false)).map(({ key }) => key)).toEqual(["http.listen"]);
    });
  });
});

describe("without a file", () => {
  test("everything is on loopback, in ./data, and no app is there", () => {
    const config = loadConfig(undefined, {});
    expect(config).toMatchObject({
      file: undefined,
      dataDir: join(process.cwd(), "data"),
      masterKey: `file:${join(process.cwd(), "data", "master.key")}`,
      publicUrl: "http://127.0.0.1:8080",
      drainSec: 30,
      http: { listen: { host: "127.0.0.1", port: 8080 }, tlsCert: undefined, tlsKey: undefined, trustedProxies: [] },
      operator: { listen: { host: "127.0.0.1", port: 9090 }, token: undefined },
      wake: { deadlineSec: 40, ring: "on_push" },
      limits: { accountsPerDevice: 16, devicesPerAccount: 8, leaseDays: 14 },
      apps: [],
    });
    expect(config.sip).toEqual({
      listen: ["127.0.0.1"],
      port: 5060,
      tlsPort: 0,
      tlsCert: undefined,
      tlsKey: undefined,
      advertise: undefined,
      shards: navigator.hardwareConcurrency,
      userAgent: "Wakeline",
      egressAllow: [],
      resolver: [],
      caFile: undefined,
      natAddress: undefined,
    });
  });

  test("a file that is named must be there", () => {
    const found = faultsOf(() => loadConfig("/nowhere/wakeline.toml", {}));
    expect(found.map((fault) => fault.text)).toEqual(["cannot read /nowhere/wakeline.toml: no such file"]);
  });
});

describe("a file", () => {
  const whole = `
data_dir = "./data"
public_url = "https://push.example.com/"
master_key = "file:./data/other.key"
drain_sec = 5
[http]
listen = "0.0.0.0:8443"
tls_cert = "cert.pem"
tls_key = "key.pem"
trusted_proxies = ["10.0.0.1", "fd00::/8"]
[operator]
listen = "[::1]:9091"
token = "env:TOKEN"
[sip]
listen = ["0.0.0.0", "[::]"]
port = 5070
tls_port = 5090
advertise = "sip.Example.com"
shards = 3
user_agent = "Phones"
egress_allow = ["10.0.0.0/8", "192.0.2.7"]
resolver = ["192.0.2.53", "192.0.2.54:5353", "[::1]:53"]
ca_file = ""
nat_address = "192.168.1.20"
[wake]
deadline_sec = 30
ring = "immediate"
[limits]
accounts_per_device = 2
devices_per_account = 3
lease_days = 0.5
[[apps]]
id = "com.example.phone"
key = "sha256:${"AB".repeat(32)}"
apns = { key_file = "AuthKey.p8", key_id = "ABCDE12345", team_id = "TEAM123456", topic = "com.example.phone", endpoint = "https://127.0.0.1:5000/", ca_file = "ca.pem" }
fcm = { service_account_file = "sa.json", endpoint = "https://fcm.googleapis.com", token_endpoint = "", ca_file = "" }
webpush = { subject = "mailto:ops@example.com" }
[apps.webhook]
url = "http://127.0.0.1:7000/push"
secret = "file:hook.secret"
[[apps]]
id = "com.example.other"
jwks_url = "https://id.example.com/jwks.json"
issuer = "https://id.example.com"
audience = "wakeline"
`;
  const files = {
    "cert.pem": "c",
    "key.pem": "k",
    "AuthKey.p8": "p",
    "ca.pem": "a",
    "sa.json": "{}",
    "hook.secret": "hush\n",
  };

  test("says everything, with paths from its folder and secrets resolved", () => {
    inFolder(whole, files, (file, folder) => {
      const config = loadConfig(file, { TOKEN: "operator-token" });
      expect(config).toEqual({
        file,
        dataDir: join(folder, "data"),
        publicUrl: "https://push.example.com",
        masterKey: `file:${join(folder, "data", "other.key")}`,
        drainSec: 5,
        http: {
          listen: { host: "0.0.0.0", port: 8443 },
          tlsCert: join(folder, "cert.pem"),
          tlsKey: join(folder, "key.pem"),
          trustedProxies: ["10.0.0.1/32", "fd00::/8"],
        },
        operator: { listen: { host: "::1", port: 9091 }, token: "operator-token" },
        sip: {
          listen: ["0.0.0.0", "::"],
          port: 5070,
          tlsPort: 5090,
          tlsCert: join(folder, "cert.pem"),
          tlsKey: join(folder, "key.pem"),
          advertise: "sip.example.com",
          shards: 3,
          userAgent: "Phones",
          egressAllow: ["10.0.0.0/8", "192.0.2.7/32"],
          resolver: ["192.0.2.53", "192.0.2.54:5353", "[::1]:53"],
          caFile: undefined,
          natAddress: "192.168.1.20",
        },
        wake: { deadlineSec: 30, ring: "immediate" },
        limits: { accountsPerDevice: 2, devicesPerAccount: 3, leaseDays: 0.5 },
        apps: [
          {
            id: "com.example.phone",
            keySha256: "ab".repeat(32),
            jwksUrl: undefined,
            issuer: undefined,
            audience: undefined,
            apns: {
              keyFile: join(folder, "AuthKey.p8"),
              keyId: "ABCDE12345",
              teamId: "TEAM123456",
              topic: "com.example.phone",
              endpoint: "https://127.0.0.1:5000",
              caFile: join(folder, "ca.pem"),
            },
            fcm: {
              serviceAccountFile: join(folder, "sa.json"),
              endpoint: "https://fcm.googleapis.com",
              tokenEndpoint: undefined,
              caFile: undefined,
            },
            webpush: { subject: "mailto:ops@example.com" },
            webhook: { url: "http://127.0.0.1:7000/push", secret: "hush" },
          },
          {
            id: "com.example.other",
            keySha256: undefined,
            jwksUrl: "https://id.example.com/jwks.json",
            issuer: "https://id.example.com",
            audience: "wakeline",
            apns: undefined,
            fcm: undefined,
            webpush: undefined,
            webhook: undefined,
          },
        ],
      });
    });
  });

  test("with nothing in it listens for SIP on all addresses and is loopback otherwise", () => {
    const config = load("");
    expect(config.sip.listen).toEqual(["0.0.0.0"]);
    expect(config.http.listen.host).toBe("127.0.0.1");
    expect(config.file).toEndWith("wakeline.toml");
  });

  test("is frozen to its depth", () => {
    const config = load(whole, { TOKEN: "t" }, files);
    const all: object[] = [config];
    for (let one = all.pop(); one !== undefined; one = all.pop()) {
      expect(Object.isFrozen(one)).toBe(true);
      all.push(...Object.values(one).filter((inner) => typeof inner === "object" && inner !== null));
    }
  });

  test("sets the public URL by where it listens when none is given", () => {
    expect(load('[http]\nlisten = "127.0.0.1:8081"').publicUrl).toBe("http://127.0.0.1:8081");
    const tls = '[http]\nlisten = "[::1]:443"\ntls_cert = "c"\ntls_key = "k"';
    expect(load(tls, {}, { c: "", k: "" }).publicUrl).toBe("https://[::1]:443");
  });
});

describe("faults are listed all at once", () => {
  test("with line and suggestion for unknown keys", () => {
    const toml = `dran_sec = 5
port = 5060

[sip]
tlsPort = 5061
listen = "0.0.0.0"

[htttp]
x = 1

[[apps]]
id = "a"
kee = "x"
key = "sha256:${"0".repeat(64)}"
apns = { keyfile = "x", team_id = "TEAM123456", key_id = "ABCDE12345", topic = "t" }
zzzzzz = 1
`;
    expect(faults(toml)).toEqual([
      "1 unknown key dran_sec; did you mean drain_sec?",
      "2 unknown key port; did you mean sip.port?",
      "5 unknown key sip.tlsPort; did you mean sip.tls_port?",
      "8 unknown key htttp; did you mean http?",
      "13 unknown key apps[0].kee; did you mean apps[0].key?",
      "15 apps[0].apns.key_file is missing",
      "15 unknown key apps[0].apns.keyfile; did you mean apps[0].apns.key_file?",
      "16 unknown key apps[0].zzzzzz",
    ]);
  });

  test("with what the value must be, for each kind of value", () => {
    const toml = `data_dir = 5
public_url = "ftp://x"
master_key = "secret"
drain_sec = "5"
[http]
listen = "8080"
trusted_proxies = ["10.0.0.0/33"]
[operator]
token = 7
[sip]
listen = ["localhost"]
port = 70000
advertise = "a b"
shards = -1
user_agent = "a\\nb"
egress_allow = "everything"
resolver = ["dns.example.com"]
nat_address = "10.1"
[wake]
deadline_sec = 0
ring = "later"
[limits]
lease_days = 0
accounts_per_device = 1.5
`;
    expect(faults(toml)).toEqual([
      "1 data_dir must be a path, not 5",
      '2 public_url must be a URL like "https://push.example.com", without query, not "ftp://x"',
      '3 master_key must be "file:PATH" or "env:NAME", not "secret"',
      '4 drain_sec must be a whole number from 0 to 3600, not "5"',
      '6 http.listen must be an address and port like "127.0.0.1:8080" or "[::1]:8080", not "8080"',
      '7 http.trusted_proxies must be a list, each a network like "10.0.0.0/8" or an address, not ["10.0.0.0/33"]',
      '9 operator.token must be text, "env:NAME" or "file:PATH"',
      '11 sip.listen must be a list, each a numeric address, not ["localhost"]',
      "12 sip.port must be a whole number from 0 to 65535, not 70000",
      '13 sip.advertise must be an address or a host name, without port, not "a b"',
      "14 sip.shards must be a whole number from 0 to 256, not -1",
      '15 sip.user_agent must be text of one line, at most 255 bytes, not "a\\nb"',
      '16 sip.egress_allow must be a list, each a network like "10.0.0.0/8" or an address, not "everything"',
      '17 sip.resolver must be a list, each the address of a DNS server like "192.0.2.1" or "192.0.2.1:53", not ["dns.example.com"]',
      '18 sip.nat_address must be a numeric address, not "10.1"',
      "20 wake.deadline_sec must be a whole number from 1 to 600, not 0",
      '21 wake.ring must be "on_push" or "on_device" or "immediate", not "later"',
      "23 limits.lease_days must be a number above 0, up to 3650, not 0",
      "24 limits.accounts_per_device must be a whole number from 1 to 10000, not 1.5",
    ]);
  });

  test("with wrong shapes in words", () => {
    expect(faults('sip = "x"\napps = 5\n[wake]\nring = ["on_push"]')).toEqual([
      "1 sip must be a table",
      "2 apps must be written as [[apps]]",
      '4 wake.ring must be "on_push" or "on_device" or "immediate", not ["on_push"]',
    ]);
    expect(faults('apps = ["x"]')).toContain("1 apps must be a table");
  });

  test("of syntax with line and column", () => {
    const [fault, ...more] = faults('[sip]\nport = 5060\nlisten = "0.0.0.0');
    expect(fault).toMatch(/^3 not TOML: .+ \(column \d+\)$/);
    expect(more).toEqual([]);
    expect(faults("[sip]\nport = 1\nport = 2")[0]).toStartWith("3 not TOML");
  });

  test("names that JavaScript knows are keys like others", () => {
    expect(faults("__proto__ = { drain_sec = 1 }\nconstructor = 1\n[sip]\ntoString = 1")).toEqual([
      "1 unknown key __proto__",
      "2 unknown key constructor",
      "4 unknown key sip.toString",
    ]);
  });

  test("the error's own message has them all", () => {
    expect(() => load("a_a = 1\nb_b = 2")).toThrow("unknown key a_a; unknown key b_b");
  });
});

describe("rules between keys", () => {
  test("a certificate needs its key and the reverse", () => {
    const all = { c: "", k: "" };
    expect(faults('[http]\ntls_cert = "c"', {}, all)).toEqual(["2 http.tls_cert needs http.tls_key beside it"]);
    expect(faults('[sip]\ntls_key = "k"', {}, all)).toEqual(["2 sip.tls_key needs sip.tls_cert beside it"]);
  });

  test("HTTP without TLS is for loopback or behind a proxy", () => {
    expect(faults('[http]\nlisten = "0.0.0.0:8080"')).toEqual([
      expect.stringMatching(/^2 http\.listen 0\.0\.0\.0:8080 without TLS/),
    ]);
    expect(faults('[http]\nlisten = "0.0.0.0:8080"\ntrusted_proxies = ["10.0.0.1"]')).toEqual([]);
    expect(faults('[http]\nlisten = "0.0.0.0:8443"\ntls_cert = "c"\ntls_key = "k"', {}, { c: "", k: "" })).toEqual([]);
    expect(faults('[http]\nlisten = "127.example.com:8080"')).toHaveLength(1);
    for (const host of ["127.0.0.1", "127.9.9.9", "[::1]", "localhost"]) {
      expect(faults(`[http]\nlisten = "${host}:8080"`)).toEqual([]);
    }
  });

  test("the operator listener needs a token unless on loopback", () => {
    expect(faults('[operator]\nlisten = "0.0.0.0:9090"')).toEqual([
      expect.stringMatching(/^1 operator\.token is missing/),
    ]);
    expect(faults('[operator]\nlisten = "0.0.0.0:9090"\ntoken = "x"')).toEqual([]);
    const hint = faults('[operator]\nlisten = "0.0.0.0:9090"', { WAKELINE_OPERATOR_TOKEN: "x" });
    expect(hint).toEqual([expect.stringContaining('token = "env:WAKELINE_OPERATOR_TOKEN"')]);
  });

  test("SIP over TLS needs a certificate, its own or that for HTTP", () => {
    expect(faults("[sip]\ntls_port = 5071")).toEqual([expect.stringMatching(/^2 sip\.tls_port needs a certificate/)]);
    const config = load('[sip]\ntls_port = 5071\ntls_cert = "c"\ntls_key = "k"', {}, { c: "", k: "" });
    expect(config.sip.tlsCert).toEndWith("/c");
  });

  test("the shards' ports exist and meet nothing", () => {
    expect(faults("[sip]\nport = 65530\nshards = 8")).toEqual([
      expect.stringContaining("the last would listen on 65537"),
    ]);
    const tls = 'tls_cert = "c"\ntls_key = "k"\n';
    expect(faults(`[sip]\nshards = 4\nport = 5060\ntls_port = 5063\n${tls}`, {}, { c: "", k: "" })).toEqual([
      "4 sip.tls_port (0.0.0.0 port 5063 to 5066) meets sip.port (0.0.0.0 port 5060 to 5063)",
    ]);
    expect(faults(`[sip]\nshards = 4\nport = 5060\ntls_port = 5064\n${tls}`, {}, { c: "", k: "" })).toEqual([]);
    expect(faults('[http]\nlisten = "127.0.0.1:9090"')).toEqual([expect.stringContaining("meets http.listen")]);
    expect(faults('[http]\nlisten = "localhost:5061"\n[sip]\nshards = 2')).toHaveLength(1);
    expect(faults('[http]\nlisten = "127.0.0.1:5061"\n[sip]\nlisten = "192.0.2.1"\nshards = 2')).toEqual([]);
    expect(faults('[http]\nlisten = "127.0.0.1:0"\n[operator]\nlisten = "127.0.0.1:0"\n[sip]\nport = 0')).toEqual([]);
  });

  test("an app needs a key or all three of jwks_url, issuer and audience, and its own id", () => {
    const key = `key = "sha256:${"0".repeat(64)}"`;
    expect(faults(`[[apps]]\nid = "a"`)).toEqual([
      expect.stringMatching(/^1 apps\[0\]\.key is missing: "a" needs a key, or/),
    ]);
    expect(faults(`[[apps]]\nid = "a"\nissuer = "x"`)).toEqual([
      "3 apps[0].issuer needs jwks_url and audience beside it",
    ]);
    expect(faults(`[[apps]]\n${key}`)).toEqual(["1 apps[0].id is missing"]);
    expect(faults(`[[apps]]\nid = "a"\n${key}\n[[apps]]\nid = "a"\n${key}`)).toEqual([
      '5 apps[1].id "a" is the id of an app above, too',
    ]);
    expect(faults('[[apps]]\nid = "a"\nkey = "the key itself"')).toEqual([
      '3 apps[0].key must be "sha256:" and 64 hex digits (`printf %s KEY | sha256sum`)',
    ]);
  });

  test("files that are named must be readable", () => {
    const toml = `[http]\ntls_cert = "c"\ntls_key = "."\n[[apps]]\nid = "a"\nkey = "sha256:${"0".repeat(64)}"\n[apps.fcm]\nservice_account_file = "sa.json"`;
    const [cert, key, account] = faults(toml);
    expect(cert).toMatch(/^2 http\.tls_cert names .+\/c, which cannot be read: no such file$/);
    expect(key).toMatch(/^3 http\.tls_key names .+, which is a folder$/);
    expect(account).toMatch(/^8 apps\[0\]\.fcm\.service_account_file names .+sa\.json, which cannot be read/);
  });

  test("secrets that are referred to must be there, and no fault repeats one", () => {
    const toml =
      '[operator]\ntoken = "env:NO_SUCH"\n[[apps]]\nid = "a"\nkey = "file:no.key"\nwebhook = { url = "https://x.example", secret = 12345678 }';
    const found = faults(toml, {});
    expect(found[0]).toBe("2 operator.token names the environment variable NO_SUCH, which is not set");
    expect(found[1]).toMatch(/^5 apps\[0\]\.key names .+no\.key, which cannot be read: no such file$/);
    expect(found[2]).toBe('6 apps[0].webhook.secret must be text, "env:NAME" or "file:PATH"');
    expect(found.join()).not.toContain("12345678");
    expect(faults('master_key = "env:NO_SUCH"')).toHaveLength(1);
    expect(load('master_key = "env:KEY"', { KEY: "sesame" }).masterKey).toBe("env:KEY");
  });

  test("credentials leave over https, or stay on this machine", () => {
    const app = (apns: string): string =>
      `[[apps]]\nid = "a"\nkey = "sha256:${"0".repeat(64)}"\napns = { key_file = "k", key_id = "ABCDE12345", team_id = "TEAM123456", topic = "t", endpoint = "${apns}" }`;
    expect(faults(app("http://push.example.com"), {}, { k: "" })).toEqual([
      expect.stringContaining("must be an https:// URL"),
    ]);
    expect(faults(app("http://127.0.0.1:1"), {}, { k: "" })).toEqual([]);
    expect(faults(app("https://u:p@push.example.com"), {}, { k: "" })).toHaveLength(1);
  });
});

describe("the environment", () => {
  test("overrides the file, each kind of value read from text", () => {
    const config = load("[sip]\nport = 5060\nshards = 1", {
      WAKELINE_SIP__PORT: "5070",
      WAKELINE_DRAIN_SEC: "7",
      WAKELINE_LIMITS__LEASE_DAYS: "0.25",
      WAKELINE_SIP__LISTEN: "127.0.0.1, ::1",
      WAKELINE_SIP__EGRESS_ALLOW: '["10.0.0.0/8"]',
      WAKELINE_WAKE__RING: "on_device",
      WAKELINE_HTTP__TRUSTED_PROXIES: "",
      OTHER: "x",
    });
    expect(config.sip).toMatchObject({
      port: 5070,
      shards: 1,
      listen: ["127.0.0.1", "::1"],
      egressAllow: ["10.0.0.0/8"],
    });
    expect(config).toMatchObject({ drainSec: 7, limits: { leaseDays: 0.25 }, wake: { ring: "on_device" } });
  });

  test("makes apps and changes those of the file", () => {
    const key = `sha256:${"1".repeat(64)}`;
    const config = load('[[apps]]\nid = "a"\nkey = "env:APP_KEY"', {
      APP_KEY: key,
      WAKELINE_APPS__0__ID: "b",
      WAKELINE_APPS__1__ID: "c",
      WAKELINE_APPS__1__KEY: key,
      WAKELINE_APPS__1__WEBHOOK__URL: "http://127.0.0.1:7000/",
      WAKELINE_APPS__1__WEBHOOK__SECRET: "s",
      WAKELINE_APPS__2: `{ id = "d", key = "${key}", webpush = { subject = "mailto:a@b" } }`,
    });
    expect(config.apps.map((app) => [app.id, app.webhook?.secret, app.webpush?.subject])).toEqual([
      ["b", undefined, undefined],
      ["c", "s", undefined],
      ["d", undefined, "mailto:a@b"],
    ]);
    expect(
      loadConfig(undefined, { WAKELINE_APPS: `[{ id = "x", key = "${key}" }]` }).apps.map((app) => app.id),
    ).toEqual(["x"]);
  });

  test("has its faults told by the variable's name", () => {
    expect(
      faults("", {
        WAKELINE_SIP__PORT: "5060x",
        WAKELINE_SIP__PROT: "5060",
        WAKELINE_DRAN_SEC: "5",
        WAKELINE_APPS__3__ID: "x",
        WAKELINE_SIP__PORT__X: "1",
        WAKELINE_WAKE: "soon",
      }).sort(),
    ).toEqual([
      "- WAKELINE_APPS__3__ID leaves out apps[0]",
      "- WAKELINE_SIP__PORT__X needs a table at sip.port",
      '- sip.port must be a whole number from 0 to 65535, not "5060x" (from WAKELINE_SIP__PORT)',
      "- unknown key dran_sec; did you mean drain_sec? (from WAKELINE_DRAN_SEC)",
      "- unknown key sip.prot; did you mean sip.port? (from WAKELINE_SIP__PROT)",
      "- wake must be a table (from WAKELINE_WAKE)",
    ]);
  });

  test("variables that a secret is taken from, and others of the same prefix, are no keys", () => {
    const env = { WAKELINE_OPERATOR_TOKEN: "t", WAKELINE_VERSION: "1", WAKELINE_SIP__TOKEN: "u" };
    expect(
      load('[operator]\ntoken = "env:WAKELINE_OPERATOR_TOKEN"', { WAKELINE_OPERATOR_TOKEN: "t" }).operator.token,
    ).toBe("t");
    expect(faults('[operator]\ntoken = "env:WAKELINE_SIP__TOKEN"', env)).toEqual([]);
    expect(faults("", env)).toEqual([
      "- unknown key sip.token; did you mean operator.token? (from WAKELINE_SIP__TOKEN)",
    ]);
  });
});
