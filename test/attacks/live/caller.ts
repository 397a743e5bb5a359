import type { Target } from "./target.ts";

const answerMsMax = 5_000;

/** Calls the account from its server's address and notes how long each 100 takes; every call is given up at once. */
export class Caller {
  readonly #target: Target;
  readonly #socket: Bun.udp.Socket<"buffer">;
  readonly #waiting = new Map<string, (text: string) => void>();
  #serial = 0;

  private constructor(target: Target, socket: Bun.udp.Socket<"buffer">) {
    this.#target = target;
    this.#socket = socket;
  }

  static async open(target: Target): Promise<Caller> {
    const received: { on: (text: string) => void } = { on: () => undefined };
    const socket = await Bun.udpSocket({
      hostname: "127.0.0.1",
      port: 0,
      socket: { data: (_, bytes) => received.on(bytes.toString("latin1")) },
    });
    const caller = new Caller(target, socket);
    received.on = (text) => caller.#receive(text);
    return caller;
  }

  close(): void {
    this.#socket.close();
  }

  /** Milliseconds from INVITE to 100; undefined when there is none. */
  async trying(): Promise<number | undefined> {
    const callId = `live-${++this.#serial}-${process.pid}`;
    const request = (method: string): Buffer =>
      Buffer.from(
        [
          `${method} ${this.#target.contact} SIP/2.0`,
          `Via: SIP/2.0/UDP 127.0.0.1:${this.#socket.port};branch=z9hG4bK${callId};rport`,
          "Max-Forwards: 70",
          `From: <sip:bob@far.example>;tag=${callId}`,
          "To: <sip:u1@provider.example>",
          `Call-ID: ${callId}`,
          `CSeq: 1 ${method}`,
          `Contact: <sip:bob@127.0.0.1:${this.#socket.port}>`,
          "Content-Length: 0",
          "\r\n",
        ].join("\r\n"),
      );
    const { promise, resolve } = Promise.withResolvers<number | undefined>();
    const before = performance.now();
    this.#waiting.set(callId, () => resolve(performance.now() - before));
    const timer = setTimeout(() => resolve(undefined), answerMsMax);
    this.#socket.send(request("INVITE"), this.#target.sip, "127.0.0.1");
    const ms = await promise;
    clearTimeout(timer);
    this.#waiting.delete(callId);
    this.#socket.send(request("CANCEL"), this.#target.sip, "127.0.0.1");
    return ms;
  }

  #receive(text: string): void {
    if (text.startsWith("SIP/2.0 487")) {
      const ack = text
        .replace(/^SIP\/2\.0 .*/, `ACK ${this.#target.contact} SIP/2.0`)
        .replace(/CSeq: 1 INVITE/i, "CSeq: 1 ACK");
      this.#socket.send(Buffer.from(ack, "latin1"), this.#target.sip, "127.0.0.1");
    }
    const callId = /^Call-ID: (.*)\r$/im.exec(text)?.[1] ?? "";
    if (text.startsWith("SIP/2.0 100")) this.#waiting.get(callId)?.(text);
  }
}

/** The value that `share` of the samples do not exceed. */
export function percentile(samples: readonly number[], share: number): number {
  const sorted = samples.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
}
