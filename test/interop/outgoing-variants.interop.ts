import { afterEach, describe, expect, test } from "bun:test";
import { headerOf } from "./lab/frames.ts";
import { startKamailio } from "./lab/kamailio.ts";
import { type Lab, type LabOptions, openLab } from "./lab/lab.ts";
import { messages, untilStep } from "./lab/phone.ts";
import { startSipp } from "./lab/sipp.ts";
import { phoneOn, sleeper } from "./lab/stories.ts";

let lab: Lab | undefined;
afterEach(async () => {
  await lab?.stop();
  lab = undefined;
});

async function open(options: LabOptions): Promise<Lab> {
  lab = await openLab(options);
  return lab;
}

/** One whole call from the phone: it answers the server's 407 itself, SIPp answers, one of them hangs up. Returns the account's username. */
async function callGoesOut(
  at: Lab,
  more: Readonly<Record<string, unknown>>,
  by: "phone" | "callee" = "phone",
): Promise<string> {
  const { user, device } = await sleeper(at, more);
  const callee = await startSipp(by === "phone" ? "answers" : "answers-hangs-up", {
    server: at.kamailio.proxy,
    user: "callee",
  });
  const phone = phoneOn("SIP.js", device.tunnelUrl, user);
  await phone.start();

  const call = phone.call(`sip:at-${callee.port}@lab.test`);
  await untilStep(phone, call, "accepted");

  expect(messages(phone, "in", "SIP/2.0 407")).toHaveLength(1);
  const invites = messages(phone, "out", "INVITE");
  expect(invites).toHaveLength(2);
  expect(headerOf(invites[1] ?? "", "Proxy-Authorization")).toContain(`username="${user}"`);
  if (by === "phone") await call.bye();
  else {
    await call.info("1");
    await untilStep(phone, call, "ended");
    expect(messages(phone, "in", "BYE")).toHaveLength(1);
  }
  // The scenario ends only once it has had the ACK and the BYE (or its answer), all by the dialog's route.
  const trace = await callee.finished();
  expect(trace).not.toContain(".invalid");
  expect(trace).not.toContain("Proxy-Authorization");
  await phone.stop();
  return user;
}

/** The transports by which the account's call came to the server. */
async function transportsOf(at: Lab, user: string): Promise<ReadonlySet<string>> {
  const seen = await Promise.all(["INVITE", "ACK", "BYE"].map((method) => at.kamailio.requests(method, user)));
  expect(seen.every((ofMethod) => ofMethod.length > 0)).toBe(true);
  return new Set(seen.flat().map(({ proto }) => proto));
}

describe("a phone calls out by the account's transport, RFC 3261 §18, §26.3.1", () => {
  test.each([false, true])("TCP, NAT handling %p: INVITE, ACK and BYE go by TCP", async (nat) => {
    const at = await open({ kamailio: { nat } });
    const user = await callGoesOut(at, { transport: "tcp" });
    expect(await transportsOf(at, user)).toEqual(new Set(["tcp"]));
  });

  test.each([false, true])("TLS, NAT handling %p: INVITE, ACK and BYE go by TLS", async (nat) => {
    const at = await open({ kamailio: { nat }, isTls: true });
    const user = await callGoesOut(at, { transport: "tls", proxy: `127.0.0.1:${at.kamailio.tlsPort}` });
    expect(await transportsOf(at, user)).toEqual(new Set(["tls"]));
  });

  test.each([false, true])("UDP behind NAT handling, a private address in Contact %p", async (natEmulation) => {
    const at = await open({ kamailio: { nat: true } });
    const user = await callGoesOut(at, { natEmulation });
    expect(await transportsOf(at, user)).toEqual(new Set(["udp"]));
  });
});

describe("the callee hangs up on a phone that called out, RFC 3261 §15.1, §16.12", () => {
  test.each(["udp", "tcp"])("%s behind NAT handling", async (transport) => {
    const at = await open({ kamailio: { nat: true } });
    await callGoesOut(at, { transport }, "callee");
  });

  test("tls", async () => {
    const at = await open({ isTls: true });
    await callGoesOut(at, { transport: "tls", proxy: `127.0.0.1:${at.kamailio.tlsPort}` }, "callee");
  });

  test("an edge proxy in between (RFC 3327)", async () => {
    const at = await open({});
    const edge = await startKamailio({ edgeOf: at.kamailio.port });
    try {
      await callGoesOut(at, { proxy: edge.proxy }, "callee");
    } finally {
      await edge.stop();
    }
  });
});

describe("a phone calls out past what a registrar wants, RFC 3261 §16", () => {
  test("an edge proxy in front of the registrar: every request goes through it (RFC 3327)", async () => {
    const at = await open({});
    const edge = await startKamailio({ edgeOf: at.kamailio.port });
    try {
      const user = await callGoesOut(at, { proxy: edge.proxy });
      for (const method of ["INVITE", "ACK", "BYE"]) {
        expect((await edge.requests(method, user)).length).toBeGreaterThan(0);
        const atRegistrar = await at.kamailio.requests(method, user);
        expect(new Set(atRegistrar.map(({ from }) => from))).toEqual(new Set([edge.proxy]));
      }
    } finally {
      await edge.stop();
    }
  });

  test("max_contacts=1: the call goes out beside the one binding", async () => {
    const at = await open({ kamailio: { maxContacts: 1 } });
    const user = await callGoesOut(at, {});
    expect(await at.kamailio.bindings(user)).toHaveLength(1);
  });
});
