import type { Clock } from "../time/clock.ts";
import type { Endpoint, PeerId } from "./network.ts";

/** Probes at a time, and how long one listens for the ICMP error. */
const probesMax = 8;
const probeMs = 1_000;
/** A peer is asked no more often than this. */
const probeAgainMs = 10_000;
/** Peers that were sent to lately and may be the one an ICMP error is about. */
const suspectsMax = 32;

const doubleCrlf = Uint8Array.of(13, 10, 13, 10);

/** One connected socket's life: opened, one keep-alive sent, closed. `onDown` when the host says that nobody listens. */
export type OpenProbe = (endpoint: Endpoint, onDown: (reason: string) => void) => Promise<{ close(): void }>;

/**
 * Finds out which UDP peer an ICMP error is about. Bun takes the error from the socket's queue and keeps the address to
 * itself, so those sent to lately get a keep-alive (RFC 5626 §4.4.1) from a connected socket each, whose errors are theirs.
 */
export class PortProbe {
  readonly #clock: Clock;
  readonly #endpoint: (peer: PeerId) => Endpoint;
  readonly #onDown: (peer: PeerId, reason: string) => void;
  readonly #open: OpenProbe;
  readonly #recent = new Uint32Array(suspectsMax);
  readonly #askedAtMs = new Map<PeerId, number>();
  readonly #running = new Set<{ close(): void }>();
  #opening = 0;
  #next = 0;
  #last = 0;

  constructor(options: {
    readonly clock: Clock;
    readonly endpoint: (peer: PeerId) => Endpoint;
    readonly onDown: (peer: PeerId, reason: string) => void;
    readonly open?: OpenProbe;
  }) {
    this.#clock = options.clock;
    this.#endpoint = options.endpoint;
    this.#onDown = options.onDown;
    this.#open = options.open ?? openProbe;
  }

  /** HOT. Notes that a datagram left for `peer`. */
  sentTo(peer: PeerId): void {
    if (peer === this.#last) return;
    this.#last = peer;
    this.#recent[this.#next] = peer;
    this.#next = (this.#next + 1) % suspectsMax;
  }

  /** An ICMP error came in: asks those it may be about. */
  onError(): void {
    const nowMs = this.#clock.nowMs();
    for (const [peer, askedAtMs] of this.#askedAtMs)
      if (nowMs - askedAtMs >= probeAgainMs) this.#askedAtMs.delete(peer);
    for (const peer of new Set(this.#recent)) {
      if (peer === 0 || this.#askedAtMs.has(peer as PeerId)) continue;
      if (this.#running.size + this.#opening >= probesMax) return;
      this.#askedAtMs.set(peer as PeerId, nowMs);
      void this.#ask(peer as PeerId);
    }
  }

  close(): void {
    for (const probe of this.#running) probe.close();
    this.#running.clear();
  }

  async #ask(peer: PeerId): Promise<void> {
    this.#opening++;
    let told = false;
    let probe: { close(): void } | undefined;
    const end = () => {
      if (probe !== undefined && this.#running.delete(probe)) probe.close();
    };
    try {
      probe = await this.#open(this.#endpoint(peer), (reason) => {
        if (told) return;
        told = true;
        end();
        this.#onDown(peer, reason);
      });
      this.#running.add(probe);
      if (told) end();
      else setTimeout(end, probeMs).unref();
    } catch {
      // No route or no socket: nothing learned, and the sender's own failure tells the first.
    } finally {
      this.#opening--;
    }
  }
}

async function openProbe(endpoint: Endpoint, onDown: (reason: string) => void): Promise<{ close(): void }> {
  const refused = (cause: unknown) => {
    if (cause instanceof Error && "code" in cause) onDown(`port unreachable (${String(cause.code)})`);
  };
  const socket = await Bun.udpSocket({
    connect: { hostname: endpoint.address, port: endpoint.port },
    // Bun hands the error alone; its types say that a socket comes first.
    socket: { data() {}, error: (...told: readonly unknown[]) => refused(told.find((one) => one instanceof Error)) },
  });
  try {
    socket.send(doubleCrlf);
  } catch (cause) {
    refused(cause);
  }
  return socket;
}
