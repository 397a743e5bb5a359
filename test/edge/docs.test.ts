import { describe, expect, test } from "bun:test";
import { TypeCompiler } from "@sinclair/typebox/compiler";
import { FormatRegistry } from "@sinclair/typebox";
import { answerSchemas, type AnswerName } from "../../src/edge/answer-schemas.ts";
import type { CallUuid, DeviceId } from "../../src/base/ids.ts";
import { appId, appKey, EdgeBench, at, type Answer } from "./edge-bench.ts";

interface Operation {
  readonly summary?: string;
  readonly requestBody?: { readonly content: Readonly<Record<string, { readonly schema: unknown }>> };
  readonly responses: Readonly<Record<string, unknown>>;
}

describe("OpenAPI", () => {
  test("names every call of the interface with its answers", async () => {
    await using bench = await EdgeBench.open();
    const answer = await bench.call("GET", "/openapi.json");
    const { paths } = answer.body as { readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>> };
    const calls = Object.entries(paths).flatMap(([path, methods]) =>
      Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`),
    );
    expect(calls.sort()).toEqual([
      "DELETE /v1/devices/me",
      "DELETE /v1/subscriptions/{id}",
      "GET /.well-known/jwks.json",
      "GET /.well-known/wakeline.json",
      "GET /v1/calls",
      "GET /v1/calls/{call}",
      "GET /v1/devices/me",
      "GET /v1/subscriptions",
      "GET /v1/subscriptions/{id}",
      "GET /v1/tunnel",
      "PATCH /v1/devices/me",
      "PATCH /v1/subscriptions/{id}",
      "POST /v1/devices",
      "POST /v1/devices/me/test-push",
      "POST /v1/pushes/{id}/receipt",
      "POST /v1/subscriptions",
      "PUT /v1/subscriptions/{id}/presence",
    ]);
    for (const methods of Object.values(paths)) {
      for (const operation of Object.values(methods)) {
        expect(operation.summary).toBeString();
        expect(Object.keys(operation.responses).length).toBeGreaterThan(0);
      }
    }
    const body = paths["/v1/subscriptions"]?.["post"]?.requestBody?.content["application/json"]?.schema;
    expect(body).toMatchObject({ additionalProperties: false, required: ["account"] });
    expect(answer.text).toContain('"$ref":"#/components/schemas/Subscription"');
    expect(answer.body).toMatchObject({ components: { schemas: { Problem: { type: "object" } } } });
  });

  test("says of every answer what it is", async () => {
    await using bench = await EdgeBench.open();
    FormatRegistry.Set("date-time", (value) => !Number.isNaN(Date.parse(value)));
    const check = (name: AnswerName, answer: Answer) => {
      // Closed, so that a field that is sent and not described fails too.
      const schema = { ...answerSchemas[name], additionalProperties: false };
      const faults = [...TypeCompiler.Compile(schema).Errors(answer.body)].map(
        ({ path, message }) => `${path} ${message}`,
      );
      expect([name, faults]).toEqual([name, []]);
    };
    const push = { provider: "apns", token: "aa", alertToken: "bb" };
    const enrolled = await bench.call("POST", "/v1/devices", appKey, { app: appId, name: "x", push });
    check("Enrolled", enrolled);
    const phone = { deviceId: at(enrolled, "deviceId"), token: at(enrolled, "token") };
    const full = {
      authUsername: "a",
      displayName: "A",
      proxy: "p.example.com",
      alternateProxy: "q.example.com",
      instanceId: "urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6",
      userAgent: "X/1",
      onUnreachable: { forwardTo: "tel:+1" },
    };
    const subscription = await bench.subscribe(phone, full);
    const [accountId] = bench.store.accountRecords.keys();
    if (accountId === undefined) throw new Error("no account");
    bench.shards.statuses.set(accountId, {
      mode: "auto",
      state: "retrying",
      expiresAtMs: 1,
      lastStatus: 503,
      lastReason: "x",
      nextAttemptAtMs: 1,
      registrar: "r",
      transport: "udp",
    });
    check("Subscription", subscription);
    check("Subscription", await bench.call("GET", `/v1/subscriptions/${at(subscription, "id")}`, phone.token));
    check("SubscriptionList", await bench.call("GET", "/v1/subscriptions", phone.token));
    check("TestPush", await bench.call("POST", "/v1/devices/me/test-push", phone.token));
    const receivedAt = new Date(bench.clock.wallMs()).toISOString();
    const id = bench.gateway.pushes[0]?.payload.id;
    await bench.call("POST", `/v1/pushes/${id}/receipt`, phone.token, { receivedAt });
    check("Device", await bench.call("GET", "/v1/devices/me", phone.token));
    check("Problem", await bench.call("POST", "/v1/subscriptions", phone.token, {}));
    const call = "0192d1c8-1111-7000-8000-000000000001" as CallUuid;
    bench.edge.dispatcher.onEvent({
      kind: "journal",
      targets: [phone.deviceId as DeviceId],
      summary: {
        call,
        callId: "c",
        accountId,
        direction: "inbound",
        from: { uri: "sip:b@x", name: "B" },
        state: "ended",
        startedAtMs: 1,
        answeredAtMs: 2,
        endedAtMs: 3,
        devices: [],
      },
    });
    check("Call", await bench.call("GET", `/v1/calls/${call}`, phone.token));
    check("CallList", await bench.call("GET", "/v1/calls", phone.token));
  });
});

describe("documentation page", () => {
  test("loads nothing from elsewhere", async () => {
    await using bench = await EdgeBench.open();
    const page = await bench.call("GET", "/docs");
    expect(page.headers.get("content-type")).toStartWith("text/html");
    expect(page.headers.get("content-security-policy")).toContain("default-src 'self'");
    const loaded = [...page.text.matchAll(/(?:src|href)="([^"]+)"/g)]
      .map((match) => match[1] ?? "")
      .filter((url) => !url.startsWith("data:"));
    expect(loaded).toEqual(["/docs/swagger-ui.css", "/docs/swagger-ui-bundle.js", "/docs/start.js"]);
    for (const path of loaded) {
      const asset = await bench.call("GET", path);
      expect([path, asset.status, asset.text.length > 50]).toEqual([path, 200, true]);
    }
  });
});
