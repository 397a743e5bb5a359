import { describe, expect, test } from "bun:test";
import type { AccountId, DeviceId, TunnelId } from "../../src/base/ids.ts";
import { silentLog } from "../../src/observe/log.ts";
import { systemClock } from "../../src/time/clock.ts";
import { Pool, type ShardThreadEvents } from "../../src/workers/pool.ts";
import type { Command, Event } from "../../src/workers/protocol.ts";

/** A shard thread that a test drives by hand. */
class FakeThread {
  readonly commands: Command[] = [];
  readonly events: ShardThreadEvents;
  terminated = false;
  #arrived: (() => void) | undefined;

  constructor(events: ShardThreadEvents) {
    this.events = events;
  }

  post(commands: readonly Command[]): void {
    this.commands.push(...commands);
    this.#arrived?.();
  }

  terminate(): void {
    this.terminated = true;
  }

  /** Resolves once a command of this kind is there. */
  async next<K extends Command["kind"]>(kind: K): Promise<Extract<Command, { kind: K }>> {
    for (;;) {
      const found = this.commands.find((command): command is Extract<Command, { kind: K }> => command.kind === kind);
      if (found !== undefined) {
        this.commands.splice(this.commands.indexOf(found), 1);
        return found;
      }
      await new Promise<void>((resolve) => {
        this.#arrived = resolve;
      });
    }
  }
}

const readyEvent: Event = { kind: "ready", udpPort: 1, tcpPort: 1, tlsPort: 0, accounts: 0, sendPath: "gso" };
const account = (shard: number): AccountId => `account-${shard}` as AccountId;
const tunnel = 7 as TunnelId;
const device = "device" as DeviceId;

async function openPool(shards: number) {
  const threads: FakeThread[][] = Array.from({ length: shards }, () => []);
  const seen: Event[] = [];
  let spawned: (() => void) | undefined;
  const pool = new Pool({
    shards,
    placement: (accountId) => Number(accountId.split("-")[1]) % shards,
    spawn: (shard, events) => {
      const thread = new FakeThread(events);
      threads[shard]?.push(thread);
      spawned?.();
      return thread;
    },
    sink: (event) => seen.push(event),
    clock: systemClock,
    log: silentLog,
  });
  const started = pool.start();
  for (const [thread] of threads) thread?.events.onEvents([readyEvent]);
  await started;
  const life = (shard: number, n: number): FakeThread => {
    const thread = threads[shard]?.[n];
    if (thread === undefined) throw new Error(`shard ${shard} has no life ${n}`);
    return thread;
  };
  const respawn = () =>
    new Promise<void>((resolve) => {
      spawned = resolve;
    });
  return { pool, life, seen, respawn };
}

describe("pool", () => {
  test("asks the shard that owns the account and returns its reply", async () => {
    const { pool, life } = await openPool(2);
    const answer = pool.status(account(1));
    const command = await life(1, 0).next("registrationQuery");
    life(1, 0).events.onEvents([
      { kind: "registration", requestId: command.requestId, status: { mode: "alternate", state: "registered" } },
    ]);
    expect(await answer).toEqual({ mode: "alternate", state: "registered" });
    expect(life(0, 0).commands).toEqual([]);
    pool.stop();
  });

  test("accounts in trouble come shard after shard, in pages that end anywhere", async () => {
    const { pool, life } = await openPool(2);
    const answer = async (shard: number, accounts: readonly AccountId[], nextRow: number) => {
      const command = await life(shard, 0).next("troublesQuery");
      life(shard, 0).events.onEvents([{ kind: "troubles", requestId: command.requestId, accounts, nextRow }]);
      return [command.fromRow, command.most];
    };
    const first = pool.troubles({ shard: 0, row: 0 }, 3);
    expect(await answer(0, [account(0), account(0)], -1)).toEqual([0, 3]);
    expect(await answer(1, [account(1)], 8)).toEqual([0, 1]);
    expect(await first).toEqual({ accounts: [account(0), account(0), account(1)], next: { shard: 1, row: 8 } });
    const second = pool.troubles({ shard: 1, row: 8 }, 3);
    expect(await answer(1, [account(1)], -1)).toEqual([8, 3]);
    expect(await second).toEqual({ accounts: [account(1)], next: undefined });
    // The rows of the next shard are its own.
    const third = pool.troubles({ shard: 0, row: 5 }, 3);
    expect(await answer(0, [account(0)], -1)).toEqual([5, 3]);
    expect(await answer(1, [], -1)).toEqual([0, 2]);
    expect((await third).accounts).toEqual([account(0)]);
    pool.stop();
  });

  test("a dead shard is started again, its questions are answered at once, its tunnels are told to the new one", async () => {
    const { pool, life, respawn } = await openPool(2);
    pool.tunnelOpened(tunnel, device, [account(0), account(1)], undefined, true);
    await life(1, 0).next("tunnelOpened");
    const presence = pool.presence(account(1), { wanted: true, presence: "background", waitMs: 1_000 });
    await life(1, 0).next("presence");
    const again = respawn();
    life(1, 0).events.onGone("killed by the test");
    expect((await presence).pending).toBe(true);
    expect(pool.ready()).toEqual({ ok: false, reasons: ["shard 1 is not ready"] });
    await again;
    const told = await life(1, 1).next("tunnelOpened");
    expect(told).toEqual({
      kind: "tunnelOpened",
      tunnelId: tunnel,
      deviceId: device,
      accounts: [account(1)],
      voip: true,
    });
    life(1, 1).events.onEvents([readyEvent]);
    expect(pool.ready().ok).toBe(true);
    expect(pool.load()[1]?.restarts).toBe(1);
    pool.stop();
  });

  test("every shard hears of our own sockets, and one that is started again hears of them first", async () => {
    const { pool, life, respawn } = await openPool(2);
    const [first, second] = [
      { address: "127.0.0.1", port: 5060 },
      { address: "127.0.0.1", port: 5061 },
    ] as const;
    pool.listening([first]);
    pool.listening([second]);
    for (const shard of [0, 1]) expect((await life(shard, 0).next("ownSockets")).sockets).toEqual([first]);
    pool.tunnelOpened(tunnel, device, [account(1)], undefined, false);
    const again = respawn();
    life(1, 0).events.onGone("killed by the test");
    await again;
    await life(1, 1).next("tunnelOpened");
    expect(life(1, 1).commands).toEqual([{ kind: "ownSockets", sockets: [first, second] }]);
    pool.stop();
  });

  test("a dead shard's will is told, and its next life gives the answers that it left", async () => {
    const { pool, life, seen, respawn } = await openPool(2);
    pool.tunnelOpened(3 as TunnelId, device, [account(1)], undefined, false);
    pool.tunnelOpened(tunnel, device, [account(1)], undefined, false);
    const answer = { to: "server", address: "192.0.2.1", port: 5060, text: "SIP/2.0 500" } as const;
    life(1, 0).events.onEvents([
      { kind: "will", id: "1", word: { to: "phone", deviceId: device, text: "CANCEL" } },
      { kind: "will", id: "2", word: answer },
    ]);
    // Of the other shard, which lives.
    life(0, 0).events.onEvents([{ kind: "will", id: "1", word: { to: "phone", deviceId: device, text: "another" } }]);
    expect(seen).toEqual([]);
    const again = respawn();
    life(1, 0).events.onGone("killed by the test");
    // At once, not when the next one is ready; by the newest tunnel.
    expect(seen).toEqual([{ kind: "frame", tunnelId: tunnel, text: "CANCEL" }]);
    await again;
    expect(await life(1, 1).next("lastAnswer")).toEqual({ kind: "lastAnswer", ...answer });
    pool.stop();
    expect(seen).toHaveLength(1);
  });

  test("a frame goes to each shard of the device in turn, and only the last one is told so", async () => {
    const { pool, life, seen } = await openPool(3);
    pool.tunnelOpened(tunnel, device, [account(2), account(0)], undefined, false);
    pool.frame(tunnel, "MESSAGE");
    const first = await life(2, 0).next("frame");
    expect(first.last).toBe(false);
    life(2, 0).events.onEvents([{ kind: "frameForeign", tunnelId: tunnel, text: first.text }]);
    expect((await life(0, 0).next("frame")).last).toBe(true);
    // A second refusal has nowhere to go.
    life(0, 0).events.onEvents([{ kind: "frameForeign", tunnelId: tunnel, text: first.text }]);
    expect(seen).toEqual([]);
    expect(life(1, 0).commands).toEqual([]);
    pool.stop();
  });

  // Root cause: only the shards of the accounts that were left heard of the tunnel; its calls elsewhere lost their way to the phone.
  test("a shard keeps the tunnel of a device whose last account there is gone: calls go on, and it hears of the end", async () => {
    const { pool, life } = await openPool(3);
    pool.tunnelOpened(tunnel, device, [account(0), account(1)], undefined, false);
    await life(1, 0).next("tunnelOpened");
    pool.tunnelAccounts(tunnel, [account(2)]);
    expect(await life(2, 0).next("tunnelOpened")).toMatchObject({ accounts: [account(2)] });
    expect(await life(1, 0).next("tunnelOpened")).toMatchObject({ accounts: [] });
    pool.frame(tunnel, "BYE");
    expect(await life(2, 0).next("frame")).toMatchObject({ last: false });
    life(2, 0).events.onEvents([{ kind: "frameForeign", tunnelId: tunnel, text: "BYE" }]);
    expect(await life(0, 0).next("frame")).toMatchObject({ last: false });
    life(0, 0).events.onEvents([{ kind: "frameForeign", tunnelId: tunnel, text: "BYE" }]);
    expect(await life(1, 0).next("frame")).toMatchObject({ text: "BYE", last: true });
    pool.tunnelClosed(tunnel);
    for (const shard of [0, 1, 2])
      expect(await life(shard, 0).next("tunnelClosed")).toMatchObject({ tunnelId: tunnel });
    pool.stop();
  });

  test("a shard that cannot start fails the start with its reason", async () => {
    const pool = new Pool({
      shards: 1,
      placement: () => 0,
      spawn: (_shard, events) => {
        queueMicrotask(() => events.onEvents([{ kind: "startFailed", reason: "port 5060 is in use" }]));
        return { post() {}, terminate() {} };
      },
      sink: () => {},
      clock: systemClock,
      log: silentLog,
    });
    let reason = "";
    await pool.start().catch((cause: unknown) => {
      reason = cause instanceof Error ? cause.message : String(cause);
    });
    expect(reason).toBe("port 5060 is in use");
    pool.stop();
  });

  test("draining waits for every shard and starts none again", async () => {
    const { pool, life } = await openPool(2);
    const drained = pool.drain(60_000);
    await life(0, 0).next("drain");
    life(0, 0).events.onEvents([{ kind: "drained" }]);
    life(1, 0).events.onGone("ended while draining");
    await drained;
    expect(pool.load().map(({ restarts }) => restarts)).toEqual([0, 0]);
    pool.stop();
  });
});
