import { Dice } from "./dice.ts";
import type { SimAccount } from "./directory.ts";
import { judge, judgePresence } from "./judge.ts";
import type { Phone } from "./phone.ts";
import type { CallPlan } from "./trunk.ts";
import { World, type WorldPlan } from "./world.ts";

export interface Outcome {
  readonly seed: number;
  readonly world: World;
  readonly calls: number;
  readonly answered: number;
  readonly outgoing: number;
  readonly simulatedMs: number;
}

/** What kind of world a seed makes: fair or rough weather, few or many devices, patient or broken phones. */
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
      killed: seed % 3 === 0 ? 0.2 : 0,
    },
    ring: dice.pick(["on_push", "on_device", "immediate"]),
    deadlineSec: dice.pick([15, 40]),
    accounts: dice.pick([20, 60, 120]),
    devicesMax: dice.pick([1, 2, 3]),
    registrar: { expiresSecMax: dice.pick([120, 600, 3_600]), nonceUses: dice.pick([1, 10, Infinity]) },
  };
}

/** What happens beside the calls. */
interface Mishaps {
  /** Before the call of this number; -1 never. */
  readonly crashAt: number;
  readonly silenceAt: number;
  /** Chances before each call. */
  readonly dropRatio: number;
  readonly flipRatio: number;
  readonly strangerRatio: number;
  readonly messageRatio: number;
  readonly leaveRatio: number;
  readonly textRatio: number;
}

function mishapsOf(dice: Dice, calls: number): Mishaps {
  return {
    crashAt: dice.chance(0.25) ? dice.whole(20, calls - 20) : -1,
    silenceAt: dice.chance(0.25) ? dice.whole(20, calls - 20) : -1,
    dropRatio: dice.pick([0, 0, 0.02]),
    flipRatio: dice.pick([0, 0.05]),
    strangerRatio: dice.pick([0, 0.05]),
    messageRatio: dice.pick([0, 0.1]),
    leaveRatio: dice.pick([0, 0, 0.02]),
    textRatio: dice.pick([0, 0.1]),
  };
}

function callPlan(dice: Dice): CallPlan {
  return {
    patienceMs: dice.chance(0.5) ? dice.between(0, 20_000) : dice.between(20_000, 90_000),
    ending: dice.pick(["cancel", "cancel", "elsewhere", "foreignAck"]),
    talkMs: dice.chance(0.8) ? dice.between(0, 30_000) : dice.between(60_000, 120_000),
    reinvites: dice.chance(0.15),
    asks: dice.chance(0.2),
    glares: dice.chance(0.1),
    reliable: dice.pick(["no", "no", "supported", "required"]),
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
  world.run(1_000);
  const traced = dice.pick(accounts).record.accountId;
  world.command({ kind: "traceStart", accountId: traced, untilMs: world.clock.wallMs() + 3_600_000 });
  const mishaps = mishapsOf(dice, calls);
  for (let n = 0; n < calls; n++) {
    world.run(dice.between(0, 2_000 / ratePerSec));
    mishap(world, dice, mishaps, n, accounts);
    if (dice.chance(0.1)) callOut(world, dice);
    const account = dice.pick(accounts);
    const { username } = account.record;
    const isPlaced = world.trunk.place(username, callPlan(dice)) !== undefined;
    if (!isPlaced && world.isSteady(account)) world.complain("a binding for every account", username, "");
  }
  world.run(100_000);
  settle(world, accounts);
  judge(world);
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

function mishap(world: World, dice: Dice, mishaps: Mishaps, n: number, accounts: readonly SimAccount[]): void {
  if (n === mishaps.crashAt) crash(world, dice);
  if (n === mishaps.silenceAt && world.plan.transport === "udp") {
    world.wire.silence("192.0.2.10");
    world.wire.after(dice.between(500, 12_000), () => world.wire.restore("192.0.2.10"));
  }
  if (dice.chance(0.02)) world.jump(dice.between(-7_200_000, 7_200_000));
  if (dice.chance(mishaps.dropRatio) && world.plan.transport === "tcp") {
    world.dropConnections();
  }
  if (dice.chance(mishaps.flipRatio)) flip(world, dice, dice.pick(accounts));
  if (dice.chance(mishaps.messageRatio)) message(world, dice.pick(accounts).record.username);
  if (dice.chance(mishaps.leaveRatio)) leave(world, dice, dice.pick(accounts));
  if (dice.chance(mishaps.textRatio)) text(dice.pick([...world.phones.values()]));
  if (dice.chance(mishaps.strangerRatio)) world.stranger(dice.pick(accounts).record.username);
}

/** The restart must cost nothing: bindings are good, so no REGISTER leaves. */
function crash(world: World, dice: Dice): void {
  const fromMs = world.clock.nowMs();
  const bound = [...world.directory.byId.values()].filter((account) => world.isResting(account));
  const names = new Set(bound.map(({ record }) => record.username));
  world.crash();
  const crashedMs = world.clock.nowMs();
  world.run(dice.between(1_000, 3_000));
  const sent = world.registers.since(crashedMs + world.plan.weather.delayMs[1]).filter(({ user }) => names.has(user));
  // Streams are gone with the process, and a flow is what a binding over TCP hangs on. The next life knows the time of day alone.
  const isDue = fromMs > 80_000 || world.plan.transport === "tcp" || world.hasJumped;
  if (sent.length > 0 && !isDue)
    world.complain(
      "no REGISTER after a restart",
      sent.map(({ user, atMs }) => `${user} at ${Math.round(atMs)}`).join(", "),
      "",
    );
}

/** A message is answered by a phone, or by us that there is none; within its sender's patience. */
function message(world: World, username: string): void {
  const { restarts } = world;
  world.trunk.message(username, (status, callId) => {
    const isCalm = world.plan.weather.lossRatio === 0 && !world.wasSilenced && !world.wasDropped;
    if (status === 0 && isCalm && world.restarts === restarts)
      world.complain("every MESSAGE is answered", "no answer", callId);
  });
}

/** Somebody writes, from an app that is open. */
function text(phone: Phone): void {
  phone.message(phone.accounts[0]?.username ?? "", "callee1");
}

/** One of several owners takes the account off a device. */
function leave(world: World, dice: Dice, account: SimAccount): void {
  if (account.subscriptions.length < 2) return;
  world.unsubscribe(account, dice.pick(account.subscriptions).deviceId);
}

/** The app comes to the front and, some seconds later, goes back. */
function flip(world: World, dice: Dice, account: SimAccount): void {
  const { username } = account.record;
  const devices = account.subscriptions.map(({ deviceId }) => deviceId);
  if (account.subscriptions.some(({ presence }) => presence === "foreground")) return;
  const press = (presence: "foreground" | "background"): void => {
    world.pressed(account);
    const requests = devices.map((deviceId) => world.presence(account, deviceId, presence));
    const last = requests.at(-1);
    if (last !== undefined) judgePresence(world, username, presence, last);
  };
  press("foreground");
  world.wire.after(dice.between(12_000, 20_000), () => {
    if (world.directory.byId.has(account.record.accountId)) press("background");
  });
}

function callOut(world: World, dice: Dice): void {
  const phone = dice.pick([...world.phones.values()]);
  if (!phone.isOpen) phone.openNow();
  const callee = `callee${dice.whole(1, 9)}`;
  world.wire.after(dice.between(300, 900), () => phone.call(phone.accounts[0]?.username ?? "", callee));
}

/** Everybody goes home: calls end, tunnels close, accounts are removed; then half an hour in which nothing happens. */
function settle(world: World, accounts: readonly SimAccount[]): void {
  world.run(150_000, 20);
  world.checkEnds();
  for (const phone of world.phones.values()) phone.goHome();
  world.run(5_000, 20);
  world.checkColumns(accounts);
  for (const account of accounts) world.remove(account);
  world.run(1_700_000, 200);
}
