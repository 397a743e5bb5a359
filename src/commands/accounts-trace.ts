import { ladderHead, ladderLine, messageLines, railsOf, type Rung, shortDevice } from "../base/ladder.ts";
import type { ChoreConfig } from "../config/config.ts";
import type { CommandIo } from "./io.ts";
import { callOperator, OperatorCallError, record } from "./operator-call.ts";

const pollMs = 500;
export const traceMinutesDefault = 5;
/** As the operator's interface has it. */
export const traceMinutesMax = 120;

export interface TraceWishes {
  /** How long to trace; 0: write what was traced before, and end. */
  readonly minutes: number;
  /** Write each message, masked, under its arrow. */
  readonly messages: boolean;
}

/** Traces the account on the running server and draws each rung of its ladder as it comes. Throws OperatorCallError. */
export async function traceAccount(
  config: ChoreConfig,
  accountId: string,
  { minutes, messages }: TraceWishes,
  io: CommandIo,
): Promise<void> {
  const untilMs = performance.now() + minutes * 60_000;
  let before: readonly Rung[] = [];
  if (minutes > 0) {
    before = await tracedRungs(config, accountId);
    await callOperator(config, "POST", "/operator/v1/trace", { account: accountId, minutes });
  }
  let startMs: number | undefined;
  let head = "";
  for (;;) {
    const rungs = await tracedRungs(config, accountId);
    const rails = railsOf(rungs, shortDevice);
    for (const rung of newIn(rungs, before)) {
      startMs ??= rung.atMs;
      // A device more makes a rail more.
      if (head !== ladderHead(rails)) io.out((head = ladderHead(rails)));
      io.out(ladderLine(rails, rung, rung.atMs - startMs));
      if (messages && rung.text !== undefined) for (const line of messageLines(rung.text)) io.out(line);
    }
    if (minutes === 0 && head === "") io.out("nothing was traced");
    const leftMs = untilMs - performance.now();
    if (leftMs <= 0) return;
    before = rungs;
    await Bun.sleep(Math.min(pollMs, leftMs));
  }
}

/** What follows the last rung of `before`. The server forgets the oldest of many, so that their number does not tell. */
function newIn(rungs: readonly Rung[], before: readonly Rung[]): readonly Rung[] {
  const last = JSON.stringify(before.at(-1));
  return rungs.slice(rungs.findLastIndex((rung) => JSON.stringify(rung) === last) + 1);
}

async function tracedRungs(config: ChoreConfig, accountId: string): Promise<readonly Rung[]> {
  const answer = await callOperator(config, "GET", `/operator/v1/trace/${accountId}`);
  if (!Array.isArray(answer)) {
    throw new OperatorCallError("the server's answer is not a list: is it of another version?");
  }
  return answer.map(rungOf);
}

function rungOf(value: unknown): Rung {
  const { at, from, to, device, label, detail, text } = record(value);
  return {
    atMs: Date.parse(String(at)),
    from: String(from),
    to: String(to),
    label: String(label),
    ...(typeof device === "string" ? { deviceId: device } : {}),
    ...(typeof detail === "string" ? { detail } : {}),
    ...(typeof text === "string" ? { text } : {}),
  };
}
