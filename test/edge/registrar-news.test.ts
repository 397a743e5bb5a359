import { describe, expect, test } from "bun:test";
import type { AccountId } from "../../src/base/ids.ts";
import { OperatorFeed } from "../../src/edge/operator-feed.ts";
import { RegistrarNews } from "../../src/edge/registrar-news.ts";
import { type Log, silentLog } from "../../src/observe/log.ts";
import { Metrics } from "../../src/observe/metrics.ts";
import { MemoryStore } from "../fakes/memory-store.ts";
import { VirtualClock } from "../fakes/virtual-clock.ts";
import { accountOf } from "../keeper/bench-shard.ts";
import { EdgeBench } from "./edge-bench.ts";

const server = "sip.example.com";
const validToMs = Date.UTC(2027, 0, 1);
const account = { ...accountOf(1), domain: "example.com", proxy: "SIP.example.com:5061" };

function desk(store = new MemoryStore()) {
  const clock = new VirtualClock();
  const metrics = new Metrics({ lanes: [], startedAtMs: 0 });
  const logged: string[] = [];
  const log: Log = {
    ...silentLog,
    info: (event, fields) => logged.push(`info ${event} ${JSON.stringify(fields)}`),
    warn: (event, fields) => logged.push(`warn ${event} ${JSON.stringify(fields)}`),
  };
  const feed = new OperatorFeed(clock);
  const news = new RegistrarNews({ store, feed, metrics, clock, log });
  const shows = (key: string, issuer: string): void => news.certificate({ server, key, issuer, validToMs });
  const alarms = async (): Promise<string[]> =>
    (await metrics.text())
      .split("\n")
      .filter((line) => line.includes(`_total{kind="registrar_`) && !line.endsWith(" 0"));
  return { clock, feed, logged, news, shows, store, alarms };
}

describe("a TLS server's key", () => {
  test("seen first is remembered and no news; the same again is none either", () => {
    const { logged, shows, news } = desk();
    shows("k1", "CN=CA one");
    shows("k1", "CN=CA one");
    expect(logged).toEqual([]);
    expect(news.of(account)).toEqual([]);
  });

  test("a new one from an issuer known for this server is a renewal: info, no alarm", async () => {
    const { logged, shows, news, alarms } = desk();
    shows("k1", "CN=CA one");
    shows("k2", "CN=CA one");
    expect(logged).toHaveLength(1);
    expect(logged[0]).toStartWith("info registrar.certificateRenewed");
    expect(news.of(account)).toMatchObject([{ what: "certificateRenewed", level: "info" }]);
    expect(await alarms()).toEqual([]);
  });

  test("a new one from another issuer is a warning with both, and until when the old one was good", async () => {
    const { logged, shows, news, alarms } = desk();
    shows("k1", "CN=CA one");
    shows("k2", "CN=CA two");
    const told = {
      registrar: server,
      issuer: "CN=CA two",
      formerIssuer: "CN=CA one",
      formerValidUntil: "2027-01-01T00:00:00.000Z",
    };
    expect(logged).toEqual([`warn registrar.certificateChanged ${JSON.stringify(told)}`]);
    expect(news.of(account)).toMatchObject([{ what: "certificateChanged", level: "warn", ...told }]);
    expect(news.of({ ...account, proxy: undefined })).toEqual([]);
    expect(await alarms()).toEqual([`wakeline_alarms_total{kind="registrar_certificate"} 1`]);
  });

  test("of a cluster whose nodes each have one: each is news once", () => {
    const { logged, shows } = desk();
    for (let n = 0; n < 10; n++) for (const key of ["k1", "k2", "k3"]) shows(key, "CN=CA one");
    expect(logged).toHaveLength(2);
  });

  test("is remembered over a restart, in one setting, whatever comes while it is written", async () => {
    const { shows, store } = desk();
    for (let n = 0; n < 5; n++) shows(`k${n}`, "CN=CA one");
    for (let turn = 0; turn < 20; turn++) await Promise.resolve();
    const later = desk(store);
    for (let n = 0; n < 5; n++) later.shows(`k${n}`, "CN=CA one");
    expect(later.logged).toEqual([]);
    later.shows("k9", "CN=CA two");
    expect(later.logged[0]).toStartWith("warn registrar.certificateChanged");
  });

  test("that was kept in a damaged setting is begun anew", () => {
    for (const damaged of ["{", "7", `[["x", 1]]`, `[["${server}", [{"key": 1}]]]`]) {
      const store = new MemoryStore();
      store.settings.set("serverKeys", damaged);
      const { logged, shows } = desk(store);
      shows("k1", "CN=CA one");
      expect(logged).toEqual([]);
    }
  });
});

describe("a realm that is another", () => {
  const changed = (accountId: AccountId) =>
    ({ kind: "realmChanged", accountId, registrar: server, realm: "evil" }) as const;

  test("is in the account's story, the log and the alarms; the log has it once a minute a registrar", async () => {
    const { clock, feed, logged, news, alarms } = desk();
    for (let n = 0; n < 1000; n++) news.realmChanged(changed(accountOf(n).accountId));
    expect(feed.storyOf(accountOf(1).accountId)).toMatchObject([
      { topic: "registrar", data: { what: "realmChanged", level: "warn", registrar: server, realm: "evil" } },
    ]);
    expect(logged).toHaveLength(1);
    expect(logged[0]).toStartWith("warn registrar.realmChanged");
    expect(await alarms()).toEqual([`wakeline_alarms_total{kind="registrar_realm"} 1000`]);
    clock.advance(60_000);
    news.realmChanged(changed(accountOf(1).accountId));
    expect(logged).toHaveLength(2);
  });
});

test("events of shards come to whoever watches, and to who asks for the account", async () => {
  await using bench = await EdgeBench.open();
  const phone = await bench.phone();
  await bench.subscribe(phone);
  const [record] = bench.store.accountRecords.values();
  if (record === undefined) throw new Error("no account");
  const response = await fetch(`http://127.0.0.1:${bench.edge.operatorPort}/operator/v1/events?topics=registrar`);
  const lines = response.body!.getReader();
  const { dispatcher } = bench.edge;
  const registrar = record.domain;
  for (const [key, issuer] of [
    ["k1", "CN=one"],
    ["k2", "CN=two"],
  ] as const) {
    dispatcher.onEvent({ kind: "serverCertificate", certificate: { server: registrar, key, issuer, validToMs: 0 } });
  }
  dispatcher.onEvent({ kind: "realmChanged", accountId: record.accountId, registrar, realm: "another" });
  let text = "";
  while (!text.includes("realmChanged")) text += new TextDecoder().decode((await lines.read()).value);
  expect(text).toContain(`"what":"certificateChanged","level":"warn"`);
  await lines.cancel();
  const { body } = await bench.operator("GET", `/operator/v1/accounts/${record.accountId}`);
  expect(body).toMatchObject({
    registrarNews: [{ what: "certificateChanged", issuer: "CN=two", formerIssuer: "CN=one" }],
    story: [{ topic: "registrar", what: "realmChanged", realm: "another" }],
  });
});
