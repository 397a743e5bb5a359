import { expect, test } from "bun:test";
import { Alarms } from "../../src/anchor/alarms.ts";

test("alarms fire once, at their time, in order of ticks", () => {
  const alarms = new Alarms(0);
  const fired: string[] = [];
  alarms.set(200, () => fired.push("late"));
  alarms.set(100, () => fired.push("early"));
  alarms.advance(90);
  expect(fired).toEqual([]);
  alarms.advance(250);
  alarms.advance(500);
  expect(fired).toEqual(["early", "late"]);
  expect(alarms.size).toBe(0);
});

test("a cleared alarm does not fire, and clearing a fired one hurts no other that took its place", () => {
  const alarms = new Alarms(0);
  const fired: string[] = [];
  const first = alarms.set(10, () => fired.push("first"));
  alarms.advance(10);
  alarms.set(20, () => fired.push("second"));
  alarms.clear(first);
  alarms.clear(undefined);
  const third = alarms.set(20, () => fired.push("third"));
  alarms.clear(third);
  alarms.clear(third);
  alarms.advance(20);
  expect(fired).toEqual(["first", "second"]);
});

test("an alarm may set and clear others while it fires", () => {
  const alarms = new Alarms(0);
  const fired: string[] = [];
  const other = alarms.set(30, () => fired.push("other"));
  alarms.set(10, () => {
    alarms.clear(other);
    alarms.set(10, () => fired.push("again"));
  });
  alarms.advance(40);
  alarms.advance(50);
  expect(fired).toEqual(["again"]);
});

test("more alarms than the first capacity", () => {
  const alarms = new Alarms(0);
  let fired = 0;
  for (let n = 0; n < 5_000; n++) alarms.set(n, () => fired++);
  alarms.advance(10_000);
  expect(fired).toBe(5_000);
});
