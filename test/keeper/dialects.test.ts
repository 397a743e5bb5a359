import { describe, expect, test } from "bun:test";
import type { RegistrarOptions } from "../fakes/virtual-registrar.ts";
import { BenchShard } from "./bench-shard.ts";

/** How a registrar may write the challenge that it means; what it means stays the same, and it checks every response. */
interface Dialect {
  readonly what: string;
  readonly options?: RegistrarOptions;
  readonly write: (line: string) => string;
  /** The qop of our answers; undefined: none. */
  readonly qop?: string | undefined;
}

const asItIs = (line: string): string => line;

const dialects: readonly Dialect[] = [
  {
    what: "quoted parameters where bare words belong",
    write: (line) => line.replace("algorithm=MD5", 'algorithm="MD5", stale="FALSE"'),
  },
  { what: "unquoted parameters where strings belong", write: (line) => line.replaceAll('"', "") },
  {
    what: "odd case",
    write: (line) =>
      line
        .replace("Digest realm", "DIGEST REALM")
        .replace("nonce=", "Nonce=")
        .replace('qop="auth"', 'QOP="Auth"')
        .replace("algorithm=MD5", "ALGORITHM=md5"),
  },
  { what: "no spaces, no algorithm", write: (line) => line.replace(", algorithm=MD5", "").replaceAll(", ", ",") },
  {
    what: "parameters that nobody knows, and a domain",
    write: (line) => `${line}, domain="sip:virtual.test sip:a.test", charset=UTF-8, userhash=false, x="a, b=\\"c\\""`,
  },
  { what: "auth,auth-int: auth of the two", options: { qop: "auth,auth-int" }, write: asItIs },
  { what: "auth-int, auth with a space: auth all the same", options: { qop: "auth-int, auth" }, write: asItIs },
  { what: "auth-int alone", options: { qop: "auth-int" }, write: asItIs, qop: "auth-int" },
  { what: "no qop (RFC 2069)", options: { qop: undefined }, write: asItIs, qop: undefined },
  { what: "an opaque that is empty", options: { opaque: "" }, write: asItIs },
  { what: "several algorithms, weakest first", options: { algorithms: ["MD5", "SHA-256"] }, write: asItIs },
  {
    what: "several algorithms joined in one header",
    options: { algorithms: ["SHA-256", "MD5"] },
    write: asItIs,
  },
];

describe("a challenge in other words, RFC 7616 §3.3", () => {
  test.each(dialects)("$what", (dialect) => {
    for (const proxy of [false, true]) {
      const shard = new BenchShard({ registrar: { ...dialect.options, proxy } });
      const { registrar } = shard;
      const own = registrar.challengeLines.bind(registrar);
      registrar.challengeLines = (stale) => {
        const lines = own(stale).map(dialect.write);
        const isJoined = dialect.what.endsWith("one header");
        return isJoined
          ? [lines.map((line, n) => (n === 0 ? line : line.slice(line.indexOf("Digest")))).join(", ")]
          : lines;
      };
      const account = shard.add(1);
      shard.run(1_200_000, 50);
      expect(shard.state(account)).toBe("registered");
      expect([registrar.wrong, registrar.challenges]).toEqual([0, 1]);
      const qop = "qop" in dialect ? dialect.qop : "auth";
      const answers = registrar.heard.flatMap(({ authorization }) => authorization ?? []);
      expect(answers.length).toBeGreaterThan(2);
      expect(new Set(answers.map((one) => /qop="?([\w-]+)/.exec(one)?.[1]))).toEqual(new Set([qop]));
      expect(new Set(answers.map((one) => /opaque="([^"]*)"/.exec(one)?.[1]))).toEqual(
        new Set([dialect.options?.opaque]),
      );
    }
  });
});

describe("503 and silence, RFC 3261 §21.5.4, §17.1.2.2", () => {
  test("503 without Retry-After is tried again by our own back-off", () => {
    const shard = new BenchShard({ registrar: { open: true } });
    shard.registrar.behaviour = () => ({ status: 503 });
    const account = shard.add(1);
    shard.run(29_000);
    expect(shard.registrar.heard).toHaveLength(1);
    expect(shard.keeper.status(account)).toMatchObject({ state: "retrying", lastStatus: 503 });
    shard.run(32_000);
    expect(shard.registrar.heard).toHaveLength(2);
    shard.registrar.behaviour = undefined;
    shard.run(130_000);
    expect(shard.state(account)).toBe("registered");
  });

  test("silence ends after 32 s with 'no answer', and the account registers once somebody answers", () => {
    const shard = new BenchShard({ registrar: { open: true } });
    shard.registrar.isSilent = true;
    const account = shard.add(1);
    shard.run(33_000);
    expect(shard.keeper.status(account)).toMatchObject({ state: "retrying", lastStatus: 408, lastReason: "no answer" });
    shard.registrar.isSilent = false;
    shard.run(30_000);
    expect(shard.state(account)).toBe("registered");
  });
});

describe("what stands in a 200 beside the bindings", () => {
  test("Require: outbound and Flow-Timer (RFC 5626 §4.2.2, §4.4), Date and headers that nobody knows, do no harm", () => {
    const endpoint = { transport: "tcp", address: "192.0.2.10", port: 5060 } as const;
    const shard = new BenchShard({ endpoint, registrar: { open: true } });
    shard.registrar.behaviour = (heard, registrar) => {
      const own = registrar.own(heard);
      return {
        ...own,
        headers: [
          ...(own.headers ?? []),
          "Require: outbound",
          "Supported: path, outbound, gruu",
          "Flow-Timer: 60",
          "Date: Sat, 31 Feb 2026 25:61:61 XYZ",
          "X-Nobody: \u00ff;=,,<>",
          "Allow-Events: \t",
        ],
      };
    };
    const account = shard.add(1, { transport: "tcp" });
    shard.run(600_000, 50);
    expect(shard.state(account)).toBe("registered");
    // 60 s or a little less: ten in ten minutes.
    expect(shard.host.keepAlives).toBeWithin(9, 13);
  });

  test("439 First Hop Lacks Outbound Support: the next REGISTER asks for no outbound (RFC 5626 §6)", () => {
    const endpoint = { transport: "tcp", address: "192.0.2.10", port: 5060 } as const;
    const shard = new BenchShard({ endpoint, registrar: { open: true } });
    shard.registrar.behaviour = (heard) => (heard.text.includes("reg-id") ? { status: 439 } : "own");
    const account = shard.add(1, { transport: "tcp" });
    shard.run(1000);
    expect(shard.state(account)).toBe("registered");
    expect(shard.registrar.heard).toHaveLength(2);
    expect(shard.registrar.heard[1]?.text).not.toContain("outbound");
  });
});
