import { Dice } from "./dice.ts";
import type { SimAccount } from "./directory.ts";
import type { CallPlan, FarCall } from "./trunk.ts";
import { World, type WorldPlan } from "./world.ts";

export interface Outcome {
  readonly seed: number;
  readonly world: World;
  readonly calls: number;
  readonly answered: number;
  readonly outgoing: number;
  readonly simulatedMs: number;
}

const transactionMs = 32_000;
/** How late the last answer may be: a retransmission of the far end's own, and a tick. */
const slackMs = 1_000;

export function planOf(seed: number): WorldPlan {
  const dice = new Dice(seed * 7919 + 13);
  const rough = dice.chance(0.6);
  const transport = dice.chance(0.7) ? "udp" : "tcp";
  return {
    seed,
    transport,
    weather: {
      delayMs: rough ? [1, dice.pick([5, 40, 150])] : [1, 3],
      lossRatio: rough && transport === "udp" ? dice.pick([0, 0.02, 0.1, 0.2]) : 0,
      duplicateRatio: rough && transport === "udp" ? dice.pick([0, 0.05, 0.3]) : 0,
    },
    pool: {
      pushMs: rough ? [50, 4_000] : [20, 300],
      pushLoss: rough ? 0.05 : 0,
      pushFails: rough ? 0.05 : 0,
      tunnelMs: rough ? [5, 200] : [1, 10],
      noticeMs: rough ? [0, 15_000] : [0, 500],
      voip: dice.chance(0.5),
    },
    habits: {
      breaksPerSec: dice.pick([0, 0.02, 0.1, 0.3]),
      forgetsRinging: false,
      answers: dice.pick([0.5, 0.7, 0.9]),
      declines: 0.1,
      deafToPush: 0.02,
      dies: dice.pick([0, 0.02, 0.1]),
    },
    ring: dice.pick(["on_push", "on_device", "immediate"]),
    deadlineSec: dice.pick([15, 40]),
    accounts: dice.pick([20, 60, 120]),
    devicesMax: dice.pick([1, 2, 3]),
    registrar: { expiresMaxSec: dice.pick([120, 600, 3_600]), nonceUses: dice.pick([1, 10, Infinity]) },
  };
}

function callPlan(dice: Dice): CallPlan {
  return {
    patienceMs: dice.chance(0.5) ? dice.between(0, 20_000) : dice.between(20_000, 90_000),
    ending: dice.pick(["cancel", "cancel", "elsewhere", "foreignAck"]),
    talkMs: dice.between(0, 30_000),
    reinvites: dice.chance(0.15),
    asks: dice.chance(0.2),
  };
}

/** Plays one world from its seed: accounts register, calls come and go, everything ends; what is left over is looked at. */
export function play(seed: number, options: { readonly calls?: number; readonly ratePerSec?: number } = {}): Outcome {
  const { calls = 150, ratePerSec = 20 } = options;
  const world = new World(planOf(seed));
  const dice = new Dice(seed * 104_729 + 7);
  const startMs = world.clock.nowMs();
  world.start();
  const accounts = [...world.directory.byId.values()];
  world.wire.runUntil(() => world.registrar.registered === accounts.length, 60_000);
  if (world.registrar.registered < accounts.length) {
    world.complain("everybody registers", `${world.registrar.registered} of ${accounts.length}`, "");
  }
  const traced = dice.pick(accounts).record.accountId;
  world.command({ kind: "traceStart", accountId: traced, untilMs: world.clock.wallMs() + 3_600_000 });
  const crashAt = dice.chance(0.25) ? dice.whole(20, calls - 20) : -1;
  for (let n = 0; n < calls; n++) {
    world.run(dice.between(0, 2_000 / ratePerSec));
    if (n === crashAt) crash(world, dice);
    if (dice.chance(0.02)) world.clock.jumpWall(dice.between(-7_200_000, 7_200_000));
    if (dice.chance(0.1)) callOut(world, dice);
    const { username } = dice.pick(accounts).record;
    if (world.trunk.place(username, callPlan(dice)) === undefined) {
      world.complain("a binding for every account", username, "");
    }
  }
  const callsEndMs = world.clock.nowMs();
  world.run(100_000, 10);
  settle(world, accounts);
  judge(world, callsEndMs);
  const placed = [...world.trunk.calls.values()];
  return {
    seed,
    world,
    calls: placed.length,
    answered: placed.filter(({ dialog }) => dialog !== undefined).length,
    outgoing: world.trunk.outgoing,
    simulatedMs: world.clock.nowMs() - startMs,
  };
}

/** The restart must cost nothing: bindings are good, so no REGISTER leaves. */
function crash(world: World, dice: Dice): void {
  const before = world.count("registerSent");
  world.crash();
  world.run(dice.between(100, 2_000));
  const sent = world.count("registerSent") - before;
  if (sent > refreshesDue(world)) world.complain("no REGISTER after a restart", `${sent} sent`, "");
}

/** Refreshes that may fall into the seconds after a restart. */
function refreshesDue(world: World): number {
  return world.plan.registrar.expiresMaxSec === 120 ? Math.ceil(world.plan.accounts / 4) : Math.ceil(world.plan.accounts / 10);
}

function callOut(world: World, dice: Dice): void {
  const phone = dice.pick([...world.phones.values()]);
  if (!phone.isOpen) phone.openNow();
  const callee = `callee${dice.whole(1, 9)}`;
  world.wire.after(dice.between(300, 900), () => phone.call(phone.accounts[0]?.username ?? "", callee));
}

/** Everybody goes home: calls end, tunnels close, accounts are removed; then a quarter of an hour in which nothing happens. */
function settle(world: World, accounts: readonly SimAccount[]): void {
  world.run(150_000, 50);
  for (const phone of world.phones.values()) if (phone.isOpen) phone.tunnel?.close();
  world.run(5_000, 50);
  world.checkColumns(accounts);
  for (const account of accounts) world.remove(account);
  world.run(1_700_000, 200);
}

function judge(world: World, callsEndMs: number): void {
  for (const call of world.trunk.calls.values()) judgeCall(world, call);
  for (const phone of world.phones.values()) {
    for (const { callId } of phone.ringing.values()) {
      if (!phone.isDead && phone.isOpen) world.complain("nothing rings at the end", phone.deviceId, callId);
    }
  }
  const sizes = world.core.sizes();
  for (const [name, size] of Object.entries(sizes)) {
    if (size !== 0) world.complain("nothing is left", `${name}: ${size} (calls ended at ${callsEndMs})`, "");
  }
  if (world.count("callsRunning") !== 0) world.complain("nothing is left", "calls running", "");
  for (const name of ["faultsDatagram", "faultsCommand", "faultsTick"] as const) {
    if (world.count(name) !== 0) world.complain("no faults", `${name}: ${world.count(name)}`, "");
  }
  for (const [user, bindings] of world.registrar.bindings) {
    if (bindings.length > 0 && world.registrar.bindingsOf(user).length > 0) {
      world.complain("no binding is left", user, "");
    }
  }
}

function judgeCall(world: World, call: FarCall): void {
  const { asked, callId } = call;
  if (asked === undefined || call.isExcused) return;
  if (asked.finalStatus === 0) {
    world.complain("every INVITE gets a final answer", asked.isProceeding ? "after 1xx none" : "none at all", callId);
    return;
  }
  const deadlineMs = call.placedAtMs + world.plan.deadlineSec * 1_000;
  const patientMs = Math.max(Math.min(call.takenBackAtMs, Infinity), 0);
  const latestMs = (patientMs < Infinity ? Math.max(deadlineMs, patientMs) : Math.max(deadlineMs, asked.finalAtMs)) + transactionMs;
  if (asked.finalAtMs > latestMs + slackMs) {
    world.complain("an answer in time", `${Math.round(asked.finalAtMs - call.placedAtMs)} ms`, callId);
  }
}
