import { afterEach, describe, expect, test } from "bun:test";
import { type Lab, openLab } from "./lab/lab.ts";
import { untilStep } from "./lab/phone.ts";
import { startSipp } from "./lab/sipp.ts";
import { sleeper, wakenBy } from "./lab/stories.ts";
import { until } from "./lab/wait.ts";

let lab: Lab | undefined;
afterEach(async () => {
  await lab?.stop();
  lab = undefined;
});

describe("kill -9 and start again, RFC 3261 §10.2.4", () => {
  test("no new REGISTER while the binding is good, and an INVITE still reaches the phone", async () => {
    const at = (lab = await openLab());
    const sleeping = await sleeper(at);
    const [before] = await at.kamailio.bindings(sleeping.user);
    const sent = (await at.kamailio.requests("REGISTER")).length;

    await at.wakeline.killAndRestart();

    const { registration } = await sleeping.device.subscription(sleeping.subscription.id);
    expect(registration.state).toBe("registered");
    const { caller, phone, call } = await wakenBy(at, sleeping, "caller-hangs-up", { stack: "SIP.js" });
    await call.answer();
    await untilStep(phone, call, "confirmed");
    await call.info("1");
    await untilStep(phone, call, "ended");
    await caller.finished();
    expect(await at.kamailio.requests("REGISTER")).toHaveLength(sent);
    expect((await at.kamailio.bindings(sleeping.user))[0]?.address).toBe(before?.address ?? "");
    await phone.stop();
  });

  test("a short binding is refreshed in time after the restart, its CSeq rising", async () => {
    const at = (lab = await openLab({ kamailio: { maxExpiresSec: 10 } }));
    const { user } = await sleeper(at);
    await at.wakeline.killAndRestart();
    const sent = (await at.kamailio.requests("REGISTER", user)).length;

    await until("a refresh", async () => {
      expect(await at.kamailio.bindings(user)).toHaveLength(1);
      return (await at.kamailio.requests("REGISTER", user)).length > sent;
    });

    await until("it is taken", async () => ((await at.kamailio.bindings(user))[0]?.expiresSec ?? 0) > 7);
    const cseqs = (await at.kamailio.requests("REGISTER", user)).map(({ cseq }) => cseq);
    expect(cseqs).toEqual([...cseqs].sort((a, b) => a - b));
  });

  test("a call was ringing when the process died: the next one comes through", async () => {
    const at = (lab = await openLab());
    const sleeping = await sleeper(at);
    const caller = await startSipp("caller-hangs-up", { server: at.kamailio.proxy, user: sleeping.user });
    await at.relay.next(sleeping.device.pushToken, "call");

    await at.wakeline.killAndRestart();

    // The lost INVITE was answered with 100, so Kamailio repeats nothing; its caller gives up.
    await caller.end();
    const again = await wakenBy(at, sleeping, "callee-hangs-up", { stack: "SIP.js" });
    await again.call.answer();
    await untilStep(again.phone, again.call, "info");
    await again.call.bye();
    await again.caller.finished();
    await again.phone.stop();
  });
});

describe("SIGTERM", () => {
  test("drains a running call and ends with 0; the binding stays for the next start", async () => {
    const at = (lab = await openLab({ wakeline: { drainSec: 20 } }));
    const sleeping = await sleeper(at);
    const { caller, phone, call } = await wakenBy(at, sleeping, "caller-hangs-up", { stack: "SIP.js" });
    await call.answer();
    await untilStep(phone, call, "confirmed");
    const program = at.wakeline.program();

    program.signal("SIGTERM");
    await until(
      "not ready any more",
      async () => (await fetch(`${at.wakeline.operatorUrl}/health/ready`)).status === 503,
    );
    await call.info("1");
    await untilStep(phone, call, "ended");
    await caller.finished();

    expect(await program.exited).toBe(0);
    expect(await at.kamailio.bindings(sleeping.user)).toHaveLength(1);
    await phone.stop();
  });
});
