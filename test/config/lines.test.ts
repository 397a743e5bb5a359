import { describe, expect, test } from "bun:test";
import { assert, integer, property, stringMatching } from "fast-check";
import { parse } from "smol-toml";
import { keyLines } from "../../src/config/lines.ts";
import { editDistance, suggest } from "../../src/config/suggest.ts";

describe("lines of keys", () => {
  test("through tables, arrays of tables, dotted and quoted keys, inline tables and strings of every kind", () => {
    const text = `# a comment with [brackets] = and "quotes
top = """
[not.a.table]
fake = 1 \\""" still
"""
a.b.'c d' = 'x # y' # comment
list = [
  "one", # [a]
  { k = 1, "q.r" = [2, 3] },
]
[[apps]]
id = "1"
  [apps.apns]
  key_id = "x"
[[apps]]
id = '''
id = 2
'''
apns = { key_id = "}", more = { deep = true } }
[[apps.sub]]
z = 1979-05-27T07:32:00Z
[sip]
port = 5060`;
    expect(() => parse(text)).not.toThrow();
    const lines = keyLines(text);
    expect(Object.fromEntries(lines)).toEqual({
      top: 2,
      a: 6,
      "a.b": 6,
      "a.b.c d": 6,
      list: 7,
      "list[0]": 8,
      "list[1]": 9,
      "list[1].k": 9,
      "list[1].q.r": 9,
      "list[1].q.r[0]": 9,
      "list[1].q.r[1]": 9,
      apps: 11,
      "apps[0]": 11,
      "apps[0].id": 12,
      "apps[0].apns": 13,
      "apps[0].apns.key_id": 14,
      "apps[1]": 15,
      "apps[1].id": 16,
      "apps[1].apns": 19,
      "apps[1].apns.key_id": 19,
      "apps[1].apns.more": 19,
      "apps[1].apns.more.deep": 19,
      "apps[1].sub": 20,
      "apps[1].sub[0]": 20,
      "apps[1].sub[0].z": 21,
      sip: 22,
      "sip.port": 23,
    });
  });

  test("end whatever the text is", () => {
    assert(
      property(stringMatching(/^[[\]{}="'#.,a\n \\]{0,60}$/), (text) => {
        keyLines(text);
      }),
      { numRuns: 2_000 },
    );
    for (const text of [
      "[",
      "[[a",
      'a = "',
      "a = '''",
      "a = [",
      "a = {",
      "a = { b",
      "= 1",
      "a =",
      "\\",
      "[a]]]]",
      "a = [}",
      "a = [ } } }",
      "a = { ] ]",
      "a = [#",
    ])
      keyLines(text);
  });
});

describe("suggestions", () => {
  test("are near, or none", () => {
    const known = ["port", "tls_port", "user_agent", "listen"];
    expect(suggest("prot", known)).toBe("port");
    expect(suggest("tlsPort", known)).toBe("tls_port");
    expect(suggest("useragent", known)).toBe("user_agent");
    expect(suggest("lsiten", known)).toBe("listen");
    expect(suggest("address", known)).toBeUndefined();
    expect(suggest("x", [])).toBeUndefined();
  });

  test("a swap of neighbours is one edit, and the distance is symmetric", () => {
    expect(editDistance("ab", "ba")).toBe(1);
    expect(editDistance("", "abc")).toBe(3);
    const word = stringMatching(/^[abc]{0,6}$/);
    assert(
      property(word, word, integer({ min: 0, max: 5 }), (a, b, at) => {
        expect(editDistance(a, b)).toBe(editDistance(b, a));
        expect(editDistance(a, a)).toBe(0);
        expect(editDistance(a, `${a.slice(0, at)}x${a.slice(at)}`)).toBe(1);
      }),
    );
  });
});
