import type { AccountId, CallUuid, DeviceId, TunnelId } from "../base/ids.ts";
import type { Command } from "./protocol.ts";

interface OpenTunnel {
  readonly deviceId: DeviceId;
  readonly voip: boolean;
  /** In the order in which a frame asks them. */
  readonly shards: readonly number[];
  /** Of the device, by shard. */
  readonly accounts: ReadonlyMap<number, readonly AccountId[]>;
}

/** A command and the shard that it is for. */
export interface Addressed {
  readonly shard: number;
  readonly command: Command;
}

/** The tunnels that are open, and which shards each is the affair of: those that have, or had while it is open, an account of its device. */
export class OpenTunnels {
  readonly #shardOf: (accountId: AccountId) => number;
  readonly #tunnels = new Map<TunnelId, OpenTunnel>();

  constructor(shardOf: (accountId: AccountId) => number) {
    this.#shardOf = shardOf;
  }

  /** A tunnel opened: what its shards are to hear. */
  open(
    tunnelId: TunnelId,
    device: { readonly deviceId: DeviceId; readonly voip: boolean },
    accounts: readonly AccountId[],
    ticketCall: CallUuid | undefined,
  ): readonly Addressed[] {
    const byShard = new Map<number, AccountId[]>();
    for (const accountId of accounts) {
      const shard = this.#shardOf(accountId);
      byShard.set(shard, [...(byShard.get(shard) ?? []), accountId]);
    }
    // A shard that has lost the device's last account may still have calls of it, whose way to the phone this is.
    for (const shard of this.#tunnels.get(tunnelId)?.shards ?? []) if (!byShard.has(shard)) byShard.set(shard, []);
    // A device without an account still speaks to someone: its requests get their 403 from the first shard.
    if (byShard.size === 0) byShard.set(0, []);
    const { deviceId, voip } = device;
    const tunnel: OpenTunnel = { deviceId, voip, shards: [...byShard.keys()], accounts: byShard };
    this.#tunnels.set(tunnelId, tunnel);
    return [...byShard].map(([shard, owned]) => ({
      shard,
      command: openedCommand(tunnelId, tunnel, owned, ticketCall),
    }));
  }

  /** Its device's accounts are others now: its shards hear of it anew. */
  accountsChanged(tunnelId: TunnelId, accounts: readonly AccountId[]): readonly Addressed[] {
    const tunnel = this.#tunnels.get(tunnelId);
    return tunnel === undefined ? [] : this.open(tunnelId, tunnel, accounts, undefined);
  }

  close(tunnelId: TunnelId): readonly Addressed[] {
    const tunnel = this.#tunnels.get(tunnelId);
    this.#tunnels.delete(tunnelId);
    return (tunnel?.shards ?? []).map((shard) => ({ shard, command: { kind: "tunnelClosed", tunnelId } }));
  }

  /** A frame from the phone, for the shard that is asked after `asked`, or first of all; nothing when there is none. */
  frame(tunnelId: TunnelId, text: string, asked?: number): readonly Addressed[] {
    const shards = this.#tunnels.get(tunnelId)?.shards ?? [];
    const at = asked === undefined ? 0 : shards.indexOf(asked) + 1;
    const shard = shards[at];
    if (shard === undefined) return [];
    return [{ shard, command: { kind: "frame", tunnelId, text, last: at === shards.length - 1 } }];
  }

  /** What a shard that starts is to hear of the tunnels that are open already. */
  of(shard: number): readonly Command[] {
    return [...this.#tunnels].flatMap(([tunnelId, tunnel]) => {
      const owned = tunnel.accounts.get(shard);
      return owned === undefined ? [] : [openedCommand(tunnelId, tunnel, owned, undefined)];
    });
  }

  /** The present tunnel of each device: the newest takes over. */
  byDevice(): ReadonlyMap<DeviceId, TunnelId> {
    return new Map([...this.#tunnels].map(([tunnelId, { deviceId }]) => [deviceId, tunnelId]));
  }
}

function openedCommand(
  tunnelId: TunnelId,
  { deviceId, voip }: OpenTunnel,
  accounts: readonly AccountId[],
  ticketCall: CallUuid | undefined,
): Command {
  return {
    kind: "tunnelOpened",
    tunnelId,
    deviceId,
    accounts,
    voip,
    ...(ticketCall === undefined ? {} : { ticketCall }),
  };
}
