import { describe, expect, test } from "bun:test";
import { assert, property, uuid } from "fast-check";
import { uuidBytes, uuidText } from "../../src/base/uuid.ts";

describe("UUIDs in 16 bytes", () => {
  test("text and bytes are the same thing", () => {
    assert(
      property(uuid(), (text) => {
        const bytes = uuidBytes(text);
        expect(bytes?.length).toBe(16);
        expect(uuidText(bytes ?? new Uint8Array(16))).toBe(text);
      }),
    );
  });

  test("either case gives the same bytes", () => {
    expect(uuidBytes("ABCDEF01-0000-0000-0000-00000000ABCD")).toEqual(
      uuidBytes("abcdef01-0000-0000-0000-00000000abcd"),
    );
  });

  test("anything else has no bytes", () => {
    for (const text of [
      "",
      "me",
      "0197c2a4-5b1e-7c3d-8f00-0123456789a",
      "0197c2a4-5b1e-7c3d-8f00-0123456789abc",
      "0197c2a45b1e-7c3d-8f00-0123456789ab-",
      "0197c2a4-5b1e-7c3d-8f00-0123456789ag",
      "0197c2a4-5b1e-7c3d-8f00-0123456789a\u{130}",
      "' OR 1=1 -- -0000-0000-0000-00000000",
    ]) {
      expect(uuidBytes(text)).toBeUndefined();
    }
  });
});
