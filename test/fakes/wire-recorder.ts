import { Counter, type CounterName, Lane } from "../../src/observe/lanes.ts";
import { EgressPolicy } from "../../src/net/egress.ts";
import { keepSource, type NetworkReceiver, type PeerId, type Source } from "../../src/net/network.ts";
import { type LiveNetwork, type NetworkOptions, openNetwork } from "../../src/net/network-live.ts";
import type { ServerCertificate } from "../../src/net/server-certificate.ts";
import { VirtualClock } from "./virtual-clock.ts";

interface RecordedMessage {
  readonly text: string;
  readonly source: Source;
}

/** Keeps what a network reports, and lets a test wait for it without sleeping. */
class WireRecorder implements NetworkReceiver {
  readonly messages: RecordedMessage[] = [];
  readonly certificates: ServerCertificate[] = [];
  readonly downs: { readonly peer: PeerId; readonly reason: string }[] = [];
  /** Called with each message, before it is kept: to answer at once, or to throw. */
  onEach: ((message: RecordedMessage) => void) | undefined;
  #waiting: { readonly holds: () => boolean; readonly resolve: () => void }[] = [];

  onMessage(bytes: Uint8Array, from: number, to: number, source: Source): void {
    const message = { text: Buffer.from(bytes.subarray(from, to)).toString("latin1"), source: keepSource(source) };
    this.onEach?.(message);
    this.messages.push(message);
    this.#look();
  }

  onServerCertificate(certificate: ServerCertificate): void {
    this.certificates.push(certificate);
    this.#look();
  }

  onPeerDown(peer: PeerId, reason: string): void {
    this.downs.push({ peer, reason });
    this.#look();
  }

  /** Resolves once so many messages (peers down) have come. A test that waits in vain ends by the runner's time-out. */
  received(count: number): Promise<void> {
    return this.until(() => this.messages.length >= count);
  }

  down(count = 1): Promise<void> {
    return this.until(() => this.downs.length >= count);
  }

  until(holds: () => boolean): Promise<void> {
    if (holds()) return Promise.resolve();
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#waiting.push({ holds, resolve });
    return promise;
  }

  #look(): void {
    const ready = this.#waiting.filter(({ holds }) => holds());
    this.#waiting = this.#waiting.filter((one) => !ready.includes(one));
    for (const { resolve } of ready) resolve();
  }
}

export interface TestNetwork {
  readonly network: LiveNetwork;
  readonly recorder: WireRecorder;
  readonly clock: VirtualClock;
  readonly lane: Lane;
  readonly count: (name: CounterName) => number;
}

export function newLane(): Lane {
  return new Lane(new ArrayBuffer(Lane.bytes(1)), 0);
}

/** A live network on 127.0.0.1 that may send to loopback, with a clock that stands still. Close its `network`. */
export async function openTestNetwork(options: Partial<NetworkOptions> = {}): Promise<TestNetwork> {
  const recorder = new WireRecorder();
  const clock = new VirtualClock();
  const lane = newLane();
  const egress = new EgressPolicy({ allow: ["127.0.0.0/8", "::1"] });
  const network = await openNetwork({
    listen: ["127.0.0.1"],
    udpPort: 0,
    egress,
    clock,
    lane,
    receiver: recorder,
    sweepMs: 0,
    ...options,
  });
  return { network, recorder, clock, lane, count: (name) => lane.get(Counter[name]) };
}

/** Waits until `holds`, a turn of the loop at a time. */
export async function turnsUntil(holds: () => boolean): Promise<void> {
  while (!holds()) await new Promise<void>((resolve) => void setTimeout(resolve, 1));
}

/** A well-formed request of exactly `bytes`. */
export function requestOf(bytes: number, mark = "x"): string {
  const head = [
    "OPTIONS sip:a@127.0.0.1 SIP/2.0",
    `Via: SIP/2.0/TCP 127.0.0.1;branch=z9hG4bK${mark}`,
    "From: <sip:b@127.0.0.1>;tag=1",
    "To: <sip:a@127.0.0.1>",
    `Call-ID: ${mark}`,
    "CSeq: 1 OPTIONS",
    "Content-Length: ",
  ].join("\r\n");
  for (let digits = 1; ; digits++) {
    const body = bytes - head.length - digits - 4;
    if (body >= 0 && String(body).length === digits) return `${head}${body}\r\n\r\n${"b".repeat(body)}`;
  }
}
