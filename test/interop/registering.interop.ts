import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { type Lab, openLab } from "./lab/lab.ts";
import { until } from "./lab/wait.ts";

describe("registering at Kamailio, RFC 3261 §10, §22", () => {
  let lab: Lab;
  beforeAll(async () => {
    lab = await openLab();
  });
  afterAll(() => lab.stop());

  test("background: one challenge, one answer to it, one binding that leads to a shard", async () => {
    const device = await lab.newDevice();
    const user = lab.newUser();
    const before = await lab.wakeline.metric('wakeline_registrations{state="registered"}');

    const { registration } = await device.sleepWith(lab.account(user));

    expect(registration).toMatchObject({ state: "registered", lastStatus: 200, transport: "udp" });
    const bindings = await lab.kamailio.bindings(user);
    expect(bindings).toHaveLength(1);
    const contact = /^sip:.*@?127\.0\.0\.1:(\d+)/.exec(bindings[0]?.address ?? "");
    expect([lab.wakeline.sipPort, lab.wakeline.sipPort + 1]).toContain(Number(contact?.[1]));
    expect(bindings[0]?.expiresSec).toBeGreaterThan(500);
    const registers = await lab.kamailio.requests("REGISTER", user);
    expect(registers.map(({ authUser }) => authUser)).toEqual([undefined, user]);
    expect(new Set(registers.map(({ callId }) => callId)).size).toBe(1);
    expect(await lab.wakeline.metric('wakeline_registrations{state="registered"}')).toBe(before + 1);
    expect(await lab.wakeline.metric('wakeline_register_answers_total{status="200"}')).toBeGreaterThan(0);
  });

  test("foreground takes the binding away, background brings it back", async () => {
    const device = await lab.newDevice();
    const user = lab.newUser();
    const { id } = await device.sleepWith(lab.account(user));

    const awake = await device.setPresence(id, "foreground");
    expect(awake.registration.state).toBe("idle");
    expect(await lab.kamailio.bindings(user)).toEqual([]);
    // Only ours goes: never the asterisk, which would take the phone's own binding along.
    const registers = await lab.kamailio.requests("REGISTER", user);
    expect(registers.some(({ contact }) => contact.includes("*"))).toBe(false);

    expect((await device.setPresence(id, "background")).registration.state).toBe("registered");
    expect(await lab.kamailio.bindings(user)).toHaveLength(1);
  });

  test("DELETE erases the account and un-REGISTERs", async () => {
    const device = await lab.newDevice();
    const user = lab.newUser();
    const { id } = await device.sleepWith(lab.account(user));

    await device.remove(id);

    expect((await device.request("GET", `/v1/subscriptions/${id}`)).status).toBe(404);
    await until("the binding goes", async () => (await lab.kamailio.bindings(user)).length === 0);
    const accounts = JSON.stringify(await lab.wakeline.operator(`/operator/v1/accounts`));
    expect(accounts).not.toContain(`"${user}"`);
  });

  test("a wrong password is refused after at most two REGISTERs with credentials, and not tried again", async () => {
    const device = await lab.newDevice();
    const user = lab.newUser();
    const { id } = await device.subscribe(lab.account(user, { password: "not the password" }));

    const { registration } = await device.setPresence(id, "background");

    expect(registration.state).toBe("refused");
    expect(registration.lastStatus).toBe(401);
    const withCredentials = async (): Promise<number> =>
      (await lab.kamailio.requests("REGISTER", user)).filter(({ authUser }) => authUser === user).length;
    const tries = await withCredentials();
    expect(tries).toBeGreaterThan(0);
    expect(tries).toBeLessThanOrEqual(2);
    await lab.relay.next(device.pushToken, "refused");
    // A second wish with the same password sends nothing.
    await device.setPresence(id, "background");
    expect(await withCredentials()).toBe(tries);
    expect(await lab.kamailio.bindings(user)).toEqual([]);
  });

  test("new credentials lift the refusal", async () => {
    const device = await lab.newDevice();
    const user = lab.newUser();
    const { id } = await device.subscribe(lab.account(user, { password: "not the password" }));
    expect((await device.setPresence(id, "background")).registration.state).toBe("refused");

    const answer = await device.request("PATCH", `/v1/subscriptions/${id}`, { account: lab.account(user) });

    expect(answer.status).toBe(200);
    await until("registered", async () => (await lab.kamailio.bindings(user)).length === 1);
  });

  test("a second device joins only with the right password", async () => {
    const [first, second, thief] = [await lab.newDevice(), await lab.newDevice(), await lab.newDevice()];
    const user = lab.newUser();
    await first.sleepWith(lab.account(user));

    const joined = await second.request("POST", "/v1/subscriptions", { account: lab.account(user) });
    const refused = await thief.request("POST", "/v1/subscriptions", {
      account: lab.account(user, { password: "guess" }),
    });

    expect(joined.status).toBe(201);
    expect(refused.status).toBeGreaterThanOrEqual(400);
    expect(await lab.kamailio.bindings(user)).toHaveLength(1);
  });

  test("the passwords are in no file and no line of the log", async () => {
    const device = await lab.newDevice();
    const user = lab.newUser();
    await device.sleepWith(lab.account(user));
    expect(lab.wakeline.program().lines.some((line) => line.includes(`pw-${user}`))).toBe(false);
    expect(lab.wakeline.folderContains(`pw-${user}`)).toEqual([]);
  });
});
