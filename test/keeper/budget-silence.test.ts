import { describe, expect, test } from "bun:test";
import { Budget } from "../../src/keeper/budget.ts";

/** Ms until `count` are answered by a registrar that took 1 ms for the first few and takes 4 ms once it is busy. */
function drain(budget: Budget, count: number, fromMs: number): number {
  const flying: number[] = [];
  let left = count;
  let answered = 0;
  let now = fromMs;
  while (answered < count && now - fromMs < 60_000) {
    for (; left > 0 && budget.mayStart(now); left--) {
      budget.started();
      flying.push(now);
    }
    now++;
    const rttMs = answered < 20 ? 1 : 4;
    for (let first = flying[0]; first !== undefined && first + rttMs <= now; first = flying[0]) {
      flying.shift();
      answered++;
      budget.answered(now, now - first);
      budget.ended();
    }
  }
  return now - fromMs;
}

// Root cause: the losses of a silence left the line that is allowed at its shortest, two, so that a registrar that was back was
// asked two at a time: 10,000 accounts took 20 s.
describe("the budget after a silence (RFC 7339 §5.9)", () => {
  test("lets all back in as quickly as it would let them in at a registrar never seen", () => {
    const fresh = drain(new Budget(0), 5_000, 0);
    const budget = new Budget(0);
    drain(budget, 1_000, 0);
    for (let n = 0; n < 50; n++) budget.lost(10_000 + n * 500, 10_000 + n * 500);
    budget.restart(60_000);
    expect(drain(budget, 5_000, 60_000)).toBeLessThan(fresh * 1.2);
    expect(budget.lossRatio).toBeLessThan(0.01);
  });
});

// Root cause: one lost request with nobody in line cut the line to its shortest, and it grew by 2 % a second from there.
describe("the budget after one loss (RFC 7339 §5.9)", () => {
  test("goes on at nearly its pace when nobody stood in line", () => {
    const fresh = drain(new Budget(0), 5_000, 0);
    const budget = new Budget(0);
    budget.lost(500, 0);
    expect(drain(budget, 5_000, 1_000)).toBeLessThan(fresh * 3);
  });
});
