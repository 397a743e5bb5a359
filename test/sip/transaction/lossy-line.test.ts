import { describe, expect, test } from "bun:test";
import * as fc from "fast-check";
import type { Hop } from "../../../src/sip/transaction/transactions.ts";
import { SeededRandom, VirtualClock } from "../../fakes/virtual-clock.ts";
import { Layer } from "./layer.ts";
import { bytesOf, textOf, titleOf } from "./messages.ts";

/** What happens on the way. */
interface Weather {
  readonly seed: number;
  readonly reliable: boolean;
  /** Of each datagram, 0 to 1. */
  readonly loss: number;
  readonly duplication: number;
  /** Longest delay: with different delays datagrams overtake each other. */
  readonly delayMs: number;
}

interface Story {
  readonly method: "INVITE" | "MESSAGE" | "BYE";
  readonly weather: Weather;
  readonly provisionals: readonly number[];
  readonly thinkMs: number;
  readonly status: number;
  /** The caller hangs up after so long. */
  readonly cancelMs: number | undefined;
}

/** Two transaction layers, client and server, with a line between them that loses, doubles and delays. */
class Line {
  readonly clock = new VirtualClock(1000);
  readonly client = new Layer(undefined, this.clock);
  readonly server = new Layer(undefined, this.clock);
  readonly ladder: string[] = [];
  readonly #weather: Weather;
  readonly #random: SeededRandom;
  #events: { readonly atMs: number; readonly order: number; readonly run: () => void }[] = [];
  #count = 0;
  #lastMs = 0;

  constructor(weather: Weather) {
    this.#weather = weather;
    this.#random = new SeededRandom(weather.seed);
  }

  after(ms: number, run: () => void): void {
    this.#events.push({ atMs: this.clock.nowMs() + ms, order: this.#count++, run });
  }

  hop(to: "client" | "server"): Hop {
    const { reliable } = this.#weather;
    return { reliable, send: (bytes) => this.#carry(textOf(bytes), to) };
  }

  #carry(message: string, to: "client" | "server"): void {
    const { reliable, loss, duplication, delayMs } = this.#weather;
    const title = `${this.clock.nowMs() - 1000} ${to === "server" ? "→" : "←"} ${titleOf(message)}`;
    const copies = reliable ? 1 : this.#random.next() < loss ? 0 : this.#random.next() < duplication ? 2 : 1;
    this.ladder.push(copies === 0 ? `${title} lost` : title);
    for (let i = 0; i < copies; i++) {
      // A stream keeps its order.
      const atMs = this.clock.nowMs() + (reliable ? 5 : 1 + Math.floor(this.#random.next() * delayMs));
      this.#lastMs = Math.max(this.#lastMs, atMs);
      this.after(atMs - this.clock.nowMs(), () =>
        this[to].receive(message, this.hop(to === "server" ? "client" : "server")),
      );
    }
  }

  /** Runs until nothing is left to happen; fails when that takes longer than any story may. */
  run(): void {
    for (let steps = 0; steps < 5000; steps++) {
      this.#events.sort((a, b) => a.atMs - b.atMs || a.order - b.order);
      const next = this.#events[0];
      const dueMs = Math.min(this.client.transactions.nextDueMs(), this.server.transactions.nextDueMs());
      if (next === undefined && dueMs === Infinity) return;
      if (next !== undefined && next.atMs <= dueMs) {
        this.clock.moveTo(next.atMs);
        this.#events.shift();
        next.run();
      } else this.clock.moveTo(dueMs);
      this.client.transactions.tick(this.clock.nowMs());
      this.server.transactions.tick(this.clock.nowMs());
      expect(this.clock.nowMs()).toBeLessThan(1000 + 400_000);
    }
    throw new Error("no end");
  }
}

/** Plays a story; returns what both users heard, and the ladder for the failure's report. */
function play(story: Story): { line: Line; client: string[]; server: string[]; sent2xx: number } {
  const line = new Line(story.weather);
  const { client, server } = line;
  let acked = false;
  let sent2xx = 0;
  const repeat2xx = (tx: (typeof server.servers)[number], afterMs: number): void => {
    // RFC 6026 §8.1: the user repeats a 2xx until its ACK comes, 64*T1 at most.
    if (acked || (tx.isOver && sent2xx > 11)) return;
    sent2xx++;
    server.respond(story.status, tx);
    line.after(afterMs, () => repeat2xx(tx, Math.min(afterMs * 2, 4000)));
  };
  server.onHeard = (item, tx) => {
    if (item === "ack") acked = true;
    if (item === "cancel") server.respond(487, server.servers[0]);
    if (!item.startsWith("request") || tx === undefined || !("source" in tx)) return;
    story.provisionals.forEach((status, i) => line.after(i * 100, () => server.respond(status, tx)));
    line.after(story.thinkMs, () => {
      if (tx.isOver) return;
      if (story.method === "INVITE" && story.status < 300) repeat2xx(tx, 500);
      else server.respond(story.status, tx);
    });
  };
  const { tx, text } = client.send(story.method, line.hop("server"));
  client.onHeard = (item) => {
    if (story.method !== "INVITE" || !item.startsWith("response 2")) return;
    // Each 2xx gets its ACK, of a transaction of its own, end to end.
    line.hop("server").send(
      bytesOf(
        text
          .replace(/^INVITE/, "ACK")
          .replace("11 INVITE", "11 ACK")
          .replace("z9hG4bK-us-1", "z9hG4bK-us-ack"),
      ),
    );
  };
  if (story.cancelMs !== undefined)
    line.after(story.cancelMs, () =>
      client.transactions.cancel(tx, bytesOf(text.replace(/^INVITE/, "CANCEL").replace("11 INVITE", "11 CANCEL"))),
    );
  line.run();
  return { line, client: client.heard(), server: server.heard(), sent2xx };
}

const arbFinal = fc.constantFrom(200, 202, 302, 404, 486, 503, 603);
const arbStory = (arbWeather: fc.Arbitrary<Weather>): fc.Arbitrary<Story> =>
  fc.record({
    method: fc.constantFrom<Story["method"]>("INVITE", "INVITE", "MESSAGE", "BYE"),
    weather: arbWeather,
    provisionals: fc.array(fc.constantFrom(100, 180, 183), { maxLength: 3 }),
    thinkMs: fc.oneof(fc.integer({ min: 0, max: 1000 }), fc.integer({ min: 0, max: 20_000 })),
    status: arbFinal,
    cancelMs: fc.option(fc.integer({ min: 0, max: 10_000 }), { nil: undefined }),
  });

const isFinal = (item: string): boolean => /^response [2-6]/.test(item);

/** What must hold on any line. */
function checkAgreement(story: Story, { line, client, server, sent2xx }: ReturnType<typeof play>): void {
  // Both sides are done: run() came to an end, and nothing is remembered.
  expect([line.client.transactions.size, line.server.transactions.size]).toEqual([0, 0]);
  // However often it was sent, the request went up once at most.
  expect(server.filter((item) => item.startsWith("request")).length).toBeLessThanOrEqual(1);
  // One outcome; only a 2xx to INVITE may come again.
  const outcomes = client.filter((item) => isFinal(item) || item.startsWith("failure"));
  const is2xx = outcomes[0] !== undefined && outcomes[0].startsWith("response 2");
  if (story.method === "INVITE" && is2xx) expect(new Set(outcomes).size).toBe(1);
  else expect(outcomes).toHaveLength(1);
  // Nothing provisional after it.
  const first = client.indexOf(outcomes[0]!);
  expect(client.slice(first).filter((item) => item.startsWith("response 1"))).toEqual([]);
  // What the client heard is what the server's user said.
  const [tx] = line.server.servers;
  if (isFinal(outcomes[0]!)) expect(outcomes[0]).toBe(`response ${tx!.lastStatus}`);
  if (story.method === "INVITE" && tx !== undefined && tx.lastStatus >= 300) {
    // Without a missed ACK the client has heard the refusal.
    if (!server.includes("ack timeout")) expect(outcomes).toEqual([`response ${tx.lastStatus}`]);
  }
  if (story.method === "INVITE" && server.includes("ack")) expect(is2xx && sent2xx > 0).toBe(true);
  // No useless 408 or early provisional to non-INVITE.
  if (story.method !== "INVITE") expect(line.ladder.filter((step) => /← 1[18]/.test(step))).toEqual([]);
}

function check(arbWeather: fc.Arbitrary<Weather>, further: (result: ReturnType<typeof play>) => void): void {
  fc.assert(
    fc.property(arbStory(arbWeather), (story) => {
      const result = play(story);
      try {
        checkAgreement(story, result);
        further(result);
      } catch (cause) {
        throw new Error(result.line.ladder.join("\n"), { cause });
      }
    }),
    { numRuns: 300 },
  );
}

describe("client and server back to back always end and agree", () => {
  const seed = fc.integer();
  // Under half a second: what is sent last, at 31.5 s, must not outlive what 64*T1 remember.
  const delayMs = fc.integer({ min: 1, max: 400 });

  test("over a line that loses, doubles and reorders", () => {
    check(
      fc.record({
        seed,
        reliable: fc.constant(false),
        loss: fc.oneof(fc.double({ min: 0, max: 0.5, noNaN: true }), fc.double({ min: 0, max: 1, noNaN: true })),
        duplication: fc.double({ min: 0, max: 0.5, noNaN: true }),
        delayMs,
      }),
      () => {},
    );
  });

  test("over a line that only doubles and reorders every final response arrives, and every ACK", () => {
    check(
      fc.record({ seed, reliable: fc.constant(false), loss: fc.constant(0), duplication: fc.constant(0.5), delayMs }),
      ({ client, server, line }) => {
        expect(client.some(isFinal)).toBe(true);
        const { lastStatus, method } = line.server.servers[0]!;
        if (method === 1 && lastStatus >= 300) expect(server).not.toContain("ack timeout");
      },
    );
  });

  test("over a stream nothing is sent twice but the 2xx of a call", () => {
    check(
      fc.record({
        seed,
        reliable: fc.constant(true),
        loss: fc.constant(0),
        duplication: fc.constant(0),
        delayMs: fc.constant(5),
      }),
      ({ client, line }) => {
        expect(client.some(isFinal)).toBe(true);
        const titles = line.ladder.map((step) => step.replace(/^\d+ /, "")).filter((title) => !/[12]\d\d/.test(title));
        expect(new Set(titles).size).toBe(titles.length);
      },
    );
  });
});
