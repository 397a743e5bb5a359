import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { until } from "../interop/lab/wait.ts";
import { Lab, type AccountInput, type Phone } from "./lab.ts";

let lab: Lab;
/** Here the caller hears ringing only when a phone rings. */
let plain: Lab;
beforeAll(async () => {
  [lab, plain] = await Promise.all([Lab.open(), Lab.open({ ring: "on_device" })]);
});
afterAll(() => Promise.all([lab.close(), plain.close()]));

async function registrationOf(phone: Phone): Promise<Readonly<Record<string, unknown>>> {
  const { body } = await phone.http("GET", `/v1/subscriptions/${phone.subscription}`);
  return body.registration as Readonly<Record<string, unknown>>;
}

async function becomes(phone: Phone, state: string): Promise<void> {
  let last: Readonly<Record<string, unknown>> = {};
  await until(
    `the registration is ${state}`,
    async () => {
      last = await registrationOf(phone);
      return last.state === state;
    },
    { detail: () => JSON.stringify(last) },
  );
}

function withCredentials(account: AccountInput): number {
  return lab.provider.registersOf(account.username).filter((register) => register.has("Authorization")).length;
}

describe("presence", () => {
  test("alternate: registered in the background, gone in the foreground, and back", async () => {
    const { phone, account } = await lab.sleeper();
    expect(lab.provider.isBound(account.username)).toBe(true);
    const away = await phone.presence("foreground");
    expect([away.status, (away.body.registration as { state: string }).state]).toEqual([200, "idle"]);
    expect(lab.provider.isBound(account.username)).toBe(false);
    const last = lab.provider.registersOf(account.username).at(-1);
    expect(last?.get("Contact")).not.toBe("*");
    const back = await phone.presence("background");
    expect([back.status, (back.body.registration as { state: string }).state]).toEqual([200, "registered"]);
  });

  test("202 when the registrar takes longer than waitSec, and it is done all the same", async () => {
    const account = lab.account();
    const phone = await lab.phone();
    await phone.subscribes(account);
    lab.provider.answers = false;
    const pending = await phone.presence("background", 0);
    expect([pending.status, (pending.body.registration as { state: string }).state]).toEqual([202, "registering"]);
    lab.provider.answers = true;
    await becomes(phone, "registered");
  });
});

describe("a wrong password", () => {
  test("is refused: seen by GET, told by push, after at most two REGISTERs with credentials", async () => {
    const account = lab.account();
    const phone = await lab.phone();
    await phone.subscribes({ ...account, password: "not the password" });
    const { status, body } = await phone.presence("background");
    expect(status).toBe(200);
    expect((body.registration as { state: string }).state).toBe("refused");
    expect(await registrationOf(phone)).toMatchObject({ state: "refused", lastStatus: 401 });
    expect((await phone.push("refused")).subscription).toBe(phone.subscription);
    expect(withCredentials(account)).toBeLessThanOrEqual(2);
    const sent = withCredentials(account);
    // Asking again draws no further attempt.
    await phone.presence("background");
    expect(withCredentials(account)).toBe(sent);
    const healed = await phone.http("PATCH", `/v1/subscriptions/${phone.subscription}`, {
      account: { password: account.password },
    });
    expect(healed.status).toBe(200);
    await becomes(phone, "registered");
  });

  test("keeps an account for nobody: its owner comes, and whoever claimed it hears none of his calls", async () => {
    const account = lab.account();
    const squatter = await lab.phone();
    await squatter.subscribes({ ...account, password: "no idea" });
    await squatter.presence("background");
    expect(await registrationOf(squatter)).toMatchObject({ state: "refused" });
    const owner = await lab.phone();
    expect((await owner.subscribes(account)).status).toBe(201);
    await owner.presence("background");
    await becomes(owner, "registered");
    expect(((await squatter.http("GET", "/v1/subscriptions")).body as unknown as unknown[]).length).toBe(0);
    const invite = lab.provider.sends("INVITE", account.username);
    expect((await owner.push("call")).callId).toBe(invite.get("Call-ID"));
    lab.provider.cancels(invite);
    // A third device of the owner's proves the same password, and nobody goes.
    expect((await (await lab.phone()).subscribes(account)).status).toBe(201);
    expect((await owner.http("GET", `/v1/subscriptions/${owner.subscription}`)).status).toBe(200);
  });

  test("does not join an account: 403, and the first device goes on", async () => {
    const { phone, account } = await lab.sleeper();
    const intruder = await lab.phone();
    const joined = await intruder.subscribes({ ...account, password: "a guess" });
    expect(joined.status).toBe(403);
    expect(((await intruder.http("GET", "/v1/subscriptions")).body as unknown as unknown[]).length).toBe(0);
    expect((await registrationOf(phone)).state).toBe("registered");
    expect((await (await lab.phone()).subscribes(account)).status).toBe(201);
  });
});

describe("turning the switch off", () => {
  test("DELETE is 204, the binding goes, and the password is in no file", async () => {
    const { phone, account } = await lab.sleeper();
    expect(lab.filesWith(account.password)).toEqual([]);
    expect(lab.filesWith(account.username).length).toBeGreaterThan(0);
    expect((await phone.http("DELETE", `/v1/subscriptions/${phone.subscription}`)).status).toBe(204);
    expect((await phone.http("GET", `/v1/subscriptions/${phone.subscription}`)).status).toBe(404);
    await until("the binding goes", () => !lab.provider.isBound(account.username));
    expect(lab.filesWith(account.password)).toEqual([]);
  });
});

describe("what the caller hears, [wake] ring", () => {
  test("on_push: our 180 once the push is accepted; the phone's own follows under its own tag", async () => {
    const { phone, account } = await lab.sleeper();
    const invite = lab.provider.sends("INVITE", account.username);
    const callId = invite.get("Call-ID");
    const ours = await lab.provider.gets("180 INVITE", callId);
    await phone.opens((await phone.push("call")).tunnel);
    phone.answersTo(await phone.gets("INVITE"), 180);
    const theirs = await lab.provider.gets("180 INVITE", callId);
    expect(theirs.param("To", "tag")).not.toBe(ours.param("To", "tag"));
    lab.provider.cancels(invite);
    await lab.provider.gets("487 INVITE", callId);
  });

  test("on_device: nothing but 100 until the phone rings", async () => {
    const { phone, account } = await plain.sleeper();
    const invite = plain.provider.sends("INVITE", account.username);
    const callId = invite.get("Call-ID");
    await phone.opens((await phone.push("call")).tunnel);
    const offered = await phone.gets("INVITE");
    await plain.provider.gets("100 INVITE", callId);
    expect(plain.provider.inbox.left(callId)).toEqual([]);
    const ringing = phone.answersTo(offered, 180);
    expect((await plain.provider.gets("180 INVITE", callId)).get("To")).toBe(ringing.get("To"));
    plain.provider.cancels(invite);
    await plain.provider.gets("487 INVITE", callId);
  });
});

describe("the operator", () => {
  test("metrics of the interface are there and move; a call's ladder has times and directions, and masks", async () => {
    const before = await lab.metrics();
    const { phone, account } = await lab.sleeper();
    const invite = lab.provider.sends("INVITE", account.username, {
      lines: ['Proxy-Authorization: Digest username="x", response="feedbeef"'],
      body: "v=0\r\na=crypto:1 AES inline:verysecret\r\n",
    });
    const push = await phone.push("call");
    await phone.opens(push.tunnel);
    const offered = await phone.gets("INVITE");
    const during = await lab.metrics();
    expect(during.get("wakeline_tunnels")).toBeGreaterThan(0);
    phone.answersTo(offered, 180);
    phone.answersTo(offered, 200);
    const answered = await lab.provider.gets("200 INVITE", invite.get("Call-ID"));
    lab.provider.acks(invite, answered);
    await phone.gets("ACK");
    await phone.callBecomes(push.call, "answered");
    const after = await lab.metrics();
    const moved = (sample: string): number => (after.get(sample) ?? Number.NaN) - (before.get(sample) ?? 0);
    for (const sample of [
      'wakeline_registrations{state="registered"}',
      "wakeline_register_sent_total",
      'wakeline_register_answers_total{status="200"}',
      'wakeline_register_answers_total{status="401"}',
      'wakeline_calls_total{outcome="answered"}',
      'wakeline_push_total{provider="webhook",outcome="accepted"}',
      'wakeline_datagrams_total{direction="in"}',
      'wakeline_datagrams_total{direction="out"}',
      ...["invite_to_push", "push_to_tunnel", "tunnel_to_invite", "invite_to_answer"].map(
        (step) => `wakeline_wake_seconds_count{step="${step}"}`,
      ),
    ]) {
      expect([sample, moved(sample) > 0]).toEqual([sample, true]);
    }
    for (const name of ["wakeline_shard_restarts_total", "process_resident_memory_bytes"]) {
      expect([name, after.has(name)]).toEqual([name, true]);
    }
    const faults = [...after].filter(([sample, value]) => sample.startsWith("wakeline_faults_total") && value > 0);
    expect(faults).toEqual([]);
    expect([...after.keys()].some((sample) => sample.startsWith("wakeline_faults_total{where="))).toBe(true);

    const shown = JSON.stringify(await lab.operator(`/operator/v1/calls/${push.call}`));
    for (const secret of ["feedbeef", "verysecret", account.password]) expect(shown).not.toContain(secret);
    const { ladder } = JSON.parse(shown) as { ladder: { at: string; from: string; to: string; label: string }[] };
    const arrows = ladder.map(({ from, to, label }) => `${from}→${to} ${label.split(" ").slice(0, 2).join(" ")}`);
    expect(arrows[0]).toStartWith("server→wakeline INVITE");
    expect(arrows.some((arrow) => arrow.startsWith("wakeline→push"))).toBe(true);
    expect(arrows.some((arrow) => arrow.startsWith("wakeline→device INVITE"))).toBe(true);
    expect(arrows.some((arrow) => arrow.startsWith("server→wakeline ACK"))).toBe(true);
    expect(ladder.every(({ at }) => Number.isFinite(Date.parse(at)))).toBe(true);
  });

  test("a trace shows the check of a joining device's credentials, masked", async () => {
    const { phone, account } = await lab.sleeper();
    const found = (await lab.operator(`/operator/v1/accounts?q=${account.username}`)) as { id: string }[];
    const id = found[0]?.id ?? "";
    await lab.operator("/operator/v1/trace", { account: id, minutes: 1 });
    const joining = await lab.phone();
    expect((await joining.subscribes(account)).status).toBe(201);
    const check = lab.provider
      .registersOf(account.username)
      .find(({ text }, _n, [own]) => !text.includes(own?.get("Call-ID") ?? ""));
    const ladder = await until("the check is in the trace", async () => {
      const rungs = (await lab.operator(`/operator/v1/trace/${id}`)) as { label: string; text: string }[];
      const ofCheck = rungs.filter(({ text }) => text.includes(`Call-ID: ${check?.get("Call-ID")}`));
      return ofCheck.length >= 4 ? ofCheck : undefined;
    });
    expect(ladder.map(({ label }) => label)).toEqual(["REGISTER", "401 Whatever", "REGISTER", "200 Whatever"]);
    // A query: it names no Contact, and the answer says what is bound (RFC 3261 §10.2.3).
    expect(ladder.map(({ text }) => /^Contact:/m.test(text))).toEqual([false, false, false, true]);
    expect(ladder[2]?.text).toContain("Authorization: Digest ***");
    await phone.presence("foreground");
  });

  test("a trace shows an account's messages with directions, bodies masked", async () => {
    const { phone, account } = await lab.sleeper();
    const found = (await lab.operator(`/operator/v1/accounts?q=${account.username}`)) as { id: string }[];
    const id = found[0]?.id ?? "";
    expect(await lab.operator("/operator/v1/trace", { account: id, minutes: 1 })).toHaveProperty("until");
    await phone.presence("foreground");
    await phone.presence("background");
    await phone.opens();
    await phone.isHere(account);
    const message = lab.provider.sends("MESSAGE", account.username, { body: "for nobody's eyes" });
    phone.answersTo(await phone.gets("MESSAGE"), 200);
    await lab.provider.gets("200 MESSAGE", message.get("Call-ID"));
    const entries = await until("the trace has the answer", async () => {
      const ladder = (await lab.operator(`/operator/v1/trace/${id}`)) as {
        from: string;
        to: string;
        label: string;
      }[];
      return ladder.some(({ label, to }) => label === "200 Whatever" && to === "server") ? ladder : undefined;
    });
    const arrows = entries.map(({ from, to, label }) => `${from}→${to} ${label}`);
    expect(arrows.filter((arrow) => arrow === "wakeline→server REGISTER").length).toBeGreaterThanOrEqual(2);
    expect(arrows[0]).toBe("wakeline→server REGISTER");
    expect(arrows[1]).toStartWith("server→wakeline ");
    expect(JSON.stringify(entries)).not.toMatch(/response=\\"[0-9a-f]{32}/);
    expect(arrows.slice(-4)).toEqual([
      "server→wakeline MESSAGE",
      "wakeline→device MESSAGE",
      "device→wakeline 200 Whatever",
      "wakeline→server 200 Whatever",
    ]);
    expect(JSON.stringify(entries)).not.toContain("nobody's eyes");
  });
});
