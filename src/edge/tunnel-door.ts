import type { Server } from "bun";
import { bearerOf, type Callers } from "./callers.ts";
import type { CallUuid, DeviceId } from "../base/ids.ts";
import type { Store } from "../store/types.ts";
import { done, problem, refused, type Result } from "./problem.ts";
import type { Tickets } from "./tickets.ts";
import type { TunnelData, Tunnels } from "./tunnels.ts";

const subprotocol = "sip";
/** Open tunnels of one process; each costs its socket and a few kB. */
const tunnelsMax = 200_000;

interface Holder {
  readonly deviceId: DeviceId;
  readonly ticketCall: CallUuid | undefined;
}

/** Lets phones into the tunnel: who are you first, then whether this is an upgrade to SIP over WebSocket (RFC 7118 §4). */
export class TunnelDoor {
  readonly #callers: Callers;
  readonly #tickets: Tickets;
  readonly #tunnels: Tunnels;
  readonly #store: Store;

  constructor(options: {
    readonly callers: Callers;
    readonly tickets: Tickets;
    readonly tunnels: Tunnels;
    readonly store: Store;
  }) {
    this.#callers = options.callers;
    this.#tickets = options.tickets;
    this.#tunnels = options.tunnels;
    this.#store = options.store;
  }

  /** Undefined once the request has become a WebSocket. */
  async enter(request: Request, query: URLSearchParams, server: Server<TunnelData>): Promise<Response | undefined> {
    if (request.method !== "GET") return problem({ status: 405, code: "methodNotAllowed" }, { allow: "GET" });
    const holder = await this.#holder(request, query);
    if (!holder.ok) return problem(holder.refusal);
    if (request.headers.get("upgrade")?.toLowerCase() !== "websocket") {
      return problem({ status: 426, code: "upgradeRequired", detail: "this is a WebSocket" }, { upgrade: "websocket" });
    }
    const offered = (request.headers.get("sec-websocket-protocol") ?? "")
      .split(",")
      .map((name) => name.trim().toLowerCase());
    if (!offered.includes(subprotocol)) {
      return problem({ status: 400, code: "subprotocol", detail: "the subprotocol sip must be offered (RFC 7118)" });
    }
    if (this.#tunnels.size >= tunnelsMax) return problem({ status: 503, code: "full", retryAfterSec: 30 });
    const { deviceId, ticketCall } = holder.value;
    const upgraded = server.upgrade(request, {
      data: this.#tunnels.admit(deviceId, ticketCall),
      headers: { "sec-websocket-protocol": subprotocol },
    });
    return upgraded
      ? undefined
      : problem({ status: 400, code: "handshake", detail: "not a WebSocket handshake (RFC 6455 §4.2.1)" });
  }

  /** A ticket that is given must be good, whoever brings it, and its bearer's when there is a bearer. */
  async #holder(request: Request, query: URLSearchParams): Promise<Result<Holder>> {
    const ticket = query.get("ticket");
    const token = bearerOf(request) ?? (ticket === null ? query.get("token") : undefined);
    const device = typeof token === "string" ? await this.#callers.deviceOf(request, token) : undefined;
    if (device !== undefined && !device.ok) return device;
    const bearer = device?.value.deviceId;
    if (ticket === null) {
      if (bearer !== undefined) return done({ deviceId: bearer, ticketCall: undefined });
      return refused(401, "unauthorized", { detail: "a device token or a ticket is needed" });
    }
    const may = this.#callers.mayGuess("ticket", request);
    if (!may.ok) return may;
    const known = this.#tickets.check(ticket);
    const isForeign = known !== undefined && bearer !== undefined && bearer !== known.deviceId;
    if (known === undefined || isForeign || this.#store.device(known.deviceId) === undefined) {
      this.#callers.guessedWrong("ticket", request);
      return refused(403, "ticketNotGood", { detail: "the ticket is unknown, another device's, or its time is over" });
    }
    return done({ deviceId: known.deviceId, ticketCall: known.call });
  }
}
