import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { connect, type Socket } from "node:net";
import { type Bridge, openBridge } from "../../examples/native-bridge.ts";
import { Tunnel } from "../../sdk/src/index.ts";

/** The tunnel's far end is the test. */
class FarEnd {
  binaryType = "blob";
  onopen: ((event: never) => void) | null = null;
  onmessage: ((event: never) => void) | null = null;
  onclose: ((event: never) => void) | null = null;
  onerror: ((event: never) => void) | null = null;
  static last: FarEnd | undefined;

  constructor() {
    FarEnd.last = this;
  }

  send(text: string): void {
    arrived.push(text);
    wake();
  }

  close(): void {}
}

/** More bytes than characters. */
const body = "v=0\u00e9";
const arrived: string[] = [];
let wake: () => void = () => {};
let bridge: Bridge;
let stack: Socket;
let port: number;
let heard = "";

/** Resolves once it holds; every byte and frame looks again. */
async function once(holds: () => boolean): Promise<void> {
  while (!holds()) await new Promise<void>((resolve) => (wake = resolve));
}

beforeEach(async () => {
  arrived.length = 0;
  heard = "";
  bridge = await openBridge(new Tunnel({ url: "wss://push.example.com/v1/tunnel", webSocket: FarEnd }));
  port = Number(/:(\d+);/.exec(bridge.proxy)?.[1]);
  stack = connect(port, "127.0.0.1");
  stack.on("data", (bytes) => {
    heard += bytes.toString("utf8");
    wake();
  });
  await new Promise<void>((resolve) => stack.once("connect", resolve));
  stack.write("\r\n\r\n");
  await once(() => heard === "\r\n");
  heard = "";
  FarEnd.last?.onopen?.({} as never);
});
afterEach(() => {
  stack.destroy();
  bridge.close();
});

function message(startLine: string, ...headers: readonly string[]): string {
  return [startLine, ...headers, `Content-Length: ${Buffer.byteLength(body)}`, "", body].join("\r\n");
}

async function toStack(text: string): Promise<readonly string[]> {
  heard = "";
  FarEnd.last?.onmessage?.({ data: text } as never);
  await once(() => heard.endsWith(body));
  return heard.split("\r\n");
}

async function toTunnel(text: string): Promise<readonly string[]> {
  arrived.length = 0;
  // In pieces, as a stream may bring them.
  for (const byte of Buffer.from(text)) stack.write(Uint8Array.of(byte));
  await once(() => arrived.length > 0);
  return (arrived[0] ?? "").split("\r\n");
}

const below = "Via: SIP/2.0/WSS push.example.com;branch=z9hG4bKabc";
const farRoute = "Record-Route: <sip:proxy.example.net;lr>";

describe("examples/native-bridge.ts, RFC 3261 §16", () => {
  test("a request to the stack has the bridge's Via on top and its Record-Route first; the answer goes back without them", async () => {
    const offered = await toStack(
      message(
        "INVITE sip:alice@phone.invalid SIP/2.0",
        below,
        farRoute,
        "To: <sip:alice@example.com>",
        "CSeq: 1 INVITE",
      ),
    );
    const ours = [`Via: SIP/2.0/TCP 127.0.0.1:${port};branch=z9hG4bKabc.b`, `Record-Route: <${bridge.proxy}>`];
    expect(offered.slice(1, 5)).toEqual([...ours, below, farRoute]);
    const answer = await toTunnel(
      message("SIP/2.0 200 OK", ours[0] ?? "", below, ours[1] ?? "", farRoute, "To: <sip:alice@example.com>;tag=1"),
    );
    expect(answer.slice(0, 3)).toEqual(["SIP/2.0 200 OK", below, farRoute]);
    // Stacks put what repeats into one line.
    const folded = await toTunnel(
      message(
        "SIP/2.0 180 Ringing",
        `v: SIP / 2.0 / TCP 127.0.0.1:${port};branch=z9hG4bKabc.b;received=127.0.0.1, SIP/2.0/WSS push.example.com;branch=z9hG4bKabc`,
        `Record-Route: <${bridge.proxy}>, <sip:proxy.example.net;lr>`,
      ),
    );
    expect(folded.slice(1, 3)).toEqual([`v: ${below.slice(5)}`, farRoute]);
  });

  test("CANCEL and the ACK of a refusal have the branch of their INVITE; within a dialog no Record-Route is added", async () => {
    for (const method of ["CANCEL", "ACK", "INVITE"]) {
      const lines = await toStack(
        message(
          `${method} sip:alice@phone.invalid SIP/2.0`,
          below,
          "To: <sip:alice@example.com>;tag=1",
          `CSeq: 1 ${method}`,
        ),
      );
      expect(lines.slice(1, 3)).toEqual([`Via: SIP/2.0/TCP 127.0.0.1:${port};branch=z9hG4bKabc.b`, below]);
    }
  });

  test("a request of the stack goes up without the Route that led here, its own Via untouched; what answers it has our Record-Route last", async () => {
    const own = `Via: SIP/2.0/TCP 127.0.0.1:${port};branch=z9hG4bKown`;
    const asked = await toTunnel(
      message(
        "INVITE sip:bob@example.com SIP/2.0",
        own,
        `Route: <${bridge.proxy}>`,
        "Route: <sip:proxy.example.net;lr>",
      ),
    );
    expect(asked.slice(1, 3)).toEqual([own, "Route: <sip:proxy.example.net;lr>"]);
    const answered = await toStack(message("SIP/2.0 183 Progress", own, farRoute, "CSeq: 1 INVITE"));
    expect(answered.filter((line) => line.startsWith("Record-Route"))).toEqual([
      farRoute,
      `Record-Route: <${bridge.proxy}>`,
    ]);
    for (const [status, cseq] of [
      ["100 Trying", "INVITE"],
      ["486 Busy Here", "INVITE"],
      ["200 OK", "BYE"],
    ] as const) {
      const plain = await toStack(message(`SIP/2.0 ${status}`, own, `CSeq: 1 ${cseq}`));
      expect(plain.some((line) => line.startsWith("Record-Route"))).toBe(false);
    }
  });
});
