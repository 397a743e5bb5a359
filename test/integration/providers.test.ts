import { afterAll, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { generateKeyPairSync } from "node:crypto";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { startApnsFake, type ApnsFake, type ApnsFakeRequest } from "../fakes/apns-server.ts";
import { createTestAuthority } from "../fakes/certificates.ts";
import { fcmErrorBody, fcmErrorDetail, startFcmFake, type FcmFake } from "../fakes/fcm-server.ts";
import type { Push } from "../interop/lab/pushes.ts";
import { until } from "../interop/lab/wait.ts";
import { Lab } from "./lab.ts";
import { answersAndHangsUp } from "./whole-call.ts";

const topic = "com.example.integration";
const voipToken = "aa".repeat(32);
const alertToken = "bb".repeat(32);

let lab: Lab;
let apns: ApnsFake;
let fcm: FcmFake;
beforeAll(async () => {
  const authority = createTestAuthority();
  apns = await startApnsFake({ authority });
  fcm = startFcmFake({ authority });
  lab = await Lab.open({
    app: (folder) => {
      const ec = generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey;
      const rsa = generateKeyPairSync("rsa", { modulusLength: 2048 }).privateKey;
      writeFileSync(join(folder, "key.p8"), ec.export({ type: "pkcs8", format: "pem" }));
      writeFileSync(join(folder, "ca.pem"), authority.ca);
      writeFileSync(
        join(folder, "sa.json"),
        JSON.stringify({
          type: "service_account",
          project_id: "integration",
          client_email: "sa@integration.example",
          private_key: rsa.export({ type: "pkcs8", format: "pem" }),
          token_uri: fcm.tokenUrl.href,
        }),
      );
      return [
        `apns = { key_file = "key.p8", key_id = "ABCDE12345", team_id = "ABCDE12345", topic = "${topic}", endpoint = "${apns.url.origin}", ca_file = "ca.pem" }`,
        `fcm = { service_account_file = "sa.json", endpoint = "${fcm.url.origin}", token_endpoint = "${fcm.tokenUrl.href}", ca_file = "ca.pem" }`,
      ];
    },
  });
});
afterAll(async () => {
  await lab.close();
  await Promise.all([apns.close(), fcm.close()]);
});

// Tests come in any order: each sees what it caused itself.
beforeEach(() => {
  apns.requests.length = 0;
});

function atApns(kind: string): Promise<{ readonly request: ApnsFakeRequest; readonly push: Push }> {
  return until(`${kind} at APNs`, () => {
    for (const request of apns.requests) {
      const push = (JSON.parse(request.body) as { wakeline: Push }).wakeline;
      if (push.kind === kind) return { request, push };
    }
    return undefined;
  });
}

function fcmTries(token: string): readonly { readonly push: Push; readonly priority: string }[] {
  return fcm.requests
    .filter(({ message }) => message.token === token)
    .map(({ message }) => {
      const { android, data } = message as { android: { priority: string }; data: { wakeline: string } };
      return { push: JSON.parse(data.wakeline) as Push, priority: android.priority.toUpperCase() };
    });
}

function atFcm(token: string, tries: number): Promise<ReturnType<typeof fcmTries>> {
  return until(`${tries} tries at FCM for ${token}`, () => fcmTries(token).length >= tries && fcmTries(token), {
    detail: () => `${fcmTries(token).length} so far`,
  });
}

describe("APNs", () => {
  test("voip for the call and nothing else by it; cancelled: no cancel, a missed alert; the tunnel shows the system its call", async () => {
    const phone = await lab.phone({ provider: "apns", token: voipToken, alertToken });
    const account = lab.account();
    await phone.sleeps(account);
    const invite = lab.provider.sends("INVITE", account.username);
    const call = await atApns("call");
    expect(call.request.token).toBe(voipToken);
    expect(call.request.headers).toMatchObject({
      "apns-push-type": "voip",
      "apns-topic": `${topic}.voip`,
      "apns-priority": "10",
      "apns-expiration": "0",
    });
    lab.provider.cancels(invite, 'Reason: Q.850;cause=16;text="gave up"');
    const gone = await lab.provider.gets("487 INVITE", invite.get("Call-ID"));
    lab.provider.acksFailure(invite, gone);
    const missed = await atApns("missed");
    expect(missed.request.token).toBe(alertToken);
    expect(missed.request.headers).toMatchObject({ "apns-push-type": "alert", "apns-topic": topic });
    expect(missed.push.call).toBe(call.push.call);

    await phone.opens(call.push.tunnel);
    const shown = await phone.gets("INVITE", invite.get("Call-ID"));
    const cancel = await phone.gets("CANCEL", invite.get("Call-ID"));
    expect(cancel.get("Reason")).toBe('Q.850;cause=16;text="gave up"');
    phone.answersTo(cancel, 200);
    phone.answersTo(shown, 487);
    await phone.gets("ACK", invite.get("Call-ID"));
    await phone.isHere(account);
    expect(apns.requests.map(({ body }) => (JSON.parse(body) as { wakeline: Push }).wakeline.kind)).toEqual([
      "call",
      "missed",
    ]);
    await phone.closes();
  });

  test("busy at first: asked again under the same id, and the woken phone answers and hangs up", async () => {
    const token = "ee".repeat(32);
    const tries = () => apns.requests.filter((request) => request.token === token);
    apns.answer = (request) =>
      request.token === token && tries().length === 1
        ? { status: 503, body: { reason: "ServiceUnavailable" } }
        : { status: 200 };
    const phone = await lab.phone({ provider: "apns", token, alertToken });
    const account = lab.account();
    await phone.sleeps(account);
    const invite = lab.provider.sends("INVITE", account.username);
    const [first, second] = await until("two tries", () => tries().length === 2 && tries());
    const push = (JSON.parse(second?.body ?? "{}") as { wakeline: Push }).wakeline;
    expect((JSON.parse(first?.body ?? "{}") as { wakeline: Push }).wakeline.id).toBe(push.id);
    await answersAndHangsUp(lab, phone, invite, push.tunnel);
    await phone.callBecomes(push.call, "ended");
    expect(tries()).toHaveLength(2);
  });

  test("410 for the VoIP token: this call and the next go out as alerts", async () => {
    const [dead, alive] = ["cc".repeat(32), "dd".repeat(32)];
    apns.answer = ({ token }) =>
      token === dead
        ? { status: 410, body: { reason: "Unregistered", timestamp: Date.now() + 1_000 } }
        : { status: 200 };
    const phone = await lab.phone({ provider: "apns", token: dead, alertToken: alive });
    const account = lab.account();
    await phone.sleeps(account);
    for (let n = 1; n <= 2; n++) {
      const invite = lab.provider.sends("INVITE", account.username);
      await lab.provider.gets("180 INVITE", invite.get("Call-ID"));
      const alerts = apns.requests.filter(({ token }) => token === alive);
      expect(alerts.map(({ headers }) => headers["apns-push-type"])).toEqual(Array.from({ length: n }, () => "alert"));
      const push = (JSON.parse(alerts.at(-1)?.body ?? "") as { wakeline: Push }).wakeline;
      await phone.opens(push.tunnel);
      phone.answersTo(await phone.gets("INVITE", invite.get("Call-ID")), 486);
      lab.provider.acksFailure(invite, await lab.provider.gets("486 INVITE", invite.get("Call-ID")));
      await phone.gets("ACK", invite.get("Call-ID"));
      await phone.closes();
    }
    expect(apns.requests.filter(({ token }) => token === dead)).toHaveLength(1);
    expect((await phone.http("GET", "/v1/devices/me")).body.push).toMatchObject({ state: "dead", alertState: "alive" });
  });
});

describe("FCM", () => {
  test("high priority for call and cancel only, the payload as a string", async () => {
    const phone = await lab.phone({ provider: "fcm", token: "fcm-token:of-the-phone" });
    const account = lab.account();
    await phone.sleeps(account);
    const invite = lab.provider.sends("INVITE", account.username);
    await lab.provider.gets("180 INVITE", invite.get("Call-ID"));
    lab.provider.cancels(invite);
    lab.provider.acksFailure(invite, await lab.provider.gets("487 INVITE", invite.get("Call-ID")));
    const sent = await atFcm("fcm-token:of-the-phone", 3);
    const seen = sent.map(({ push, priority }) => [push.kind, priority]);
    expect(seen.toSorted((a, b) => String(a).localeCompare(String(b)))).toEqual([
      ["call", "HIGH"],
      ["cancel", "HIGH"],
      ["missed", "NORMAL"],
    ]);
  });

  test("busy at first: asked again under the same id, and the woken phone answers and hangs up", async () => {
    const token = "fcm-token-of-a-busy-moment";
    fcm.answer = ({ message }) =>
      message.token === token && fcmTries(token).length === 1
        ? { status: 503, body: fcmErrorBody(503, "UNAVAILABLE", "try again", [fcmErrorDetail("UNAVAILABLE")]) }
        : { status: 200, body: { name: "projects/integration/messages/2" } };
    const phone = await lab.phone({ provider: "fcm", token });
    const account = lab.account();
    await phone.sleeps(account);
    const invite = lab.provider.sends("INVITE", account.username);
    const [first, second] = await atFcm(token, 2);
    expect([second?.push.id, second?.push.kind]).toEqual([first?.push.id, "call"]);
    await answersAndHangsUp(lab, phone, invite, second?.push.tunnel);
    await phone.callBecomes(second?.push.call, "ended");
    expect(fcmTries(token)).toHaveLength(2);
  });

  test("UNREGISTERED: the token is dead, the caller hears 480 at once, and FCM is not asked again", async () => {
    const token = "fcm-token-of-a-removed-app";
    fcm.answer = ({ message }) =>
      message.token === token
        ? { status: 404, body: fcmErrorBody(404, "NOT_FOUND", "gone", [fcmErrorDetail("UNREGISTERED")]) }
        : { status: 200, body: { name: "projects/integration/messages/3" } };
    const phone = await lab.phone({ provider: "fcm", token });
    const account = lab.account();
    await phone.sleeps(account);
    for (let n = 0; n < 2; n++) {
      const invite = lab.provider.sends("INVITE", account.username);
      lab.provider.acksFailure(invite, await lab.provider.gets("480 INVITE", invite.get("Call-ID")));
    }
    expect(fcmTries(token)).toHaveLength(1);
    expect((await phone.http("GET", "/v1/devices/me")).body.push).toMatchObject({ state: "dead" });
  });
});
