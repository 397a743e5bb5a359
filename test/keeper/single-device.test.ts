import { describe, expect, test } from "bun:test";
import type { AccountRecord } from "../../src/base/records.ts";
import type { RegistrarOptions } from "../fakes/virtual-registrar.ts";
import { BenchShard } from "./bench-shard.ts";

const instanceId = "urn:uuid:00000000-0000-1000-8000-000a95a0e128";
const phone = "sip:u1@203.0.113.1:5070";

/** Wakeline comes while the phone's binding stands at a registrar with room for one, and leaves again. */
function comesAndGoes(
  registrar: RegistrarOptions,
  change: Partial<AccountRecord>,
  more: { readonly phoneInstance?: string; readonly isBlind?: boolean } = {},
) {
  const shard = new BenchShard({ registrar: { contactsMax: 1, ...registrar } });
  if (more.isBlind === true) {
    // Knows a binding by its URI alone, whatever instance it shows.
    shard.registrar.behaviour = (heard, own) => {
      const [binding] = own.bindingsOf("u1");
      const isSecond = heard.contacts.length === 1 && binding !== undefined && heard.contacts[0]?.uri !== binding.uri;
      return isSecond && heard.expires !== 0 && heard.authorization !== undefined
        ? { status: 503, headers: [`Contact: <${binding.uri}>;expires=300;+sip.instance="${binding.instance}"`] }
        : "own";
    };
  }
  shard.registrar.bind("u1", phone, 600, more.phoneInstance);
  const account = shard.add(1, change);
  shard.run(1000);
  expect(shard.keeper.status(account)).toMatchObject({ mode: "singleDevice", state: "registered" });
  const [binding, ...others] = shard.registrar.bindingsOf("u1");
  expect(others).toEqual([]);
  expect(binding?.uri).toContain("198.51.100.7");
  const before = shard.registrar.heard.length;
  const id = shard.presence(account, false);
  shard.run(1000);
  expect(shard.answerOf(id)).toMatchObject({ isPending: false, status: { state: "idle" } });
  const after = shard.registrar.heard.slice(before);
  return { shard, account, after, isThere: shard.registrar.bindingsOf("u1").length === 1 };
}

/** singleDevice stops without un-REGISTER, so that the phone's REGISTER overwrites ours; where that cannot be, ours is removed. */
describe("one device that moves: what is left at the registrar when the phone comes to the foreground", () => {
  test.each([
    ["without instanceId", {}],
    ["with instanceId", { instanceId }],
  ] as const)("configured singleDevice, %s: our binding, for the phone to overwrite", (_what, change) => {
    const { after, isThere } = comesAndGoes({}, { registrationMode: "singleDevice", ...change });
    expect(after).toEqual([]);
    expect(isThere).toBe(true);
  });

  test("learned from a refusal, without instanceId: nothing, for the phone would be refused as we were", () => {
    const { after, isThere } = comesAndGoes({}, { registrationMode: "auto" });
    expect(after.map((one) => [one.contacts.length, one.expires])).toEqual([
      [0, undefined],
      [1, 0],
    ]);
    expect(isThere).toBe(false);
  });

  test("the same of a registrar that says no more than 403", () => {
    const shard = new BenchShard({ registrar: { contactsMax: 1, whenFull: "refuseBarely" } });
    shard.registrar.behaviour = (heard, registrar) => {
      const own = registrar.own(heard);
      return own.status === 403 ? { status: 403, reason: "Too Many Contacts" } : own;
    };
    shard.registrar.bind("u1", phone);
    const account = shard.add(1, { registrationMode: "auto" });
    shard.run(100);
    expect(shard.keeper.status(account)).toMatchObject({ mode: "singleDevice", state: "registered" });
    shard.presence(account, false);
    shard.run(100);
    expect(shard.registrar.bindingsOf("u1")).toEqual([]);
  });

  test("learned from a refusal beside the phone's own instance: nothing, for this registrar does not know devices by it", () => {
    const change = { registrationMode: "auto", instanceId } as const;
    const { after, isThere } = comesAndGoes({}, change, { phoneInstance: `<${instanceId}>`, isBlind: true });
    expect(after.at(-1)?.expires).toBe(0);
    expect(isThere).toBe(false);
  });

  test("learned from a refusal because of somebody else, with instanceId: our binding, which the phone overwrites", () => {
    const { shard, after, isThere } = comesAndGoes({}, { registrationMode: "auto", instanceId });
    expect(after).toEqual([]);
    expect(isThere).toBe(true);
    expect(shard.registrar.bindingsOf("u1")[0]?.instance).toBe(`<${instanceId}>`);
  });

  test("what was learned outlives a restart", () => {
    const { shard, account } = comesAndGoes({}, { registrationMode: "auto" });
    shard.presence(account, true);
    shard.run(1000);
    shard.restart();
    shard.presence(account, false);
    shard.run(1000);
    expect(shard.registrar.bindingsOf("u1")).toEqual([]);
  });

  test("ours is looked for first: a binding that the phone has put in its place stays", () => {
    const { shard, account } = comesAndGoes({}, { registrationMode: "auto" });
    shard.presence(account, true);
    shard.run(1000);
    shard.registrar.bindings.set("u1", []);
    shard.registrar.bind("u1", phone);
    shard.presence(account, false);
    shard.run(1000);
    expect(shard.registrar.heard.at(-1)?.contacts).toEqual([]);
    expect(shard.registrar.bindingsOf("u1").map(({ uri }) => uri)).toEqual([phone]);
  });
});
