import { expect, test } from "bun:test";
import { AnchorBench } from "../fakes/anchor-bench.ts";
import { SeededRandom } from "../fakes/virtual-clock.ts";

/** Bytes flipped, cut out, doubled; lines swapped: what a broken or hostile peer sends. */
function mutate(text: string, random: SeededRandom): string {
  const at = (length: number): number => Math.floor(random.next() * length);
  let out = text;
  for (let n = 1 + at(4); n > 0; n--) {
    const from = at(out.length);
    const to = Math.min(out.length, from + at(30));
    switch (at(6)) {
      case 0:
        out = out.slice(0, from) + String.fromCharCode(at(256)) + out.slice(from + 1);
        break;
      case 1:
        out = out.slice(0, from) + out.slice(to);
        break;
      case 2:
        out = out.slice(0, to) + out.slice(from);
        break;
      case 3: {
        const lines = out.split("\r\n");
        const [line] = lines.splice(at(lines.length), 1);
        lines.splice(at(lines.length), 0, line ?? "");
        out = lines.join("\r\n");
        break;
      }
      case 4:
        out = out.replace(/\d+/, String(at(2) === 0 ? 2 ** 32 + at(100) : at(10_000)));
        break;
      default:
        out = out.replaceAll(/;tag=[^\r;]*/g, at(2) === 0 ? "" : ";tag=x;tag=y");
    }
  }
  return out;
}

test("20,000 mutated messages from servers, strangers and phones: no throw, nothing sent astray, nothing left behind", () => {
  const random = new SeededRandom(20_261_124);
  const bench = new AnchorBench({ ring: "on_push" });
  // A header whose name a mutation broke is an unknown one and passes.
  bench.isStrict = false;
  const server = bench.addServer();
  const stranger = bench.addServer({ address: "198.51.100.66" });
  const alice = bench.addAccount("alice", server, { mobile: {}, tablet: {} });
  const mobile = bench.phone("mobile");
  const tablet = bench.phone("tablet");
  const methods = [
    "INVITE",
    "OPTIONS",
    "MESSAGE",
    "NOTIFY",
    "SUBSCRIBE",
    "REFER",
    "REGISTER",
    "BYE",
    "CANCEL",
    "ACK",
    "INFO",
  ];
  const seen: string[] = [];
  for (let n = 0; n < 20_000; n++) {
    if (n % 97 === 0) mobile.opens();
    if (n % 301 === 0) tablet.opens();
    if (n % 577 === 0) mobile.closes();
    const method = methods[Math.floor(random.next() * methods.length)] ?? "INVITE";
    // Half are mutations of something that was really on the wire, so that dialogs and transactions are hit.
    const base =
      seen.length > 0 && random.next() < 0.5
        ? (seen[Math.floor(random.next() * seen.length)] ?? "")
        : (random.next() < 0.5 ? server.request(method, alice) : mobile.makes(method, alice)).text;
    const text = random.next() < 0.2 ? base : mutate(base, random);
    const way = random.next();
    if (way < 0.4) server.sends(text);
    else if (way < 0.5) stranger.sends(text);
    else if (mobile.tunnelId !== undefined) mobile.sends(text, random.next() < 0.9);
    for (const message of [...server.inbox.splice(0), ...mobile.inbox.splice(0), ...tablet.inbox.splice(0)]) {
      const isWhole = ["Via", "From", "To", "Call-ID", "CSeq"].every((name) => message.has(name));
      if (!isWhole) continue;
      seen[Math.floor(random.next() * 200)] = message.text;
      // Phones and servers answer some of what they get.
      if (!message.isResponse && message.method !== "ACK" && random.next() < 0.5) {
        const status = [100, 180, 200, 302, 407, 486, 603][Math.floor(random.next() * 7)] ?? 200;
        if (message.get("Via").includes("WSS") && mobile.tunnelId !== undefined) mobile.answers(message, status);
        else server.answers(message, status);
      }
    }
    if (n % 50 === 0) {
      bench.events.length = 0;
      bench.pass(20);
    }
    stranger.inbox.length = 0;
  }
  expect(bench.astray).toHaveLength(0);
  mobile.closes();
  tablet.closes();
  for (let hour = 0; hour < 30; hour++) {
    for (let step = 0; step < 60; step++) bench.jump(60_000);
    bench.events.length = 0;
  }
  expect(bench.anchor.running).toBe(0);
  expect(bench.anchor.sizes()).toMatchObject({
    transactions: 0,
    dialogs: 0,
    inboundCalls: 0,
    outbound: 0,
    messages: 0,
    links: 0,
  });
});
