import { expect, test } from "bun:test";
import type { AccountId, DeviceId } from "../../src/base/ids.ts";
import { DialogTable, type Dialog } from "../../src/anchor/dialog.ts";
import { dialogsPerDeviceMax } from "../../src/anchor/limits.ts";

function dialog(deviceTag: string, remoteTag = "far"): Dialog {
  return {
    callId: "c",
    deviceTag,
    remoteTag,
    accountId: "a" as AccountId,
    deviceId: "d" as DeviceId,
  } as Dialog;
}

test("dialogs are found by all three identifiers, by Call-ID and by device, and are gone when removed", () => {
  const table = new DialogTable();
  const one = dialog("1");
  const two = dialog("2");
  table.add(one);
  table.add(two);
  expect(table.find("c", "1", "far")).toBe(one);
  expect(table.find("c", "far", "1")).toBeUndefined();
  expect(table.ofCallId("c")?.size).toBe(2);
  table.remove(one);
  expect(table.find("c", "1", "far")).toBeUndefined();
  expect([...(table.ofCallId("c") ?? [])]).toEqual([two]);
  expect([...(table.ofDevice("d" as DeviceId) ?? [])]).toEqual([two]);
  table.remove(two);
  table.remove(two);
  expect(table.ofCallId("c")).toBeUndefined();
  expect(table.ofDevice("d" as DeviceId)).toBeUndefined();
  expect(table.size).toBe(0);
});

test("the same identifiers again take the place of the first; removing that does not touch the second", () => {
  const table = new DialogTable();
  const first = dialog("1");
  const second = dialog("1");
  table.add(first);
  table.add(second);
  table.remove(first);
  expect(table.find("c", "1", "far")).toBe(second);
  expect(table.size).toBe(1);
});

test("a device has a bounded number", () => {
  const table = new DialogTable();
  for (let n = 0; n < dialogsPerDeviceMax; n++) expect(table.add(dialog(`${n}`))).toBe(true);
  expect(table.add(dialog("more"))).toBe(false);
  expect(table.size).toBe(dialogsPerDeviceMax);
});
