import { describe, expect, test } from "bun:test";
import { labelOf, ladderText, type Rung } from "../../src/base/ladder.ts";

const call: readonly Rung[] = [
  { atMs: 1_000, from: "server", to: "wakeline", label: "INVITE", text: "INVITE sip:a SIP/2.0\nCSeq: 1 INVITE\n" },
  { atMs: 1_000.25, from: "wakeline", to: "push", deviceId: "0194-first", label: "wake" },
  { atMs: 1_900, from: "wakeline", to: "device", deviceId: "0194-second", label: "INVITE" },
  { atMs: 1_950, from: "device", to: "wakeline", deviceId: "0194-second", label: "200 OK", detail: "INVITE" },
  { atMs: 2_000, from: "wakeline", to: "device", deviceId: "0194-first", label: "CANCEL" },
  { atMs: 41_000, from: "wakeline", to: "wakeline", label: "deadline" },
];

describe("a ladder in text", () => {
  test("has a rail a party and a line a rung, with the time since the first", () => {
    expect(ladderText(call)).toBe(
      [
        "              Server                    Wakeline                  Device 4-second           Device 94-first           Push",
        "      0.0 ms  │──────── INVITE ────────▶│                         │                         │                         │",
        "      0.3 ms  │                         │─────────────────────────────────── wake ───────────────────────────────────▶│  Device 94-first",
        "    900.0 ms  │                         │──────── INVITE ────────▶│                         │                         │",
        "    950.0 ms  │                         │◀──────── 200 OK ────────│                         │                         │  INVITE",
        "   1000.0 ms  │                         │───────────────────── CANCEL ─────────────────────▶│                         │",
        "  40000.0 ms  │                         ● deadline",
      ].join("\n"),
    );
  });

  test("shows the messages under their rungs when asked", () => {
    const text = ladderText(call, { isLong: true }).split("\n");
    expect(text.slice(2, 4)).toEqual(["                INVITE sip:a SIP/2.0", "                CSeq: 1 INVITE"]);
  });

  test("cuts what is too long for its arrow, and never steers the terminal", () => {
    const hostile = `183 ${"x".repeat(90)}\u001b[2J`;
    const [, line = ""] = ladderText([
      { atMs: 0, from: "server", to: "wakeline", label: hostile, detail: "a\u009b2J\r\nb" },
    ]).split("\n");
    expect(line).toBe(`      0.0 ms  │── 183 ${"x".repeat(13)} ───▶│  a 2J  b`);
    const own = ladderText([{ atMs: 0, from: "wakeline", to: "wakeline", label: hostile, text: "a\u001bb\n" }], {
      isLong: true,
    });
    expect(own.replaceAll("\n", "")).not.toMatch(/\p{Cc}/u);
  });

  test("of nothing is its head", () => {
    expect(ladderText([])).toBe("              Server                    Wakeline");
  });
});

describe("the label of a message", () => {
  test("is its method, or its status and reason", () => {
    expect(labelOf("INVITE sip:alice@example.com SIP/2.0")).toBe("INVITE");
    expect(labelOf("SIP/2.0 200 OK")).toBe("200 OK");
    expect(labelOf("push call")).toBe("push call");
  });
});
