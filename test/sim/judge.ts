import type { FarCall } from "./trunk.ts";
import type { World } from "./world.ts";

/** 64*T1: what a transaction may take. */
const transactionMs = 32_000;
/** A retransmission of the far end's own, and a tick. */
const slackMs = 1_000;

/** The rules that can be looked at when all is over. */
export function judge(world: World): void {
  for (const call of world.trunk.calls.values()) judgeCall(world, call);
  judgeLeftovers(world);
  const [least, most] = world.plan.weather.delayMs;
  // A lost REGISTER is heard 500 ms or more late, so the next may follow sooner after it.
  const jitterMs = most - least + 20 + (world.plan.weather.lossRatio > 0 || world.wasSilenced ? 5_000 : 0);
  world.registers.judge(jitterMs, (rule, text) => world.complain(rule, text, ""));
}

function judgeLeftovers(world: World): void {
  for (const [name, size] of Object.entries({ ...world.core.sizes(), will: world.pool.will.size })) {
    if (size !== 0) world.complain("nothing is left", `${name}: ${size}`, "");
  }
  if (world.count("callsRunning") !== 0) world.complain("nothing is left", "calls running", "");
  for (const name of ["faultsDatagram", "faultsCommand", "faultsTick"] as const) {
    if (world.count(name) !== 0) world.complain("no faults", `${name}: ${world.count(name)}`, "");
  }
  for (const user of world.registrar.bindings.keys()) {
    if (world.registrar.bindingsOf(user).length > 0) world.complain("no binding is left", user, "");
  }
}

function judgeCall(world: World, call: FarCall): void {
  const { asked, callId } = call;
  if (asked === undefined || call.isExcused) return;
  const mayBeLost = world.plan.weather.lossRatio > 0 || world.wasSilenced || world.wasDropped;
  // Nothing came through within timer B: it is the network that lost the call, and what comes later finds nobody.
  if (asked.isDead && mayBeLost) return;
  if (asked.finalStatus === 0) {
    world.complain("every INVITE gets a final answer", asked.isProceeding ? "after 1xx none" : "none at all", callId);
    return;
  }
  // RFC 3261 §16.7 step 5: the first 2xx that was here while the call was open is the caller's, whatever became of its phone.
  if (
    call.acceptedTag !== undefined &&
    call.dialog?.remoteTag !== call.acceptedTag &&
    !world.wasSilenced &&
    !world.wasDropped
  )
    world.complain(
      "no 2xx lost",
      `${call.acceptedTag} answered, the caller has ${call.dialog?.remoteTag ?? "none"}`,
      callId,
    );
  const deadlineMs = call.placedAtMs + world.plan.deadlineSec * 1_000;
  // A 180 is not repeated: the caller may not have heard it.
  const hasRung = call.rangAtMs < Infinity || world.plan.weather.lossRatio > 0 || world.wasSilenced;
  const wantedMs = hasRung
    ? call.placedAtMs + call.plan.patienceMs
    : Math.min(deadlineMs, call.placedAtMs + call.plan.patienceMs);
  if (asked.finalAtMs > Math.max(wantedMs, call.placedAtMs) + transactionMs + slackMs) {
    world.complain("an answer in time", `${Math.round(asked.finalAtMs - call.placedAtMs)} ms`, callId);
  }
}

/** In the foreground our binding is gone, in the background it stands, when the shard says that it is done. */
export function judgePresence(
  world: World,
  username: string,
  presence: "foreground" | "background",
  requestId: number,
): void {
  world.onPresenceDone(requestId, (isPending) => {
    if (isPending) return;
    const bindings = world.registrar.bindingsOf(username).length;
    if (presence === "foreground" && bindings > 0) world.complain("no binding in the foreground", username, "");
    if (presence === "background" && bindings !== 1) world.complain("a binding in the background", username, "");
  });
}
