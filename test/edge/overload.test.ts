import { describe, expect, test } from "bun:test";
import { appId, appKey, at, EdgeBench } from "./edge-bench.ts";

describe("while a thread does not keep up", () => {
  test("who comes new is asked to wait, phones that are known are served, and it ends by itself", async () => {
    await using bench = await EdgeBench.open();
    const phone = await bench.phone();
    const subscribed = await bench.subscribe(phone);
    const path = `/v1/subscriptions/${(subscribed.body as { id: string }).id}`;
    bench.count("strain", 1);

    const enrolment = await bench.call("POST", "/v1/devices", appKey, {
      app: appId,
      push: { provider: "webhook", token: "hook-2" },
    });
    for (const answer of [enrolment, await bench.subscribe(phone, { username: "bob" })]) {
      expect(answer.status).toBe(503);
      expect(at(answer, "code")).toBe("overloaded");
      const waitSec = Number(answer.headers.get("retry-after"));
      expect(waitSec).toBeWithin(5, 31);
    }
    expect((await bench.call("POST", "/v1/devices/me/test-push", phone.token)).status).toBe(503);
    expect(await bench.metric("wakeline_requests_shed_total")).toBe(3);
    expect(await bench.metric("wakeline_strain")).toBe(1);

    expect((await bench.call("GET", path, phone.token)).status).toBe(200);
    expect((await bench.call("PUT", `${path}/presence`, phone.token, { presence: "foreground" })).status).toBe(200);
    expect((await bench.call("PATCH", "/v1/devices/me", phone.token, { name: "Anna's" })).status).toBe(200);
    expect((await bench.call("DELETE", path, phone.token)).status).toBe(204);
    expect((await bench.operator("GET", "/health/live")).status).toBe(200);

    bench.count("strain", 0);
    expect((await bench.subscribe(phone, { username: "bob" })).status).toBe(201);
  });

  test("so it is while thousands of writes wait for the store", async () => {
    await using bench = await EdgeBench.open();
    const phone = await bench.phone();
    bench.store.line = 2_001;
    expect((await bench.subscribe(phone)).status).toBe(503);
    expect((await bench.call("GET", "/v1/devices/me", phone.token)).status).toBe(200);
    bench.store.line = 2_000;
    expect((await bench.subscribe(phone)).status).toBe(201);
  });
});
