import { limitKey } from "./address.ts";
import type { StreamFlow } from "./flow.ts";
import type { ConnectionId } from "./network.ts";
import {
  cutsMax,
  idleMs,
  inboundHeldBytesMax,
  inboundMax,
  inboundPerAddressMax,
  provenIdleMs,
} from "./stream-limits.ts";

/**
 * The accepted connections and who must go when there are too many. One that has brought an account's message is
 * proven; when a cap is reached the oldest unproven one makes room, so that a flood of idle or half-sent connections
 * cannot keep a newcomer out, not even from the same address. Where all are proven the household that has most gives
 * one up: anybody may have accounts at a server of his own, whose connections then are proven.
 */
export class AcceptedFlows {
  readonly #unproven = new Map<ConnectionId, StreamFlow>();
  readonly #proven = new Map<ConnectionId, StreamFlow>();
  readonly #byAddress = new Map<string, Set<StreamFlow>>();
  /** Proven ones by what limits count by (an IPv6 /64 is one), the oldest first. */
  readonly #provenOf = new Map<string, Set<StreamFlow>>();
  #heldBytes = 0;
  #refused = 0;
  #evicted = 0;

  get count(): number {
    return this.#unproven.size + this.#proven.size;
  }

  /** Newcomers turned away because their address, or everybody, had as many proven connections as there may be. */
  get refused(): number {
    return this.#refused;
  }

  /** Connections that made room. */
  get evicted(): number {
    return this.#evicted;
  }

  /** Makes room for one more from `address`. False when there is none. */
  admit(address: string): boolean {
    const same = this.#byAddress.get(address);
    if (same !== undefined && same.size >= inboundPerAddressMax) {
      const oldest = same.values().find((flow) => flow.provenAtMs === undefined);
      if (oldest === undefined) return this.#refuse();
      this.#evict(oldest);
    }
    if (this.count >= inboundMax) {
      const leaving = this.#unproven.values().next().value ?? this.#spare(address);
      if (leaving === undefined) return this.#refuse();
      this.#evict(leaving);
    }
    return true;
  }

  add(flow: StreamFlow): void {
    this.#unproven.set(flow.id, flow);
    put(this.#byAddress, flow.address, flow);
  }

  remove(flow: StreamFlow): void {
    this.#unproven.delete(flow.id);
    this.#proven.delete(flow.id);
    take(this.#byAddress, flow.address, flow);
    take(this.#provenOf, limitKey(flow.address), flow);
  }

  prove(flow: StreamFlow, nowMs: number): void {
    flow.provenAtMs = nowMs;
    if (!this.#unproven.delete(flow.id)) return;
    this.#proven.set(flow.id, flow);
    put(this.#provenOf, limitKey(flow.address), flow);
  }

  /** Unfinished bytes of `flow` changed: over the common limit it goes, unless it is proven. */
  held(flow: StreamFlow, bytes: number): void {
    this.#heldBytes += bytes;
    if (bytes > 0 && this.#heldBytes > inboundHeldBytesMax && flow.provenAtMs === undefined) this.#evict(flow);
  }

  /** Cuts those that are idle, and those whose own limits have passed, the oldest first and not all in one turn. */
  checkTime(nowMs: number): void {
    let left = cutsMax;
    for (const flow of this.#unproven.values()) {
      if (left === 0) return;
      if (nowMs - flow.openedAtMs >= idleMs) flow.cut("no account's message in time");
      else if (!flow.checkTime(nowMs)) continue;
      left--;
    }
    for (const flow of this.#proven.values()) {
      if (left === 0) return;
      if (nowMs - Math.max(flow.provenAtMs ?? 0, flow.lastActiveAtMs) >= provenIdleMs) flow.cut("idle");
      else if (!flow.checkTime(nowMs)) continue;
      left--;
    }
  }

  cutAll(): void {
    for (const flow of [...this.#unproven.values(), ...this.#proven.values()]) flow.cut("closing");
  }

  /** The oldest proven connection of the household that has most; undefined where the newcomer's own would then have as many. */
  #spare(address: string): StreamFlow | undefined {
    let most: ReadonlySet<StreamFlow> | undefined;
    for (const flows of this.#provenOf.values()) if (flows.size > (most?.size ?? 0)) most = flows;
    const own = this.#provenOf.get(limitKey(address))?.size ?? 0;
    return most !== undefined && most.size > own + 1 ? most.values().next().value : undefined;
  }

  #refuse(): boolean {
    this.#refused++;
    return false;
  }

  #evict(flow: StreamFlow): void {
    this.#evicted++;
    this.remove(flow);
    flow.cut("too many connections");
  }
}

function put(index: Map<string, Set<StreamFlow>>, key: string, flow: StreamFlow): void {
  const flows = index.get(key);
  if (flows === undefined) index.set(key, new Set([flow]));
  else flows.add(flow);
}

function take(index: Map<string, Set<StreamFlow>>, key: string, flow: StreamFlow): void {
  const flows = index.get(key);
  if (flows?.delete(flow) === true && flows.size === 0) index.delete(key);
}
