import { describe, expect, test } from "bun:test";
import { assert, integer, property, string } from "fast-check";
import { alertText } from "../../src/push/alert-text.ts";
import { buildPayload, fitPayload, payloadBytes, payloadBytesMax } from "../../src/push/payload.ts";
import { pushIdOf } from "../../src/push/push-id.ts";
import { callOne, callPayload, deviceOne, startWallMs, subscriptionOne } from "./devices.ts";

describe("payload, interface version 1", () => {
  test("carries what it was given, and leaves out what it was not", () => {
    expect(callPayload()).toEqual({
      v: 1,
      id: "5f0c6f3e-6a51-4f8e-9d0e-3d2c1b0a9f8e",
      kind: "call",
      subscription: subscriptionOne,
      sentAt: "2026-11-24T12:00:00.000Z",
      call: callOne,
      callId: "a84b4c76e66710@pc33.example.com",
      from: { uri: "sip:alice@example.com", name: "Alice" },
      tunnel: "wss://push.example.com/v1/tunnel?ticket=abcdef",
      deadline: "2026-11-24T12:00:40.000Z",
    });
    expect(Object.keys(buildPayload({ id: "x", kind: "lease", text: undefined }, startWallMs))).toEqual([
      "v",
      "id",
      "kind",
      "sentAt",
    ]);
  });

  test("turns control characters and marks that reverse text into spaces", () => {
    const { from, text } = callPayload({
      from: { uri: "sip:a\r\nb@example.com", name: "\u0000Ali\u202Ece\u0007\u2028" },
      text: "one\r\ntwo\u009f",
    });
    expect(from).toEqual({ uri: "sip:a b@example.com", name: "Ali ce" });
    expect(text).toBe("one two");
  });

  test("repairs half a surrogate pair, so that the JSON is UTF-8", () => {
    expect(callPayload({ from: { uri: "sip:a@b", name: "x\ud83d" } }).from?.name).toBe("x\ufffd");
  });

  test("leaves a name out that consists of control characters", () => {
    expect(callPayload({ from: { uri: "sip:a@b", name: "\u0001\u0002" } }).from).toEqual({ uri: "sip:a@b" });
  });
});

describe("payload under 4 KB", () => {
  const full = callPayload({ kind: "message", text: "hello" });

  test("is not touched when it fits", () => {
    expect(fitPayload(full)).toBe(full);
  });

  test("cuts from.name first, as far as needed and no further", () => {
    const long = callPayload({ text: "hello", from: { uri: "sip:alice@example.com", name: "ä".repeat(5000) } });
    const fitted = fitPayload(long);
    expect(fitted).toBeDefined();
    expect(payloadBytes(fitted!)).toBeLessThanOrEqual(payloadBytesMax);
    expect(payloadBytes(fitted!)).toBeGreaterThan(payloadBytesMax - 2);
    expect(fitted!.from?.name).toMatch(/^ä+…$/);
    expect({ ...fitted, from: undefined }).toEqual({ ...long, from: undefined });
  });

  test("never cuts through a character", () => {
    const long = callPayload({ from: { uri: "sip:a@b", name: "📞".repeat(2000) } });
    for (let bytesMax = 500; bytesMax < 520; bytesMax++) {
      const name = fitPayload(long, bytesMax)?.from?.name ?? "";
      expect(name).toMatch(/^(?:📞)+…$/u);
    }
  });

  test("cuts the text when the name alone is not enough", () => {
    const long = callPayload({ text: "t".repeat(6000), from: { uri: "sip:a@b", name: "n".repeat(6000) } });
    const fitted = fitPayload(long);
    expect(fitted?.from).toEqual({ uri: "sip:a@b" });
    expect(fitted?.text).toMatch(/^t{1000,}…$/);
  });

  test("gives up a huge Call-ID before the caller's address", () => {
    const fitted = fitPayload(callPayload({ callId: "c".repeat(5000) }));
    expect(fitted?.callId).toBeUndefined();
    expect(fitted?.from?.uri).toBe("sip:alice@example.com");
  });

  test("still rings for a caller whose address alone is too long", () => {
    const fitted = fitPayload(callPayload({ from: { uri: `sip:${"u".repeat(60_000)}@example.com` } }));
    expect(fitted?.from?.uri).toMatch(/^sip:u{1000,}…$/);
    expect(fitted?.tunnel).toBe(callPayload().tunnel);
  });

  test("says when it cannot be made to fit", () => {
    expect(fitPayload(callPayload({ tunnel: `wss://${"h".repeat(5000)}` }))).toBeUndefined();
  });

  test("fits or gives up whatever comes, and keeps id, kind, call and tunnel", () => {
    const text = string({ unit: "binary", maxLength: 3000 });
    assert(
      property(text, text, text, text, integer({ min: 300, max: 5000 }), (name, uri, body, callId, bytesMax) => {
        const built = callPayload({ from: { uri, name }, text: body, callId });
        const fitted = fitPayload(built, bytesMax);
        if (fitted === undefined) return bytesMax < 600; // what never gives way is shorter than that
        const { id, kind, call, tunnel, deadline } = built;
        expect(fitted).toMatchObject({ id, kind, call, tunnel, deadline });
        return payloadBytes(fitted) <= bytesMax;
      }),
      { numRuns: 200 },
    );
  });
});

describe("text of an alert", () => {
  test("names the caller by name, else by address without scheme and parameters", () => {
    expect(alertText(callPayload()).body).toBe("Alice");
    expect(alertText(callPayload({ from: { uri: "sips:bob@example.com;transport=tls?x=y" } })).body).toBe(
      "bob@example.com",
    );
    expect(alertText(callPayload({ from: { uri: "tel:+15550100" } })).body).toBe("+15550100");
    expect(alertText(callPayload({ from: undefined })).body).toBe("Unknown caller");
  });

  test("is words for every kind, never a localisation key", () => {
    for (const kind of ["call", "cancel", "message", "voicemail", "missed", "refused", "lease", "test"] as const) {
      const { title, body } = alertText(callPayload({ kind }));
      expect(title).toMatch(/^[A-Z]/);
      expect(body.length).toBeGreaterThan(0);
    }
  });

  test("shows a message's text only when it was given", () => {
    expect(alertText(callPayload({ kind: "message" }))).toEqual({ title: "Alice", body: "New message" });
    expect(alertText(callPayload({ kind: "message", text: "hi" })).body).toBe("hi");
  });
});

describe("id of a call's push", () => {
  test("is a UUID, the same for the same call, device and kind, and only for them", () => {
    const id = pushIdOf(callOne, deviceOne, "call");
    expect(id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
    expect(pushIdOf(callOne, deviceOne, "call")).toBe(id);
    expect(pushIdOf(callOne, deviceOne, "cancel")).not.toBe(id);
  });
});
