import { beforeAll, describe, expect, test } from "bun:test";
import { FormatRegistry, type TSchema } from "@sinclair/typebox";
import { TypeCompiler } from "@sinclair/typebox/compiler";
import { answerSchemas, type AnswerName } from "../../src/edge/answer-schemas.ts";
import {
  DevicePatchBody,
  EnrolBody,
  PresenceBody,
  ReceiptBody,
  SubscribeBody,
  SubscriptionPatchBody,
} from "../../src/edge/schemas.ts";
import { appId, appKey, at, EdgeBench, type Answer } from "./edge-bench.ts";

interface Media {
  readonly schema: { readonly $ref?: string; readonly examples?: readonly unknown[] };
  readonly example?: unknown;
}
type Content = Readonly<Record<string, Media>>;
interface Operation {
  readonly requestBody?: { readonly content: Content };
  readonly parameters?: readonly { readonly name: string; readonly in: string }[];
  readonly responses: Readonly<Record<string, { readonly description: string; readonly content?: Content }>>;
}
interface OpenApi {
  readonly openapi: string;
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
  readonly components: { readonly schemas: Readonly<Record<string, unknown>> };
}

let document: OpenApi;
beforeAll(async () => {
  FormatRegistry.Set("date-time", (value) => !Number.isNaN(Date.parse(value)));
  await using bench = await EdgeBench.open();
  document = (await bench.call("GET", "/openapi.json")).body as OpenApi;
});

function faults(schema: TSchema, value: unknown): readonly string[] {
  return [...TypeCompiler.Compile(schema).Errors(value)].map(({ path, message }) => `${path} ${message}`);
}

/** The schema that a media type of the document names. */
function schemaOf({ schema }: Media): TSchema {
  const name = schema.$ref?.replace("#/components/schemas/", "") ?? "";
  const found = answerSchemas[name as AnswerName];
  if (found === undefined) throw new Error(`${schema.$ref} leads nowhere`);
  // What the document says is what we check with.
  expect(document.components.schemas[name]).toEqual(JSON.parse(JSON.stringify(found)));
  return { ...found, additionalProperties: false };
}

const operations = () =>
  Object.entries(document.paths)
    .filter(([path]) => path.startsWith("/v1/"))
    .flatMap(([path, methods]) =>
      Object.entries(methods).map(([method, operation]) => ({ name: `${method.toUpperCase()} ${path}`, operation })),
    );

describe("the OpenAPI document", () => {
  test("every call says what it answers without a good token and when it is asked too often", () => {
    const without = operations().filter(
      ({ operation }) => !("401" in operation.responses && "429" in operation.responses),
    );
    expect(without.map(({ name }) => name)).toEqual([]);
  });

  test("every body has an example that the server takes, and answers for a bad one", () => {
    const bodies: Readonly<Record<string, TSchema>> = {
      "POST /v1/devices": EnrolBody,
      "PATCH /v1/devices/me": DevicePatchBody,
      "POST /v1/subscriptions": SubscribeBody,
      "PATCH /v1/subscriptions/{id}": SubscriptionPatchBody,
      "PUT /v1/subscriptions/{id}/presence": PresenceBody,
      "POST /v1/pushes/{id}/receipt": ReceiptBody,
    };
    const withBody = operations().filter(({ operation }) => operation.requestBody !== undefined);
    expect(withBody.map(({ name }) => name).sort()).toEqual(Object.keys(bodies).sort());
    for (const { name, operation } of withBody) {
      const examples = operation.requestBody?.content["application/json"]?.schema.examples ?? [];
      expect([name, examples.length]).toEqual([name, 1]);
      const schema = bodies[name];
      if (schema !== undefined) expect([name, faults(schema, examples[0])]).toEqual([name, []]);
      expect(Object.keys(operation.responses)).toEqual(expect.arrayContaining(["400", "413", "422"]));
    }
  });

  test("every answer with a body has an example of its schema", () => {
    let examples = 0;
    for (const { name, operation } of operations()) {
      for (const [status, { description, content }] of Object.entries(operation.responses)) {
        expect([name, status, description.length > 0]).toEqual([name, status, true]);
        for (const media of Object.values(content ?? {})) {
          expect([name, status, faults(schemaOf(media), media.example)]).toEqual([name, status, []]);
          examples++;
        }
      }
    }
    expect(examples).toBeGreaterThan(40);
  });

  test("every part in braces of a path is a parameter", () => {
    for (const [path, methods] of Object.entries(document.paths)) {
      const wanted = [...path.matchAll(/\{(\w+)\}/g)].map((match) => match[1]);
      for (const { parameters = [] } of Object.values(methods)) {
        const named = parameters.filter((parameter) => parameter.in === "path").map(({ name }) => name);
        expect([path, named]).toEqual([path, wanted as string[]]);
      }
    }
  });
});

describe("answers of a running server are what the OpenAPI document says", () => {
  test("of each status that a phone can bring about", async () => {
    await using bench = await EdgeBench.open({
      limits: { accountsPerDevice: 1, devicesPerAccount: 8, leaseDays: 14 },
    });
    const seen: string[] = [];
    const check = (call: string, answer: Answer): Answer => {
      const [method = "", path = ""] = call.split(" ");
      const response = document.paths[path]?.[method.toLowerCase()]?.responses[String(answer.status)];
      const type = answer.headers.get("content-type")?.split(";")[0];
      if (response === undefined) throw new Error(`${call} ${answer.status} is not in the document: ${answer.text}`);
      const media = type === undefined || type === null ? undefined : response.content?.[type];
      if (answer.text === "") expect([call, answer.status, response.content]).toEqual([call, answer.status, undefined]);
      else if (media === undefined) throw new Error(`${call} ${answer.status} of ${type} is not in the document`);
      else expect([call, answer.status, faults(schemaOf(media), answer.body)]).toEqual([call, answer.status, []]);
      seen.push(`${call} ${answer.status}`);
      return answer;
    };
    const push = { provider: "webhook", token: "hook" };
    const enrolled = check("POST /v1/devices", await bench.call("POST", "/v1/devices", appKey, { app: appId, push }));
    const token = at(enrolled, "token");
    const phone = { deviceId: at(enrolled, "deviceId"), token };
    check("POST /v1/devices", await bench.call("POST", "/v1/devices", "wrong", { app: appId, push }));
    check("POST /v1/devices", await bench.call("POST", "/v1/devices", appKey, "{"));
    check("POST /v1/devices", await bench.call("POST", "/v1/devices", appKey, { app: appId }));
    check("POST /v1/devices", await bench.call("POST", "/v1/devices", appKey, " ".repeat(70_000)));
    check("GET /v1/devices/me", await bench.call("GET", "/v1/devices/me", token));
    check("GET /v1/devices/me", await bench.call("GET", "/v1/devices/me"));
    check("PATCH /v1/devices/me", await bench.call("PATCH", "/v1/devices/me", token, { name: "x" }));
    check("POST /v1/devices/me/test-push", await bench.call("POST", "/v1/devices/me/test-push", token));
    const subscription = check("POST /v1/subscriptions", await bench.subscribe(phone));
    const own = `/v1/subscriptions/${at(subscription, "id")}`;
    check("POST /v1/subscriptions", await bench.subscribe(phone, { username: "carol" }));
    bench.shards.proof = { outcome: "refused", status: 403, reason: "Forbidden" };
    check("POST /v1/subscriptions", await bench.subscribe(await bench.phone()));
    bench.shards.proof = { outcome: "unavailable", status: 0, reason: "no answer" };
    check("POST /v1/subscriptions", await bench.subscribe(await bench.phone()));
    check("GET /v1/subscriptions", await bench.call("GET", "/v1/subscriptions", token));
    check("GET /v1/subscriptions/{id}", await bench.call("GET", own, token));
    check("GET /v1/subscriptions/{id}", await bench.call("GET", "/v1/subscriptions/none", token));
    check("PATCH /v1/subscriptions/{id}", await bench.call("PATCH", own, token, { notify: { preview: true } }));
    const presence = "PUT /v1/subscriptions/{id}/presence";
    check(presence, await bench.call("PUT", `${own}/presence`, token, { presence: "foreground" }));
    bench.shards.onPresence = () =>
      Promise.resolve({ pending: true, status: { mode: "alternate", state: "registering" } });
    check(presence, await bench.call("PUT", `${own}/presence`, token, { presence: "background", waitSec: 0 }));
    check(presence, await bench.call("PUT", `${own}/presence`, token, { presence: "asleep" }));
    check("GET /v1/calls/{call}", await bench.call("GET", "/v1/calls/none", token));
    check("GET /v1/calls", await bench.call("GET", "/v1/calls", token));
    check("GET /v1/calls", await bench.call("GET", "/v1/calls?since=soon", token));
    const receipt = "POST /v1/pushes/{id}/receipt";
    const receivedAt = new Date(bench.clock.wallMs()).toISOString();
    const pushId = bench.gateway.pushes[0]?.payload.id ?? "";
    check(receipt, await bench.call("POST", `/v1/pushes/${pushId}/receipt`, token, { receivedAt }));
    check(receipt, await bench.call("POST", "/v1/pushes/none/receipt", token, { receivedAt }));
    check("GET /v1/tunnel", await bench.call("GET", "/v1/tunnel"));
    check("GET /v1/tunnel", await bench.call("GET", "/v1/tunnel?ticket=none"));
    check("GET /v1/tunnel", await bench.call("GET", `/v1/tunnel?token=${token}`));
    check("DELETE /v1/subscriptions/{id}", await bench.call("DELETE", own, token));
    check("DELETE /v1/subscriptions/{id}", await bench.call("DELETE", own, token));
    check("DELETE /v1/devices/me", await bench.call("DELETE", "/v1/devices/me", token));
    expect(new Set(seen.map((line) => line.split(" ")[2]))).toEqual(
      new Set(["200", "201", "202", "204", "400", "401", "403", "404", "409", "413", "422", "426", "503"]),
    );
  });
});
