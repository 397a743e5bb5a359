import { describe, expect, test } from "bun:test";
import { StoreFault } from "../../src/store/faults.ts";
import { newVaultKeys } from "../../src/store/vault.ts";
import { WriteQueue, type WriterThreadEvents } from "../../src/store/write-queue.ts";
import type { Outcome, WriterCommand } from "../../src/store/writer-protocol.ts";
import { VirtualClock } from "../fakes/virtual-clock.ts";
import { refusal } from "./fixtures.ts";

/** A queue whose worker does what the test says. */
async function started() {
  const clock = new VirtualClock();
  const sent: WriterCommand[] = [];
  let events: WriterThreadEvents | undefined;
  const queue = new WriteQueue({
    spawn: (given) => {
      events = given;
      return {
        post: (command) => {
          sent.push(command);
          if (command.kind === "open") given.onReport({ kind: "opened" });
        },
        terminate: () => {},
      };
    },
    open: { kind: "open", dataDir: "", master: Buffer.alloc(32), vaultKeys: newVaultKeys() },
    onLost: () => {},
    clock,
  });
  await queue.start();
  const answer = (outcome: Outcome): void => {
    const batch = sent.pop();
    if (batch?.kind !== "batch") throw new Error("no batch was sent");
    events?.onReport({ kind: "committed", outcomes: batch.writes.map(({ id }) => ({ id, outcome })) });
  };
  return { queue, clock, answer, die: (reason: string) => events?.onGone(reason) };
}

const write = { kind: "putSetting", name: "a", value: "b" } as const;

describe("what stops writes is known", () => {
  test("a full disk, from the write that failed until one is done", async () => {
    const { queue, answer } = await started();
    expect(queue.trouble).toBeUndefined();
    const failed = refusal(queue.write(write));
    await Promise.resolve();
    answer({ ok: false, failure: { kind: "fault", text: "database or disk is full", outcomeUnknown: false } });
    expect(await failed).toBeInstanceOf(StoreFault);
    expect(queue.trouble).toBe("database or disk is full");
    const done = queue.write(write);
    await Promise.resolve();
    answer({ ok: true, value: undefined });
    await done;
    expect(queue.trouble).toBeUndefined();
  });

  test("a row that is not there is none", async () => {
    const { queue, answer } = await started();
    const failed = refusal(queue.write(write));
    await Promise.resolve();
    answer({ ok: false, failure: { kind: "missing", what: "row" } });
    await failed;
    expect(queue.trouble).toBeUndefined();
  });

  test("a write that takes ten seconds is stuck; one on its way is not", async () => {
    const { queue, clock, answer } = await started();
    const slow = queue.write(write);
    await Promise.resolve();
    clock.advance(9_999);
    expect(queue.trouble).toBeUndefined();
    clock.advance(2_001);
    expect(queue.trouble).toBe("a write has taken 12 s");
    answer({ ok: true, value: undefined });
    await slow;
    expect(queue.trouble).toBeUndefined();
  });

  test("a worker that died, until the next has opened the database", async () => {
    const { queue, die } = await started();
    die("out of memory");
    expect(queue.trouble).toBe("out of memory");
    await queue.close();
  });
});
