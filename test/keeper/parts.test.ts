import { describe, expect, test } from "bun:test";
import * as fc from "fast-check";
import type { RegistrationIndex } from "../../src/base/ids.ts";
import type { PeerId } from "../../src/net/network.ts";
import { Arena } from "../../src/keeper/arena.ts";
import { isBase32, readBase32, rowDigits, wordDigits, writeBase32 } from "../../src/keeper/base32.ts";
import { Breaker } from "../../src/keeper/breaker.ts";
import { Budget } from "../../src/keeper/budget.ts";
import { Columns, columnsBytes } from "../../src/keeper/columns.ts";
import {
  Happening,
  judge,
  refreshAfterSec,
  RegistrationStateId as S,
  backOffMs,
  step,
} from "../../src/keeper/machine.ts";
import {
  branchChars,
  branchRow,
  isBranch,
  isKin,
  isToken,
  lineToken,
  tokenChars,
  tokenRow,
  writeBranch,
} from "../../src/keeper/names.ts";
import { Reach } from "../../src/keeper/reach.ts";
import { Realms } from "../../src/keeper/realms.ts";
import { RowIndex } from "../../src/keeper/row-index.ts";
import { VolatileRows } from "../../src/keeper/volatile-rows.ts";
import { WaitingQueue } from "../../src/keeper/waiting-queue.ts";
import { SeededRandom } from "../fakes/virtual-clock.ts";
import { accountIdOf } from "./bench-shard.ts";

const rowOf = (n: number): RegistrationIndex => n as RegistrationIndex;

describe("base32", () => {
  test("every number reads back as it was written", () => {
    const bytes = new Uint8Array(8);
    fc.assert(
      fc.property(fc.nat(0xffffffff), fc.nat((1 << 20) - 1), (word, row) => {
        writeBase32(bytes, 0, word, wordDigits);
        expect(readBase32(bytes, 0, wordDigits)).toBe(word);
        writeBase32(bytes, 0, row, rowDigits);
        expect(readBase32(bytes, 0, rowDigits)).toBe(row);
      }),
    );
  });

  test("is known again, signed or not, and nothing else is", () => {
    const bytes = new Uint8Array(wordDigits);
    fc.assert(
      fc.property(fc.nat(0xffffffff), fc.nat(wordDigits - 1), fc.nat(255), (word, at, byte) => {
        writeBase32(bytes, 0, word, wordDigits);
        const written = bytes.slice();
        writeBase32(bytes, 0, word | 0, wordDigits);
        expect(bytes).toEqual(written);
        expect(isBase32(bytes, 0, word, wordDigits)).toBe(true);
        expect(isBase32(bytes, 0, word | 0, wordDigits)).toBe(true);
        bytes[at] = byte;
        expect(isBase32(bytes, 0, word, wordDigits)).toBe(byte === written[at]);
      }),
    );
  });

  test("anything else is no number", () => {
    for (const text of ["aaaaaa0", "aaaaaaA", "aaaaaa", "7777777"]) {
      expect(readBase32(Buffer.from(text), 0, wordDigits)).toBe(-1);
    }
  });
});

describe("names", () => {
  test("a branch names its row and nobody can change it unnoticed", () => {
    const columns = new Columns(new Uint8Array(columnsBytes(4)));
    const row = columns.allocate(accountIdOf(5), 0, 0)!;
    columns.setGeneration(row, 0xdeadbeef);
    const bytes = new Uint8Array(branchChars);
    fc.assert(
      fc.property(fc.nat(0xffffffff), fc.nat(0xffffffff), fc.nat(branchChars - 9), (a, b, at) => {
        writeBranch(columns, row, a, b, bytes, 0);
        expect(branchRow(bytes, 0)).toBe(row);
        expect(isBranch(columns, row, a, b, bytes, 0)).toBe(true);
        const kept = bytes[8 + at]!;
        bytes[8 + at] = kept === 0x61 ? 0x62 : 0x61;
        const still = branchRow(bytes, 0) === row && isBranch(columns, row, a, b, bytes, 0);
        expect(still).toBe(false);
      }),
    );
  });

  test("a token is known as ours, and as kin when only its random part differs", () => {
    const columns = new Columns(new Uint8Array(columnsBytes(4)));
    const row = columns.allocate(accountIdOf(5), 0, 0)!;
    const other = columns.allocate(accountIdOf(6), 0, 0)!;
    columns.setTokenWord(row, 0, row);
    for (let n = 1; n <= 3; n++) columns.setTokenWord(row, n, 0x12345678 * n);
    const token = Buffer.from(lineToken(columns, row));
    expect(token).toHaveLength(tokenChars);
    expect(tokenRow(token.toString())).toBe(row);
    expect(isToken(columns, row, token, 0, tokenChars)).toBe(true);
    expect(isToken(columns, other, token, 0, tokenChars)).toBe(false);
    expect(isKin(columns, row, token, 0, tokenChars)).toBe(true);
    expect(isKin(columns, other, token, 0, tokenChars)).toBe(false);
    token[20] = token[20] === 0x61 ? 0x62 : 0x61;
    expect(isToken(columns, row, token, 0, tokenChars)).toBe(false);
    expect(isKin(columns, row, token, 0, tokenChars)).toBe(true);
  });
});

describe("row index", () => {
  test("does as a Map of sets does", () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.boolean(), fc.nat(300)), { maxLength: 1500 }), (steps) => {
        // Few hashes, so that rows collide and wrap around.
        const hashOf = (row: number): number => (row * 7) % 61;
        const index = new RowIndex(hashOf);
        const model = new Set<number>();
        for (const [add, row] of steps) {
          if (add && !model.has(row)) {
            index.add(rowOf(row));
            model.add(row);
          } else if (!add) {
            index.remove(rowOf(row));
            model.delete(row);
          }
        }
        expect(index.size).toBe(model.size);
        for (let row = 0; row <= 300; row++) {
          const found = index.find(hashOf(row), (one) => one === row);
          expect(found === undefined).toBe(!model.has(row));
        }
      }),
      { numRuns: 50 },
    );
  });
});

describe("waiting queue", () => {
  test("gives rows in the order of their keys, whoever was moved or taken out", () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat(2), fc.nat(99), fc.nat(1000)), { maxLength: 400 }), (steps) => {
        const volatile = new VolatileRows(100);
        const queue = new WaitingQueue(volatile);
        const model = new Map<number, number>();
        for (const [what, row, key] of steps) {
          if (what < 2) {
            queue.put(rowOf(row), key);
            model.set(row, key);
          } else expect(queue.remove(rowOf(row))).toBe(model.delete(row));
        }
        expect(queue.size).toBe(model.size);
        let last = -1;
        for (let row = queue.first(); row !== undefined; row = queue.first()) {
          const key = model.get(row)!;
          expect(key).toBeGreaterThanOrEqual(last);
          last = key;
          queue.remove(row);
          expect(volatile.queued(row)).toBe(0);
        }
      }),
      { numRuns: 100 },
    );
  });

  test("grows and shrinks", () => {
    const volatile = new VolatileRows(5000);
    const queue = new WaitingQueue(volatile);
    for (let n = 0; n < 5000; n++) queue.put(rowOf(n), 5000 - n);
    for (let n = 4999; n >= 0; n--) {
      expect(queue.first()).toBe(rowOf(n));
      queue.remove(rowOf(n));
    }
    queue.put(rowOf(1), 1);
    expect(queue.first()).toBe(rowOf(1));
  });
});

describe("arena", () => {
  test("gives back every part of every length, over growth and compaction", () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.uint8Array({ maxLength: 300 }), fc.uint8Array({ maxLength: 300 })), { maxLength: 60 }),
        (entries) => {
          const arena = new Arena(2);
          const offsets = entries.map((parts) => arena.add(parts));
          const check = (): void => {
            for (const [n, [first, second]] of entries.entries()) {
              if (offsets[n] === 0) continue;
              expect([arena.part(offsets[n]!, 0), arena.part(offsets[n]!, 1)]).toEqual([first, second]);
            }
          };
          check();
          for (let n = 0; n < offsets.length; n += 2) {
            arena.drop(offsets[n]!);
            offsets[n] = 0;
          }
          const kept = [...offsets.entries()].filter(([, entry]) => entry !== 0);
          arena.compact(kept, (owner, entry) => {
            offsets[owner] = entry;
          });
          check();
        },
      ),
      { numRuns: 100 },
    );
  });
});

describe("realms", () => {
  test("are shared while in use and forgotten after", () => {
    const realms = new Realms();
    const a = realms.acquire("a");
    expect(realms.acquire("a")).toBe(a);
    const b = realms.acquire("b");
    expect(realms.is(a, Buffer.from("xa"), 1, 2)).toBe(true);
    expect(realms.is(b, Buffer.from("xa"), 1, 2)).toBe(false);
    realms.release(a);
    expect(realms.get(a)?.text).toBe("a");
    realms.release(a);
    expect(realms.get(a)).toBeUndefined();
    expect(realms.acquire("c")).toBe(a);
  });
});

describe("the machine of a registration", () => {
  const H = Happening;
  test.each([
    [S.idle, H.wanted, false, S.registering],
    [S.registering, H.bound, true, S.registered],
    [S.registered, H.bound, true, S.registered],
    [S.registered, H.failed, true, S.registered],
    [S.registered, H.failed, false, S.retrying],
    [S.registered, H.lapsed, false, S.retrying],
    [S.registered, H.denied, false, S.refused],
    [S.registered, H.unwanted, true, S.unregistering],
    [S.registering, H.failed, false, S.retrying],
    [S.registering, H.denied, false, S.refused],
    [S.registering, H.released, false, S.idle],
    [S.retrying, H.bound, true, S.registered],
    [S.retrying, H.failed, false, S.retrying],
    [S.retrying, H.lapsed, false, S.retrying],
    [S.refused, H.wanted, false, S.refused],
    [S.refused, H.failed, false, S.refused],
    [S.refused, H.bound, true, S.registered],
    [S.refused, H.released, false, S.idle],
    [S.unregistering, H.released, false, S.idle],
    [S.unregistering, H.wanted, false, S.registering],
    [S.unregistering, H.wanted, true, S.registered],
    [S.unregistering, H.failed, false, S.unregistering],
  ] as const)("%d, %d, binding %p: %d", (state, happening, holds, next) => {
    expect(step(state, happening, holds)).toBe(next);
  });

  test("every final status calls for something", () => {
    const verdicts = new Set<string>();
    for (let status = 200; status < 700; status++) {
      for (const isUnbind of [true, false]) {
        for (const isPlain of [true, false]) {
          for (const speaksOfOthers of [true, false]) {
            verdicts.add(judge({ status, isUnbind, isPlain, speaksOfOthers }));
          }
        }
      }
    }
    expect([...verdicts].toSorted()).toEqual(
      [
        "accepted",
        "busy",
        "challenged",
        "crowded",
        "denied",
        "gone",
        "later",
        "redirected",
        "simplify",
        "tooBrief",
      ].toSorted(),
    );
  });

  test("a refresh leaves room for a whole transaction, and is no earlier than it need be", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 86_400 }),
        fc.double({ min: 0, max: 0.999, noNaN: true }),
        (granted, share) => {
          const after = refreshAfterSec(granted, share, false);
          expect(after).toBeLessThanOrEqual(Math.max(granted - 35, granted / 2) + 1e-6);
          if (granted >= 350) expect(after).toBeWithin(granted * 0.8 - 1e-6, granted * 0.9 + 1e-6);
          expect(after).toBeGreaterThan(granted * 0.4);
          const crowded = refreshAfterSec(granted, share, true);
          expect(crowded).toBeLessThanOrEqual(Math.max(granted - 35, granted / 2));
        },
      ),
    );
  });

  test("the wait after failures doubles from 30 to 60 s up to 15 to 30 min (RFC 5626 §4.5)", () => {
    expect([backOffMs(1, 0), backOffMs(1, 0.9999)].map((ms) => Math.round(ms / 1000))).toEqual([30, 60]);
    expect(Math.round(backOffMs(3, 0) / 1000)).toBe(120);
    expect([backOffMs(50, 0), backOffMs(255, 0.9999)].map((ms) => Math.round(ms / 1000))).toEqual([900, 1800]);
  });
});

describe("the budget", () => {
  /** Answers everything after `rttMs`, as many at once as the budget allows. */
  function run(budget: Budget, count: number, rttMs: number, nowMs = 0): number {
    const flying: number[] = [];
    let now = nowMs;
    let left = count;
    while (left > 0 || flying.length > 0) {
      while (left > 0 && budget.mayStart(now)) {
        budget.started();
        flying.push(now);
        left--;
      }
      now += 1;
      while (flying.length > 0 && flying[0]! + rttMs <= now) {
        const started = flying.shift()!;
        budget.answered(now, now - started);
        budget.ended();
      }
    }
    return now - nowMs;
  }

  test("grows while answers are quick", () => {
    const budget = new Budget(0);
    const first = budget.window;
    expect(run(budget, 20_000, 20)).toBeLessThan(3000);
    expect(budget.window).toBeGreaterThan(first * 4);
  });

  test("does not grow where nobody uses it", () => {
    const budget = new Budget(0);
    for (let now = 0; now < 60_000; now += 100) {
      budget.started();
      budget.answered(now, 20);
      budget.ended();
    }
    expect(budget.window).toBeLessThan(40);
  });

  test("shrinks once for the losses of one round", () => {
    const budget = new Budget(0);
    run(budget, 5000, 20);
    const before = budget.window;
    for (let n = 0; n < 50; n++) budget.lost(10_000 + n, 9500);
    expect(budget.window).toBe(Math.floor(before * 0.7));
    for (let n = 0; n < 50; n++) budget.lost(11_000 + n * 10, 10_999 + n * 10);
    expect(budget.window).toBe(2);
    expect(budget.lossRatio).toBeGreaterThan(0.5);
  });

  test("503 halves the rate, Retry-After stops it, and both pass", () => {
    const budget = new Budget(0);
    run(budget, 2000, 5);
    budget.overloaded(5000, 4999, 30_000);
    expect(budget.ratePerSec).toBeLessThan(2000);
    expect(budget.mayStart(34_000)).toBe(false);
    expect(budget.mayStart(35_001)).toBe(true);
    expect(run(budget, 500, 5, 35_001)).toBeGreaterThan(100);
    const { ratePerSec } = budget;
    for (let now = 40_000; now < 400_000; now += 1000) budget.mayStart(now);
    expect(budget.ratePerSec).toBeGreaterThan(ratePerSec * 2);
  });

  test("a pause has an end, whatever was asked for", () => {
    const budget = new Budget(0);
    budget.overloaded(0, -1, Number.MAX_SAFE_INTEGER);
    expect(budget.pausedUntilMs).toBe(3_600_000);
  });

  test("no order of events makes it negative or stuck", () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat(4), fc.nat(5000)), { maxLength: 300 }), (steps) => {
        const budget = new Budget(0);
        let now = 0;
        for (const [what, ms] of steps) {
          now += ms / 10;
          if (what === 0 && budget.mayStart(now)) budget.started();
          else if (what === 1) budget.answered(now, ms);
          else if (what === 2) budget.ended();
          else if (what === 3) budget.lost(now, now - ms);
          else if (what === 4) budget.overloaded(now, now - ms, ms);
          expect(budget.inFlight).toBeGreaterThanOrEqual(0);
          expect(budget.window).toBeWithin(2, 5000);
          expect(budget.ratePerSec).toBeGreaterThanOrEqual(1);
        }
        for (let n = 0; n < 300; n++) budget.ended();
        expect(budget.mayStart(now + 7_200_000)).toBe(true);
      }),
      { numRuns: 200 },
    );
  });
});

describe("the breaker", () => {
  test("opens when many are refused and few accepted, tries one now and then, and closes on a success", () => {
    const breaker = new Breaker();
    for (let n = 0; n < 19; n++) expect(breaker.refused(1000)).toBe(false);
    expect(breaker.refused(1000)).toBe(true);
    expect(breaker.state(1000)).toBe("open");
    expect(breaker.allows(200_000)).toBe(false);
    expect(breaker.state(301_001)).toBe("halfOpen");
    expect(breaker.allows(301_001)).toBe(true);
    expect(breaker.allows(301_002)).toBe(false);
    breaker.refused(301_100);
    expect(breaker.state(500_000)).toBe("open");
    expect(breaker.allows(901_101)).toBe(true);
    breaker.accepted(901_200);
    expect(breaker.state(901_200)).toBe("closed");
    expect(breaker.allows(901_200)).toBe(true);
  });

  test("stays closed while most are accepted, or refusals are far apart", () => {
    const breaker = new Breaker();
    for (let n = 0; n < 100; n++) {
      breaker.accepted(n);
      breaker.refused(n);
    }
    for (let n = 0; n < 100; n++) breaker.refused(100_000 + n * 10_000);
    expect(breaker.state(2_000_000)).toBe("closed");
  });
});

describe("reach", () => {
  const [a, b] = [1 as PeerId, 2 as PeerId];

  test("a server in use stays in use while its name leads to it, in any order", () => {
    const reach = new Reach(new SeededRandom(1));
    reach.setPeers([a, b]);
    expect(reach.current).toBe(a);
    reach.setPeers([b, a]);
    expect(reach.current).toBe(a);
    expect(reach.setPeers([b])).toBe(true);
    expect(reach.current).toBe(b);
  });

  test("one request without an answer is no proof before its fourth sending", () => {
    const reach = new Reach(new SeededRandom(1));
    reach.setPeers([a]);
    expect(reach.unanswered(a, 1000, 1500)).toBe("none");
    expect(reach.unanswered(a, 1000, 2500)).toBe("none");
    expect(reach.unanswered(a, 1000, 4500)).toBe("silent");
    expect(reach.answered(a, 9000)).toBe(true);
    expect(reach.isSilent).toBe(false);
  });

  test("a server that was passed over is used when it speaks in a silence, and only then", () => {
    const reach = new Reach(new SeededRandom(1));
    reach.setPeers([a, b]);
    reach.answered(b, 1000);
    expect(reach.current).toBe(a);
    expect(reach.unanswered(a, 2000, 6000)).toBe("switched");
    expect(reach.unanswered(b, 6500, 11_000)).toBe("silent");
    expect(reach.answered(a, 12_000)).toBe(true);
    expect(reach.current).toBe(a);
  });

  test("an answer to anybody is proof that the server lives", () => {
    const reach = new Reach(new SeededRandom(1));
    reach.setPeers([a]);
    reach.answered(a, 2000);
    for (let n = 0; n < 20; n++) expect(reach.unanswered(a, 1000, 9000)).toBe("none");
  });

  test("probes come each second at first, and every five minutes in the end", () => {
    const reach = new Reach(new SeededRandom(1));
    reach.setPeers([a]);
    reach.down(a, 0, false, true);
    expect(reach.isSilent).toBe(true);
    const gap = (nowMs: number): number => {
      reach.probing(nowMs);
      return reach.nextProbeMs - nowMs;
    };
    expect(gap(1000)).toBe(1000);
    expect(gap(60_000)).toBe(2000);
    expect(gap(600_000)).toBe(20_000);
    expect(gap(86_400_000)).toBe(300_000);
  });
});
