import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { createLocalJWKSet, jwtVerify, type JSONWebKeySet } from "jose";
import { until } from "../interop/lab/wait.ts";
import { Lab } from "./lab.ts";

/** What is promised to the outside and needs the whole server to be seen. */
let lab: Lab;
beforeAll(async () => {
  lab = await Lab.open();
});
afterAll(() => lab.close());

describe("a device", () => {
  test("its token is a JWT (EdDSA) that the published keys verify", async () => {
    const phone = await lab.phone();
    const keys = (await (await fetch(`${lab.url}/.well-known/jwks.json`)).json()) as JSONWebKeySet;
    const { payload, protectedHeader } = await jwtVerify(phone.token, createLocalJWKSet(keys));
    expect(protectedHeader.alg).toBe("EdDSA");
    expect(payload.sub).toBe(String((await phone.http("GET", "/v1/devices/me")).body.deviceId));
  });

  test("a test push comes and opens nothing; its receipt counts once, another device's is 404", async () => {
    const phone = await lab.phone();
    expect((await phone.http("POST", "/v1/devices/me/test-push")).body.outcome).toBe("accepted");
    const push = await phone.push("test");
    expect([push.call, push.tunnel, push.subscription]).toEqual([undefined, undefined, undefined]);
    const receipt = { receivedAt: new Date().toISOString(), priority: "high" };
    const stranger = await lab.phone();
    expect((await stranger.http("POST", `/v1/pushes/${push.id}/receipt`, receipt)).status).toBe(404);
    for (let n = 0; n < 2; n++)
      expect((await phone.http("POST", `/v1/pushes/${push.id}/receipt`, receipt)).status).toBe(204);
    const { wake } = (await phone.http("GET", "/v1/devices/me")).body;
    expect(wake).toMatchObject({ receipts: 1, unanswered: 0 });
  });

  test("a new push target takes the next call", async () => {
    const { phone, account } = await lab.sleeper();
    const changed = `${phone.pushToken}-new`;
    const push = { provider: "webhook", token: changed };
    expect((await phone.http("PATCH", "/v1/devices/me", { push })).status).toBe(200);
    const invite = lab.provider.sends("INVITE", account.username);
    expect((await lab.nextPush(changed, "call")).callId).toBe(invite.get("Call-ID"));
    expect(lab.pushesLeft(phone.pushToken)).toEqual([]);
    lab.provider.cancels(invite);
    await lab.provider.gets("487 INVITE", invite.get("Call-ID"));
  });

  test("DELETE erases it: its binding goes, its token is 401, the ticket of a call that rings 403", async () => {
    const { phone, account } = await lab.sleeper();
    const invite = lab.provider.sends("INVITE", account.username);
    const { tunnel } = await phone.push("call");
    expect((await phone.http("DELETE", "/v1/devices/me")).status).toBe(204);
    expect((await phone.http("GET", "/v1/devices/me")).status).toBe(401);
    expect((await fetch((tunnel ?? "").replace(/^ws/, "http"))).status).toBe(403);
    await until("the binding goes", () => !lab.provider.isBound(account.username));
    expect(lab.filesWith(account.username)).toEqual([]);
    lab.provider.cancels(invite);
  });
});

describe("an open tunnel", () => {
  test("gets the INVITE at once; a push goes only to a phone that says nothing to it for a second", async () => {
    const ringing = await lab.sleeper();
    const silent = await lab.sleeper();
    const invites = [];
    for (const { phone, account } of [ringing, silent]) {
      await phone.opens();
      await phone.isHere(account);
      const invite = lab.provider.sends("INVITE", account.username);
      const offered = await phone.gets("INVITE", invite.get("Call-ID"));
      if (phone === ringing.phone) phone.answersTo(offered, 180);
      invites.push(invite);
    }
    // The other phone's second was over before this one's.
    expect((await silent.phone.push("call")).callId).toBe(invites[1]?.get("Call-ID") ?? "");
    expect(lab.pushesLeft(ringing.phone.pushToken)).toEqual([]);
    for (const invite of invites) {
      lab.provider.cancels(invite);
      await lab.provider.gets("487 INVITE", invite.get("Call-ID"));
    }
  });
});

describe("what a developer gets wrong", () => {
  test("is named in words, with a JSON pointer (RFC 6901, RFC 9457)", async () => {
    const { phone } = await lab.sleeper();
    const faults = async (method: string, path: string, body: unknown) => {
      const answer = await phone.http(method, path, body);
      expect(answer.status).toBe(422);
      return answer.body.errors;
    };
    const own = `/v1/subscriptions/${phone.subscription}`;
    expect(await faults("PUT", `${own}/presence`, { presence: "asleep", waitSec: 16 })).toEqual([
      { field: "presence", detail: "must be one of background, foreground", pointer: "#/presence" },
      { field: "waitSec", detail: "must be at most 15", pointer: "#/waitSec" },
    ]);
    const patch = { account: { expiresSec: 1, natEmulation: "yes", ha1: [], displayName: "x".repeat(5_000), nope: 1 } };
    const details = (await faults("PATCH", own, patch)) as readonly { field: string; detail: string }[];
    expect(Object.fromEntries(details.map(({ field, detail }) => [field, detail]))).toMatchObject({
      "account.expiresSec": "must be at least 10",
      "account.natEmulation": "must be a boolean",
      "account.ha1": "must not have fewer entries than 1",
      "account.displayName": "is none of the values that can stand here, see /docs",
      "account.nope": "is not known",
    });
    expect(await faults("PATCH", "/v1/devices/me", [])).toEqual([
      { field: "body", detail: "must be an object", pointer: "#" },
    ]);
  });

  test("the documents answer HEAD as GET", async () => {
    for (const path of ["/docs", "/.well-known/wakeline.json"]) {
      const { status, headers } = await fetch(`${lab.url}${path}`, { method: "HEAD" });
      expect([path, status, headers.get("content-type") === null]).toEqual([path, 200, false]);
    }
  });
});

describe("a page of another origin", () => {
  test("may ask, with a token, and read how long it is to wait (Fetch §3.3)", async () => {
    const asked = await fetch(`${lab.url}/v1/subscriptions`, {
      method: "OPTIONS",
      headers: { origin: "https://app.example.com", "access-control-request-method": "PUT" },
    });
    expect(asked.headers.get("access-control-allow-methods")).toContain("PUT");
    expect(asked.headers.get("access-control-allow-headers")).toContain("authorization");
    const { headers } = await fetch(`${lab.url}/v1/subscriptions`, { headers: { origin: "https://app.example.com" } });
    expect(headers.get("access-control-allow-origin")).toBe("*");
    expect(headers.get("access-control-expose-headers")).toContain("retry-after");
  });
});

describe("the call list", () => {
  test("has missed calls newest first, with numbers and times and nothing else; `since` leaves older ones out", async () => {
    const { phone, account } = await lab.sleeper();
    const calls: string[] = [];
    for (let n = 0; n < 2; n++) {
      const invite = lab.provider.sends("INVITE", account.username, { body: "v=0\r\n" });
      const push = await phone.push("call");
      expect((await phone.callState(push.call)).body).toMatchObject({ state: "ringing", from: push.from });
      lab.provider.cancels(invite);
      lab.provider.acksFailure(invite, await lab.provider.gets("487 INVITE", invite.get("Call-ID")));
      await phone.callBecomes(push.call, "cancelled");
      calls.unshift(push.call ?? "");
    }
    const list = await phone.journal(2);
    expect(list.map(({ call }) => call)).toEqual(calls);
    const fields = ["call", "callId", "subscription", "direction", "state", "from", "at", "answeredAt", "endedAt"];
    expect(list.flatMap((line) => Object.keys(line)).filter((field) => !fields.includes(field))).toEqual([]);
    const since = encodeURIComponent(String(list[0]?.["at"]));
    const newer = (await phone.http("GET", `/v1/calls?since=${since}`)).body as unknown as readonly unknown[];
    expect(newer).toHaveLength(1);
    const stranger = await lab.phone();
    expect((await stranger.http("GET", "/v1/calls")).body).toEqual([] as never);
  });
});
