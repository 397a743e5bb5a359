import { describe, expect, test } from "bun:test";
import { wakesMax } from "../../src/anchor/limits.ts";
import { AnchorBench, type DeviceWish } from "../fakes/anchor-bench.ts";

function scene(devices: Readonly<Record<string, DeviceWish>> = { mobile: {} }) {
  const bench = new AnchorBench();
  const server = bench.addServer();
  const alice = bench.addAccount("alice", server, devices);
  return { bench, server, alice, mobile: bench.phone("mobile") };
}

/** A phone that was woken, came and rings. */
function ringing() {
  const all = scene();
  const { bench, server, alice, mobile } = all;
  const invite = server.invites(alice);
  server.gets(100);
  const wake = bench.wakes("mobile");
  bench.delivers(wake, "mobile", "accepted", 4_000);
  mobile.opens();
  const offered = mobile.gets("INVITE");
  mobile.answers(offered, 180);
  server.gets(180);
  return { ...all, invite, wake, offered };
}

describe("a phone that rings and loses its tunnel", () => {
  test("is woken again when it has not come back within a second: same call, said to be lost", () => {
    const { bench, server, mobile, wake, offered } = ringing();
    mobile.closes();
    bench.pass(990);
    bench.noWake();
    bench.pass(20);
    const again = bench.wakes("mobile");
    expect(again).toEqual({ ...wake, again: "lost" });
    // Its app was ended and starts anew: the same leg rings again, and answers.
    mobile.opens({ call: again.call });
    expect(mobile.gets("INVITE").text).toBe(offered.text);
    mobile.answers(offered, 200, { tag: "reborn" });
    expect(server.gets(200).param("To", "tag")).toBe("reborn");
  });

  test("is left alone when it comes back by itself", () => {
    const { bench, mobile } = ringing();
    mobile.closes();
    bench.pass(900);
    mobile.opens();
    bench.pass(5_000);
    bench.noWake();
  });

  test("gets its first push when it had an open tunnel and needed none", () => {
    const { bench, server, alice, mobile } = scene();
    mobile.opens();
    server.invites(alice);
    mobile.answers(mobile.gets("INVITE"), 180);
    bench.pass(5_000);
    mobile.closes();
    bench.pass(1_010);
    expect(bench.wakes("mobile").again).toBeUndefined();
  });

  test("is woken a bounded number of times", () => {
    const { bench, mobile, wake } = ringing();
    for (let n = 1; n < wakesMax; n++) {
      mobile.closes();
      bench.pass(1_010);
      bench.wakes("mobile");
      bench.delivers(wake, "mobile", "accepted", 4_000);
      mobile.opens();
    }
    mobile.closes();
    bench.pass(20_000);
    bench.noWake();
  });

  test("... and not once the call is over, answered, or its deadline has passed", () => {
    const over = ringing();
    over.mobile.closes();
    over.server.cancels(over.invite);
    over.bench.pass(5_000);
    over.bench.noWake();

    const answered = ringing();
    answered.mobile.answers(answered.offered, 200);
    answered.mobile.closes();
    answered.bench.pass(5_000);
    answered.bench.noWake();

    const late = ringing();
    late.bench.pass(39_500);
    late.mobile.closes();
    late.bench.pass(5_000);
    late.bench.noWake();
  });

  test("one that cannot be woken by push is waited for in silence", () => {
    const { bench, server, alice, mobile } = scene({ mobile: { wakeable: false } });
    mobile.opens();
    server.invites(alice);
    mobile.answers(mobile.gets("INVITE"), 180);
    mobile.closes();
    bench.pass(5_000);
    bench.noWake();
    expect(bench.anchor.running).toBe(1);
  });
});

describe("a phone that was woken and does not come", () => {
  test("gets one more push after the silence that was learned of it, and only one", () => {
    const { bench, server, alice } = scene();
    server.invites(alice);
    const wake = bench.wakes("mobile");
    bench.pass(200);
    bench.delivers(wake, "mobile", "accepted", 4_000);
    bench.pass(3_900);
    bench.noWake();
    bench.pass(200);
    expect(bench.wakes("mobile")).toEqual({ ...wake, again: "silent" });
    bench.delivers(wake, "mobile", "accepted", 4_000);
    bench.pass(30_000);
    bench.noWake();
  });

  test("no more when it comes in time, however its tunnel fares then", () => {
    const { bench, server, alice, mobile } = scene();
    server.invites(alice);
    bench.delivers(bench.wakes("mobile"), "mobile", "accepted", 4_000);
    bench.pass(3_000);
    mobile.opens();
    bench.pass(10_000);
    bench.noWake();
  });

  test("nor when its provider refused, or nothing is known of it", () => {
    const { bench, server, alice } = scene({ mobile: {}, tablet: {} });
    server.invites(alice);
    const wake = bench.wakes("mobile", "tablet");
    bench.delivers(wake, "mobile", "failed");
    bench.delivers(wake, "tablet", "accepted");
    bench.pass(30_000);
    bench.noWake();
  });
});
