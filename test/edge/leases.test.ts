import { describe, expect, test } from "bun:test";
import type { DeviceId } from "../../src/base/ids.ts";
import { leaseSweepMs } from "../../src/edge/leases.ts";
import { EdgeBench } from "./edge-bench.ts";

const hourMs = 3_600_000;
const dayMs = 24 * hourMs;

async function sweepAfter(bench: EdgeBench, ms: number): Promise<readonly string[]> {
  const before = bench.gateway.pushes.length;
  bench.clock.advance(ms);
  await bench.edge.sweepLeases();
  return bench.gateway.pushes.slice(before).map(({ payload }) => `${payload.kind} ${payload.deadline}`);
}

describe("leases", () => {
  test("are looked at every five minutes; one of an hour or of seconds does not outlive itself by much", () => {
    expect([14, 1, 1 / 48, 10 / 86_400, 1 / 86_400].map(leaseSweepMs)).toEqual([
      300_000, 300_000, 180_000, 1_000, 1_000,
    ]);
  });

  test("a device not seen is warned a day and an hour before its end, once each, and then dropped with its account", async () => {
    await using bench = await EdgeBench.open();
    const phone = await bench.phone();
    await bench.subscribe(phone);
    const [accountId] = bench.store.accountRecords.keys();
    const end = "2026-12-08T12:00:00.000Z";
    expect(await sweepAfter(bench, 0)).toEqual([]);
    expect(await sweepAfter(bench, 13 * dayMs - 1)).toEqual([]);
    expect(await sweepAfter(bench, 1)).toEqual([`lease ${end}`]);
    expect(bench.gateway.pushes.at(-1)?.payload.text).toContain("in a day");
    expect(await sweepAfter(bench, 60_000)).toEqual([]);
    expect(await sweepAfter(bench, 23 * hourMs - 60_000)).toEqual([`lease ${end}`]);
    expect(bench.gateway.pushes.at(-1)?.payload.text).toContain("in an hour");
    expect(await sweepAfter(bench, hourMs - 1)).toEqual([]);
    expect(bench.store.devices.size).toBe(1);
    await sweepAfter(bench, 2);
    expect([bench.store.devices.size, bench.store.secrets.size]).toEqual([0, 0]);
    expect(bench.shards.told.at(-1)).toBe(`remove ${accountId}`);
  });

  test("a device that is seen starts anew", async () => {
    await using bench = await EdgeBench.open();
    const phone = await bench.phone();
    await sweepAfter(bench, 0);
    bench.clock.advance(13 * dayMs - 1);
    await bench.call("GET", "/v1/devices/me", phone.token);
    expect(await sweepAfter(bench, dayMs + 2)).toEqual([]);
    expect(bench.store.devices.size).toBe(1);
  });

  test("a restart neither repeats nor forgets a warning", async () => {
    await using bench = await EdgeBench.open();
    await bench.phone();
    await sweepAfter(bench, 0);
    bench.clock.advance(13 * dayMs - 60_000);
    await bench.edge.sweepLeases();
    // Down over the moment of the warning; the store is what is left.
    const { store } = bench;
    await using next = await EdgeBench.open({}, { store, clock: bench.clock });
    bench.clock.advance(120_000);
    await next.edge.sweepLeases();
    expect(next.gateway.pushes.map(({ payload }) => payload.kind)).toEqual(["lease"]);
    await using again = await EdgeBench.open({}, { store, clock: bench.clock });
    await again.edge.sweepLeases();
    expect(again.gateway.pushes).toEqual([]);
  });

  test("a lease of a day knows no warning a day before", async () => {
    await using bench = await EdgeBench.open({ limits: { accountsPerDevice: 16, devicesPerAccount: 8, leaseDays: 1 } });
    expect(await sweepAfter(bench, 0)).toEqual([]);
    bench.clock.advance(1_000);
    await bench.phone();
    expect(await sweepAfter(bench, 1_000)).toEqual([]);
    expect((await sweepAfter(bench, 23 * hourMs)).length).toBe(1);
  });

  test("an account that a crash left without a device is erased", async () => {
    await using bench = await EdgeBench.open();
    const phone = await bench.phone();
    await bench.subscribe(phone);
    await bench.store.removeDevice(phone.deviceId as DeviceId);
    expect(bench.store.secrets.size).toBe(1);
    await bench.edge.sweepLeases();
    expect(bench.store.secrets.size).toBe(0);
  });

  test("a sweep that fails is counted, and the next one does its work", async () => {
    await using bench = await EdgeBench.open();
    await bench.phone();
    bench.store.failNext = new Error("disk full");
    await sweepAfter(bench, 15 * dayMs);
    expect([await bench.metric('wakeline_faults_total{where="sweep"}'), bench.store.devices.size]).toEqual([1, 1]);
    await bench.edge.sweepLeases();
    expect(bench.store.devices.size).toBe(0);
  });
});
