import type { AccountId, DeviceId, TunnelId } from "../../src/base/ids.ts";
import { labelOf, type Rung } from "../../src/base/ladder.ts";
import type { Uplink } from "../../src/anchor/anchor.ts";
import { LastWill } from "../../src/workers/last-will.ts";
import type { Command, Event } from "../../src/workers/protocol.ts";
import type { VirtualWire } from "../fakes/virtual-network.ts";
import type { Dice } from "./dice.ts";
import type { Phone, Tunnel } from "./phone.ts";
import type { Happening } from "./talker.ts";

/** How pushes and tunnels behave: milliseconds one way, and ratios. */
export interface PoolWeather {
  readonly pushMs: readonly [number, number];
  readonly pushLoss: number;
  readonly pushFails: number;
  readonly tunnelMs: readonly [number, number];
  /** Until the server notices that a tunnel is broken. */
  readonly noticeMs: readonly [number, number];
  readonly voip: boolean;
}

export interface PoolWorld {
  readonly wire: VirtualWire;
  command(command: Command): void;
  phone(deviceId: DeviceId): Phone | undefined;
  accountsOf(deviceId: DeviceId): readonly AccountId[];
  seen(event: Event): void;
  met(happening: Happening): void;
  /** A frame has come to the shard. */
  arrived(phone: Phone, text: string): void;
  note(callId: string, rung: Omit<Rung, "atMs">): void;
}

/** What the main thread does between a shard, the push providers and the phones' WebSockets. */
export class SimPool implements Uplink {
  wakes = 0;
  frames = 0;
  readonly tunnels = new Map<TunnelId, SimTunnel>();
  readonly will = new LastWill();
  readonly #world: PoolWorld;
  readonly #dice: Dice;
  readonly #weather: PoolWeather;
  readonly #ofDevice = new Map<DeviceId, SimTunnel>();
  #tunnelIds = 0;

  constructor(world: PoolWorld, dice: Dice, weather: PoolWeather) {
    this.#world = world;
    this.#dice = dice;
    this.#weather = weather;
  }

  emit(event: Event): void {
    this.#world.seen(event);
    this.will.onEvent(event);
    const { wire } = this.#world;
    switch (event.kind) {
      case "wake":
        this.wakes++;
        for (const { deviceId } of event.targets) {
          // What becomes of a further push is nobody's affair.
          if (event.again !== undefined) {
            this.#world.met("woken again");
            this.#push(event.callId, deviceId, "wake");
            continue;
          }
          const isRefused = this.#dice.chance(this.#weather.pushFails);
          wire.after(this.#dice.between(1, 60), () =>
            this.#world.command({
              kind: "delivery",
              call: event.call,
              deviceId,
              outcome: isRefused ? "failed" : "accepted",
              silenceMs: this.#dice.between(3_000, 15_000),
            }),
          );
          if (!isRefused) this.#push(event.callId, deviceId, "wake");
        }
        return;
      case "notify":
        for (const { deviceId } of event.targets) {
          if (event.push === "cancel") this.#push(event.callId ?? "", deviceId, "cancel");
          if (event.push === "message") {
            this.#world.met("MESSAGE held for a sleeping phone");
            this.#push(event.callId ?? "", deviceId, "wake");
          }
        }
        return;
      case "frame":
        this.frames++;
        this.tunnels.get(event.tunnelId)?.toPhone(event.text);
        return;
      case "frameForeign":
        wire.after(0, () =>
          this.#world.command({ kind: "frame", tunnelId: event.tunnelId, text: event.text, last: true }),
        );
        return;
      default:
        return;
    }
  }

  #push(callId: string, deviceId: DeviceId, what: string): void {
    this.#world.note(callId, { from: "wakeline", to: "device", deviceId, label: `push ${what}` });
    if (this.#dice.chance(this.#weather.pushLoss)) return;
    const [least, most] = this.#weather.pushMs;
    this.#world.wire.after(this.#dice.between(least, most), () => {
      if (what === "wake") this.#world.phone(deviceId)?.pushed();
    });
  }

  open(phone: Phone): Tunnel {
    this.#ofDevice.get(phone.deviceId)?.closeAtServer();
    const tunnelId = ++this.#tunnelIds as TunnelId;
    const tunnel = new SimTunnel(this.#world, this.#dice, this.#weather, phone, tunnelId, () => {
      this.tunnels.delete(tunnelId);
      if (this.#ofDevice.get(phone.deviceId) === tunnel) this.#ofDevice.delete(phone.deviceId);
    });
    this.tunnels.set(tunnelId, tunnel);
    this.#ofDevice.set(phone.deviceId, tunnel);
    tunnel.toServer(() => {
      this.#world.note("", { ...fromPhone(phone), label: `tunnel ${tunnelId} open` });
      this.#world.command({
        kind: "tunnelOpened",
        tunnelId,
        deviceId: phone.deviceId,
        accounts: this.#world.accountsOf(phone.deviceId),
        voip: this.#weather.voip,
      });
    });
    return tunnel;
  }

  /** The shard has died: its will is told. Returns what its next life has to answer. */
  executeWill(wallMs: number): readonly Command[] {
    const open = new Map([...this.tunnels.values()].map(({ phone, tunnelId }) => [phone.deviceId, tunnelId]));
    const { events, answers } = this.will.execute(open, wallMs);
    for (const event of events) this.emit(event);
    return answers.map((answer) => ({ kind: "lastAnswer", ...answer }));
  }

  /** The shard was started again: it is told of every tunnel that is open. */
  tellTunnels(): void {
    for (const [tunnelId, tunnel] of this.tunnels) {
      this.#world.command({
        kind: "tunnelOpened",
        tunnelId,
        deviceId: tunnel.phone.deviceId,
        accounts: this.#world.accountsOf(tunnel.phone.deviceId),
        voip: this.#weather.voip,
      });
    }
  }
}

/** One WebSocket: in order, nothing lost while it lives, and whatever is under way lost with it. */
export class SimTunnel implements Tunnel {
  readonly phone: Phone;
  readonly tunnelId: TunnelId;
  isOpen = true;
  isClosedAtServer = false;
  readonly #world: PoolWorld;
  readonly #dice: Dice;
  readonly #weather: PoolWeather;
  readonly #onGone: () => void;
  #lastToPhoneMs = 0;
  #lastToServerMs = 0;

  constructor(
    world: PoolWorld,
    dice: Dice,
    weather: PoolWeather,
    phone: Phone,
    tunnelId: TunnelId,
    onGone: () => void,
  ) {
    this.#world = world;
    this.#dice = dice;
    this.#weather = weather;
    this.phone = phone;
    this.tunnelId = tunnelId;
    this.#onGone = onGone;
  }

  delayMs(): number {
    const [least, most] = this.#weather.tunnelMs;
    return this.#dice.between(least, most);
  }

  /** Behind everything that the phone has sent before. */
  toServer(arrive: () => void): void {
    const { wire } = this.#world;
    this.#lastToServerMs = Math.max(wire.clock.nowMs() + this.delayMs(), this.#lastToServerMs);
    wire.schedule(this.#lastToServerMs, () => {
      if (!this.isClosedAtServer) arrive();
    });
  }

  send(text: string): void {
    this.toServer(() => {
      if (!this.isOpen) return;
      this.#world.note(callIdOf(text), { ...fromPhone(this.phone), ...saidIn(text) });
      this.#world.arrived(this.phone, text);
      this.#world.command({ kind: "frame", tunnelId: this.tunnelId, text, last: true });
    });
  }

  toPhone(text: string): void {
    const { wire } = this.#world;
    const { deviceId } = this.phone;
    this.#world.note(callIdOf(text), { from: "wakeline", to: "device", deviceId, ...saidIn(text) });
    this.#lastToPhoneMs = Math.max(wire.clock.nowMs() + this.delayMs(), this.#lastToPhoneMs);
    wire.schedule(this.#lastToPhoneMs, () => {
      if (this.isOpen) this.phone.frame(text);
    });
  }

  /** The server closes it, or has noticed that it is gone. */
  closeAtServer(): void {
    if (this.isClosedAtServer) return;
    this.isClosedAtServer = true;
    this.#onGone();
    this.#world.note("", { ...fromPhone(this.phone), label: `tunnel ${this.tunnelId} closed` });
    this.#world.command({ kind: "tunnelClosed", tunnelId: this.tunnelId });
    this.isOpen = false;
  }

  close(): void {
    this.isOpen = false;
    this.#world.wire.after(this.delayMs(), () => this.closeAtServer());
  }

  break(): void {
    if (!this.isOpen) return;
    this.isOpen = false;
    const [least, most] = this.#weather.noticeMs;
    this.#world.wire.after(this.#dice.between(least, most), () => this.closeAtServer());
  }
}

function fromPhone({ deviceId }: Phone): Pick<Rung, "from" | "to"> & { readonly deviceId: DeviceId } {
  return { from: "device", to: "wakeline", deviceId };
}

export function firstLineOf(text: string): string {
  const end = text.indexOf("\r\n");
  return text.slice(0, end < 0 ? undefined : end);
}

/** A message as a rung says it: method or status, and what tells it from others of its call. */
export function saidIn(text: string): Pick<Rung, "label"> & { readonly detail: string } {
  const cseq = /\r\nCSeq: ([^\r]*)/.exec(text)?.[1] ?? "";
  const branch = /branch=z9hG4bK([^;,\s]*)/.exec(text)?.[1]?.slice(0, 9) ?? "";
  const tag = /\r\nTo: [^\r]*;tag=([^;\s]*)/.exec(text)?.[1] ?? "-";
  return { label: labelOf(firstLineOf(text)), detail: `${cseq}, to ${tag}, ${branch}` };
}

export function callIdOf(text: string): string {
  return /\r\nCall-ID: ([^\r]*)/i.exec(text)?.[1] ?? "";
}
